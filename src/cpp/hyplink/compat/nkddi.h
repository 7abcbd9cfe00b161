/**
 * NKDDI as guest drivers know it, for a program that a VM of a bench runs. C99 and C++, 32 and 64
 * bits.
 *
 *     if (hyplink_nkddi_init() != 0) return 1;                    // the way in: environment
 * HYPLINK_APP_FD while ((plink = nkops.nk_vlink_lookup("vearlydata", plink)) != 0) { NkDevVlink
 * *vlink = (NkDevVlink *)nkops.nk_ptov(plink); if (vlink->s_id == nkops.nk_id_get()) …
 *     }
 *     nkops.nk_xirq_attach(NK_XIRQ_SYSCONF, rescan, 0);
 *     while (hyplink_nkddi_dispatch(-1) >= 0) {}                  // handlers run here
 *
 * A driver writes its own side's state into the descriptor and triggers SYSCONF at the peer: that
 * announces it. The hypervisor checks the step; a refused one is undone in the descriptor, so read
 * it again after the trigger.
 *
 * Failures: 0 for addresses, cross interrupts and ids, as in the original. hyplink_nkddi_error()
 * says why. Where this differs from a kernel: handlers run only inside hyplink_nkddi_dispatch(), in
 * the thread that calls it, and only that thread may attach, detach, mask and unmask. Everything
 * else may be called from any thread.
 *
 * Link with libhyplink-nkddi. Source: spec 000; vlx-facts 1.1, 1.2, 6.
 */
#ifndef HYPLINK_COMPAT_NKDDI_H
#define HYPLINK_COMPAT_NKDDI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPLINK_NKDDI_API __attribute__((visibility("default")))
#else
#define HYPLINK_NKDDI_API
#endif

typedef uint64_t NkPhAddr; /**< address in the VM's own map; 0: none */
typedef uint64_t NkPhSize;
typedef int32_t NkOsId; /**< a VM; 0 is the hypervisor */
typedef uint32_t NkOsMask;
typedef uint32_t NkXIrq;   /**< a cross interrupt, numbered per destination; 0: none */
typedef uint32_t NkXIrqId; /**< an attached handler; 0: none */
typedef uint32_t NkResourceId;
typedef uint32_t NkInfoType;
typedef void (*NkXIrqHandler)(void* cookie, NkXIrq xirq);

#define NK_XIRQ_SYSCONF 512u

#define NK_DEV_VLINK_OFF 0u
#define NK_DEV_VLINK_RESET 1u
#define NK_DEV_VLINK_ON 2u

/** One end-point of a vlink, in the VM's PDEV. Only the own side's state may be written. */
typedef struct NkDevVlink {
    char name[16]; /**< class, NUL-terminated */
    uint32_t link;
    NkOsId s_id;
    volatile uint32_t s_state;
    NkOsId c_id;
    volatile uint32_t c_state;
    uint32_t index;  /**< of the board's vlinks, the same in every VM (hyplink) */
    NkPhAddr s_info; /**< of a NUL-terminated string */
    NkPhAddr c_info;
    uint64_t reserved;
} NkDevVlink;

