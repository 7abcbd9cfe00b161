/**
 * vRPC under its C names, for a program that a VM of a bench runs. C99 and C++, 32 and 64 bits.
 *
 *     struct vrpc_t* vrpc = vrpc_server_lookup("clock", NULL);      server
 *     if (vrpc == NULL) return 1;
 *     if (vrpc_server_open(vrpc, tell_time, vrpc, 0) != 0) return 1;
 *     …                      tell_time(vrpc, size) fills vrpc_data(vrpc), returns bytes
 *
 *     struct vrpc_t* vrpc = vrpc_client_lookup("clock", NULL);      client
 *     if (vrpc_client_open(vrpc, NULL, NULL) != 0) return 1;
 *     memcpy(vrpc_data(vrpc), "now", 3);
 *     size = 3;
 *     while (vrpc_call(vrpc, &size) == -EAGAIN) {                   the server was lost
 *         vrpc_close(vrpc);
 *         if (vrpc_client_open(vrpc, NULL, NULL) != 0) return 1;
 *         size = 3;
 *     }
 *
 * Functions with a result return 0 or -errno; hyplink_vrpc_error() says more about the last failure
 * in this thread. Data lie in memory of the vlink, in place: `vrpc_data` is one address from the
 * look-up on, also across closing and opening; what a client left there goes along with its next
 * opening.
 *
 * Thread rule: one thread at a time for each vrpc_t, `vrpc_close` excepted: it ends waits of other
 * threads (-ECANCELED, -EBADF). Handlers run in a thread of the library, never two of one vrpc_t at
 * a time, with all signals blocked. The program reaches its VM through the environment
 * (HYPLINK_APP_FD), at the first look-up. Link with libhyplink. Source: spec 001 4.2; vlx-facts
 * 5.1.
 */
#ifndef HYPLINK_COMPAT_VRPC_H
#define HYPLINK_COMPAT_VRPC_H

#include <errno.h>
#include <stddef.h>

#include "hyplink/compat/nkddi.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPLINK_VRPC_API __attribute__((visibility("default")))
#else
#define HYPLINK_VRPC_API
#endif

typedef unsigned int vrpc_size_t;

/** One end of a vRPC vlink. There as long as the program is, whether it is released or not. */
struct vrpc_t;

#define VRPC_PMEM_BASE 1  /**< first PMEM id of the vlink that vRPC leaves to its users */
#define VRPC_PXIRQ_BASE 2 /**< and first PXIRQ id */

/** The link is up and the client open. In a thread of the library. */
typedef void (*vrpc_ready_t)(void* cookie);
/** The server's procedure: `size` bytes lie in vrpc_data(); returns how many the answer has there.
 * More than vrpc_maxsize() is an answer of size 0. */
typedef vrpc_size_t (*vrpc_call_t)(void* cookie, vrpc_size_t size);
/** The link is down, or who was at the other end has gone. It must not call back. */
typedef void (*vrpc_off_t)(NkOsId peer);

/** Look up, and take, an end whose own info begins with `name`; NULL (or "") finds ends without a
 * name. `last`: go on behind that one; NULL begins. Newest first; ends that somebody has are left
 * out. NULL: there is none. */
HYPLINK_VRPC_API struct vrpc_t* vrpc_server_lookup(const char* name, struct vrpc_t* last);
HYPLINK_VRPC_API struct vrpc_t* vrpc_client_lookup(const char* name, struct vrpc_t* last);
/** Let it go, closed: another look-up may find it. */
HYPLINK_VRPC_API void vrpc_release(struct vrpc_t* vrpc);

HYPLINK_VRPC_API NkOsId vrpc_peer_id(struct vrpc_t* vrpc);
/** The vlink's descriptor, for drivers that use more of it. They connect NKDDI
 * (hyplink_nkddi_init); 0 and NULL when that fails. */
HYPLINK_VRPC_API NkPhAddr vrpc_plink(struct vrpc_t* vrpc);
HYPLINK_VRPC_API NkDevVlink* vrpc_vlink(struct vrpc_t* vrpc);
HYPLINK_VRPC_API void* vrpc_data(struct vrpc_t* vrpc);
/** Bytes of the data: the larger of what both infos say (1024 if nothing), less 12. */
HYPLINK_VRPC_API vrpc_size_t vrpc_maxsize(struct vrpc_t* vrpc);
/** What follows the first comma of the own info; NULL without one. */
HYPLINK_VRPC_API const char* vrpc_info(struct vrpc_t* vrpc);

/** Answer calls from now on. `direct` makes no difference: there is no interrupt context here.
 * -EINVAL (a client, no handler), -EBUSY (open; or lost to another application), -EFAULT (no
 * thread). */
HYPLINK_VRPC_API int vrpc_server_open(struct vrpc_t* vrpc, vrpc_call_t call, void* cookie,
                                      int direct);
/** Without `ready`: wait until the link is up. Else return at once, and a thread calls `ready`
 * once; a call before that is -EAGAIN. -EINVAL (a server), -EBUSY (open; or lost to another
 * application), -EINTR (a signal handler ran), -EFAULT (this VM is gone, or no thread). */
HYPLINK_VRPC_API int vrpc_client_open(struct vrpc_t* vrpc, vrpc_ready_t ready, void* cookie);
/** Call with the first `*size` bytes and wait for the answer: `*size` bytes at the same place, 0
 * when no server is open. -EAGAIN: link or server lost; close and open again. -EINTR: a signal
 * handler ran, the call is given up; calls are -EBUSY until the server has answered it. -EMSGSIZE:
 * more than vrpc_maxsize(). -EBADMSG: the server wrote an impossible size; close. `*size` is 0 on
 * failure. */
HYPLINK_VRPC_API int vrpc_call(struct vrpc_t* vrpc, vrpc_size_t* size);
/** The same, but a signal does not end it. */
HYPLINK_VRPC_API int vrpc_call_non_interruptible(struct vrpc_t* vrpc, vrpc_size_t* size);
/** A handler that runs finishes first, and its answer arrives. Not from a handler. */
HYPLINK_VRPC_API void vrpc_close(struct vrpc_t* vrpc);

/** `off` is called with the peer's id whenever the link is lost, in whatever thread hears of it;
 * NULL takes it away. The cookie is the guides', nothing is done with it. */
HYPLINK_VRPC_API void vrpc_off_notifier(struct vrpc_t* vrpc, vrpc_off_t off, void* cookie);

/** What the last failure in this thread was about; never NULL. */
HYPLINK_VRPC_API const char* hyplink_vrpc_error(void);

#ifdef __cplusplus
}
#endif

#endif
