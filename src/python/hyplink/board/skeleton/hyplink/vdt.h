/*
 * Attributes of a mapping: vl,attributes = <VDT_S2PTE_UPPER_… VDT_S2PTE_LOWER_…>;
 *
 * The names are those the guides use; the numbers are the bits of an ARMv8 stage-2 page descriptor
 * (upper: execute-never; lower: memory type, read-write, shareability, access flag). Every board
 * knows these names without including this file.
 */
#ifndef HYPLINK_VDT_H
#define HYPLINK_VDT_H

#define VDT_S2PTE_UPPER_MEM 0x00000000
#define VDT_S2PTE_UPPER_MEM_XN 0x00400000
#define VDT_S2PTE_LOWER_MEM 0x000007fc
#define VDT_S2PTE_LOWER_NC_MEM 0x000006d4
#define VDT_S2PTE_LOWER_DEV_MEM 0x000004c4

#endif
