/**
 * vIPC under its C names: many calls at a time over one link of a vMQ. C99 and C++, 32 and 64 bits.
 *
 *     vipc_ctx_init(&ctx, link);                                 caller: once a link
 *     if (vmq_msg_allocate(link, 0, &msg, NULL) != 0) return;
 *     …                                                          fill in behind the cookie
 *     nku64_f* reply = vipc_ctx_call(&ctx, msg);
 *     if (reply != NULL) {
 *         …                                                      the answer, behind the cookie
 *         vmq_return_msg_free(link, reply);
 *     }
 *
 *     while (vmq_return_msg_receive(link, &msg) == 0)            in return_notify
 *         if (vipc_ctx_process_reply(&ctx, msg) != 0) vmq_return_msg_free(link, msg);
 *
 *     vipc_ctx_abort_calls(&ctx);                                in link_off
 *
 * A message begins with a cookie of 64 bits that the other end leaves alone (vmq_msg_return). A
 * message that comes back ends the call it was sent for and no other: with the reply if it bears
 * that call's cookie, with NULL if not. A call also ends with NULL when the link is lost.
 *
 * Thread rule: any thread calls; all of a context is under its link's lock. Link with libhyplink.
 * Source: spec 001 4.4; vlx-facts 5.3.
 */
#ifndef HYPLINK_COMPAT_VIPC_H
#define HYPLINK_COMPAT_VIPC_H

#include "hyplink/compat/nk_types.h"
#include "hyplink/compat/vmq.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The calls under way on a link. Its members are the library's. It needs no end, but must stay
 * where it is while there are calls, and while the link is. */
typedef struct {
    nku64_f
        last_cookie; /**< counts from the clock, so that those of an earlier life are nobody's */
    struct hyplink_vipc_call* calls;
    vmq_link_t* link;
} vipc_ctx_t;

HYPLINK_VMQ_API void vipc_ctx_init(vipc_ctx_t* ctx, vmq_link_t* link);
/** Put the cookie into an allocated message, send it, wait (no signal ends it) and return the
 * reply, which is the caller's to free. NULL: aborted, the link lost, the reply not this call's; or
 * called in a callback of the link. */
HYPLINK_VMQ_API nku64_f* vipc_ctx_call(vipc_ctx_t* ctx, nku64_f* request);
/** A message that came back: 0 when it is now the caller's; -1 when it was no call's answer, then
 * free it. */
HYPLINK_VMQ_API int vipc_ctx_process_reply(vipc_ctx_t* ctx, nku64_f* reply);
/** Every call under way returns NULL. */
HYPLINK_VMQ_API void vipc_ctx_abort_calls(vipc_ctx_t* ctx);

#ifdef __cplusplus
}
#endif

#endif