typedef struct NkDevOps {
    uint32_t nk_version; /**< 6: vlinks and what is older */

    NkOsId (*nk_id_get)(void);
    NkOsId (*nk_last_id_get)(void);       /**< highest id of the board */
    NkOsMask (*nk_running_ids_get)(void); /**< 0 when the own VM is gone */
    uint32_t (*nk_info)(NkInfoType type, void* buffer, uint32_t size); /**< 0: no type is known */

    NkPhAddr (*nk_dev_lookup_by_class)(uint32_t device_class,
                                       NkPhAddr previous); /**< 0: only vlinks are modelled */
    NkPhAddr (*nk_dev_lookup_by_type)(uint32_t type, NkPhAddr previous); /**< 0 */
    NkPhAddr (*nk_dev_alloc)(NkPhSize size);                             /**< 0 */
    /** The next vlink of exactly this class, in the order of the board; 0 begins, 0 ends. */
    NkPhAddr (*nk_vlink_lookup)(const char* name, NkPhAddr previous);

    /** Keyed (link, id): whoever asks first, either end gets the same. 0: other size, or somebody
     * else's link. */
    NkPhAddr (*nk_pdev_alloc)(NkPhAddr link, NkResourceId id, NkPhSize size);
    NkPhAddr (*nk_pmem_alloc)(NkPhAddr link, NkResourceId id, NkPhSize size);
    NkXIrq (*nk_pxirq_alloc)(NkPhAddr link, NkResourceId id, NkOsId owner, int count);
    NkXIrq (*nk_xirq_alloc)(
        int count); /**< 0: a number belongs to a vlink here; use nk_pxirq_alloc */

    NkXIrqId (*nk_xirq_attach)(NkXIrq xirq, NkXIrqHandler handler, void* cookie);
    NkXIrqId (*nk_xirq_attach_masked)(NkXIrq xirq, NkXIrqHandler handler, void* cookie);
    void (*nk_xirq_detach)(NkXIrqId id);
    void (*nk_xirq_mask)(NkXIrq xirq); /**< remembers at most one */
    void (*nk_xirq_unmask)(NkXIrq xirq);
    void (*nk_xirq_trigger)(NkXIrq xirq, NkOsId destination);

    void* (*nk_ptov)(NkPhAddr address); /**< null: not this VM's memory */
    NkPhAddr (*nk_vtop)(void* pointer);
    /** Memory of this VM, or whole pages that another one granted: writable if they were granted
     * so. Null: neither. Granted pages show zeroes once they are taken back; there is no signal. */
    void* (*nk_mem_map)(NkPhAddr address, NkPhSize size);
    /** What the VM shares stays mapped until the program leaves; granted pages are unmapped. */
    void (*nk_mem_unmap)(void* pointer, NkPhAddr address, NkPhSize size);
    NkPhSize (*nk_mem_copy_to)(NkPhAddr to, const void* from,
                               NkPhSize size); /**< bytes really copied */
    NkPhSize (*nk_mem_copy_from)(void* to, NkPhAddr from, NkPhSize size);

    uint32_t (*nk_mask2bit)(uint32_t mask); /**< number of the lowest bit set; 32 for none */
    uint32_t (*nk_bit2mask)(uint32_t bit);
    void (*nk_atomic_clear)(volatile uint32_t* word, uint32_t bits);
    void (*nk_atomic_set)(volatile uint32_t* word, uint32_t bits);
    void (*nk_atomic_sub)(volatile uint32_t* word, uint32_t value);
    void (*nk_atomic_add)(volatile uint32_t* word, uint32_t value);
} NkDevOps;

HYPLINK_NKDDI_API extern const NkDevOps nkops;

/** A region of memory: whole pages. */
typedef struct NkMemMap {
    NkPhAddr addr;
    NkPhSize size;
} NkMemMap;

#define HYP_VM_MEM_GRANT_FLAGS_READ 0x1u
#define HYP_VM_MEM_GRANT_FLAGS_WRITE 0x2u /**< only together with READ */
#define HYP_VM_MEM_GRANT_FLAGS_CPU 0x4u
#define HYP_VM_MEM_GRANT_FLAGS_DMA 0x8u
/** How taking back must be enforced: at most one; none: MEMFD between processes, else COOPERATIVE.
 * What cannot be given is -EOPNOTSUPP. */
#define HYP_VM_MEM_GRANT_FLAGS_COOPERATIVE 0x100u
#define HYP_VM_MEM_GRANT_FLAGS_MEMFD 0x200u
#define HYP_VM_MEM_GRANT_FLAGS_BROKER 0x400u

