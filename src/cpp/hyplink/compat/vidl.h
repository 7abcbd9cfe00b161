/**
 * What C code generated from an interface description (`hyplink idl gen --lang c`) needs: loads,
 * stores, parts, scratch memory, remembered answers, and the two ends of a channel. C99, 32 and 64
 * bits; include the generated header, not this one.
 *
 * The memory of a block is shared with a peer that may write at any time: everything in its fixed
 * part is loaded exactly once, lengths are computed from what was loaded, and contents that need a
 * look are copied first. All sums are 64 bits wide, whatever the machine.
 *
 * Thread rule: an object belongs to one thread at a time.
 */
#ifndef HYPLINK_COMPAT_VIDL_H
#define HYPLINK_COMPAT_VIDL_H

#include "hyplink/compat/vidl/server.h"
#include "hyplink/compat/vidl/versions.h"

#endif
