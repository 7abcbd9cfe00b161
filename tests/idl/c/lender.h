/* The vUmem half of a C server program of a test: as many bytes as the argument says. */
#ifndef LENDER_H
#define LENDER_H

#include "hyplink/compat/vidl_umem.h"

static void* lend(void* unused) {
    VumemServer server;
    (void)unused;
    while (vumemServerCreate("/dev/vumem-srv-vogl0", &server) == 0) {
        VumemReq req;
        while (vumemReceive(server, &req) == 0) {
            VumemResp resp;
            memset(&resp, 0, sizeof resp);
            if (req.header.cmd == VUMEM_CMD_BUFFER_ALLOC) {
                req.bufferAlloc.alloc[VUMEM_OPAQUE_MAX - 1] = '\0';
                resp.bufferAlloc.bufferId = req.bufferAlloc.bufferId;
                resp.bufferAlloc.map.size = strtoul((char*)req.bufferAlloc.alloc, NULL, 10);
                resp.retVal =
                    vumemMemoryAlloc(resp.bufferAlloc.map.size, &resp.bufferAlloc.map.vaddr);
            }
            if (vidlUmemRespond(server, &req, &resp) != 0) break;
        }
        (void)vidlUmemForget(server);
        (void)vumemServerDestroy(server);
    }
    return NULL;
}

#endif
