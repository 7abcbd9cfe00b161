/**
 * @file
 * vUmem buffers (vumem.h) as parameters of generated calls (vidl.h): what `gives`, `lends` and
 * their checks rest on. Link with -lhyplink.
 *
 * A client maps a buffer, asks for its name once and gives it to calls; its channel needs a table:
 *
 *     vumemBufferMap(buffer, &memory);
 *     vidlUmemAttach(buffer, memory, &frame);
 *     client.base.buffers = vidlUmemClientTable();
 *     cam_queue(&client, stream, &frame);
 *
 * A server program answers vUmem requests with vidlUmemRespond, and gives each channel's server a
 * table for its client. Functions return 0 or an errno; vumemErrorText says more. Thread rule: any
 * thread; a table is its channel's.
 */
#ifndef HYPLINK_VIDL_UMEM_H
#define HYPLINK_VIDL_UMEM_H

#include "hyplink/compat/vidl.h"
#include "hyplink/compat/vumem.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- client ----------------------------------------------------------------------------------*/

/**
 * How calls name the whole of a buffer that is mapped at `vaddr`; `offset` and `length` may then be
 * made to mean a part. To be asked again after a channel ended through which it was given: EBUSY
 * until its server has let go. EOPNOTSUPP: its server knows no calls. Unmapping ends it.
 */
HYPLINK_VUMEM_API int vidlUmemAttach(VumemBuffer buffer, void* vaddr, VidlBuffer* ref);
/** The buffer that a callback brought; ENOENT. */
HYPLINK_VUMEM_API int vidlUmemFind(const VidlBuffer* ref, VumemBuffer* buffer);
/** For a channel's client; NULL: no memory. */
HYPLINK_VUMEM_API VidlBuffers* vidlUmemClientTable(void);
/**
 * The same for the client of `chan`, whose `@large` parameters travel in `buffer`, which is mapped
 * at `vaddr` and nobody else's to write meanwhile. They wait for room there as requests do in the
 * port. To be freed before the channel is destroyed. NULL: as vidlUmemAttach; vumemErrorText says
 * why.
 */
HYPLINK_VUMEM_API VidlBuffers* vidlUmemLargeTable(VrpqChan chan, VumemBuffer buffer, void* vaddr);

/* ---- server ----------------------------------------------------------------------------------*/

/** vumemRespond to `req`; answers clients that ask for a buffer's name by itself. */
HYPLINK_VUMEM_API int vidlUmemRespond(VumemServer server, const VumemReq* req,
                                      const VumemResp* resp);
/** Before vumemServerDestroy: no call may name its buffers any more. */
HYPLINK_VUMEM_API int vidlUmemForget(VumemServer server);
/** For a channel's server; its client as vrpqClientIdGet says. NULL: no memory. */
HYPLINK_VUMEM_API VidlBuffers* vidlUmemServerTable(uint32_t vmId, uint32_t appId);
/** A request begins: memory of earlier ones may go unless it was given. */
HYPLINK_VUMEM_API void vidlUmemNext(VidlBuffers* table);

/** The channel is over: what moved through it is where it was before. NULL is fine. */
HYPLINK_VUMEM_API void vidlUmemTableFree(VidlBuffers* table);

#ifdef __cplusplus
}
#endif

#endif