/** Let VM `vmid` map regions of this program's memory (hyplink_mem_alloc); all of them or none, at
 * most 8192. The importer maps them with nk_mem_map. Returns 0 or -errno: -EACCES (the importer has
 * no "vl,vm-memory" node for this VM), -EPERM (not this program's memory), -EINVAL (not whole
 * pages, overlaps, unknown VM or flags), -EBUSY (granted already), -EOPNOTSUPP, -EDQUOT. */
HYPLINK_NKDDI_API int hyp_call_vm_mem_grant(NkOsId vmid, unsigned int flags, unsigned int count,
                                            NkMemMap* rgns);
/** Take them, or any part, back, with the flags of the grant. When it returns the importer reads
 * zeroes there, whatever it did. -EINVAL: not granted so. */
HYPLINK_NKDDI_API int hyp_call_vm_mem_deny(NkOsId vmid, unsigned int flags, unsigned int count,
                                           NkMemMap* rgns);
/** The importer asks whether all of it is granted to it by `vmid`, for reading at least. 0, or
 * -EACCES. */
HYPLINK_NKDDI_API int hyp_call_vm_mem_verify(NkOsId vmid, unsigned int count, NkMemMap* rgns);

/** Zeroed pages of this program, which can be granted. `address` gets where other VMs find them.
 * Null on failure. */
HYPLINK_NKDDI_API void* hyplink_mem_alloc(NkPhSize size, NkPhAddr* address);
/** Free them; what was granted of them is taken back. Returns 0 or -errno. */
HYPLINK_NKDDI_API int hyplink_mem_free(NkPhAddr address);

/** Connect to the VM that runs this program. Returns 0 or an errno (ENOTCONN: not started by a VM).
 */
HYPLINK_NKDDI_API int hyplink_nkddi_init(void);
/** Wait at most `timeout_ms` (negative: for ever) and run the handlers of what is pending, lowest
 * number first and each in turn. Returns the numbers delivered, 0 when the time is over, or -errno
 * (-EPIPE: the VM is gone; -EINTR: a signal). */
HYPLINK_NKDDI_API int hyplink_nkddi_dispatch(int timeout_ms);
/** Leave: every end that was driven goes OFF. Pointers into memory are dead afterwards. Harmless
 * when not connected. */
HYPLINK_NKDDI_API void hyplink_nkddi_exit(void);
/** Why this thread's last call failed; "" when none did. Good until its next call. */
HYPLINK_NKDDI_API const char* hyplink_nkddi_error(void);

/** The handshake of one end, so that not every driver writes it again. A callback may be null; a
 * non-zero result (an errno) of reset or start leaves the state as it is. See
 * hyplink/app/nkddi/vlink_driver.hpp for the table. */
typedef struct HyplinkVlinkOps {
    int (*reset)(void* cookie); /**< before OFF→RESET: clear the own part of the shared memory */
    int (*start)(void* cookie); /**< before RESET→ON: the peer's part may be read */
    void (*up)(void* cookie);   /**< both are ON */
    void (*down)(void* cookie); /**< before OFF; undoes start */
} HyplinkVlinkOps;
typedef struct HyplinkVlink HyplinkVlink;

/** `server`: 1 for the server's end, 0 for the client's. Null on failure. Does not move before the
 * first step. */
HYPLINK_NKDDI_API HyplinkVlink* hyplink_vlink_open(NkPhAddr link, int server,
                                                   const HyplinkVlinkOps* ops, void* cookie);
/** Move until nothing moves: at first, and at every SYSCONF. Returns 0 or an errno. */
HYPLINK_NKDDI_API int hyplink_vlink_step(HyplinkVlink* vlink);
/** 1: up (the default); 0: down to OFF. Steps. Returns 0 or an errno. */
HYPLINK_NKDDI_API int hyplink_vlink_target(HyplinkVlink* vlink, int up);
HYPLINK_NKDDI_API int hyplink_vlink_is_up(const HyplinkVlink* vlink);
/** Down to OFF, and forget it. Null is fine. */
HYPLINK_NKDDI_API void hyplink_vlink_close(HyplinkVlink* vlink);

#ifdef __cplusplus
}
#endif

#endif
