/* The guide's server (3.2.3.2), its listings in their order; what it elides is between them. */
#include <string.h>

#include "hyplink/compat/vumem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "../vrpq/said.h"
#include "wish.h"

#define VUMEM_TEST_SRV_DEVICE "/dev/vumem-srv-vogl0"
#define PAGE 4096

static unsigned char global_buffer[16 * PAGE + PAGE];

static unsigned char* whole_pages(void) {
    return global_buffer + (PAGE - (uintptr_t)global_buffer % PAGE) % PAGE;
}

int main(int count, char** words) {
    VumemServer server;
    VumemReq req;
    VumemResp resp;
    struct wish wish;
    unsigned char* memory[8] = {0};
    int diag;

    listen_to(count, words);
    say("server");
    diag = vumemServerCreate(VUMEM_TEST_SRV_DEVICE, &server);
    if (diag != 0) return 1;
    while (1) {
        diag = vumemReceive(server, &req); /* listen to requests */
        if (diag != 0) break;
        memset(&resp, 0, sizeof resp);
        /* act depending on request type */
        switch (req.header.cmd) {
            case VUMEM_CMD_BUFFER_ALLOC: {
                unsigned int id = req.bufferAlloc.bufferId;
                void* vaddr = NULL;
                memcpy(&wish, req.bufferAlloc.alloc, sizeof wish);
                if (req.bufferAlloc.size != sizeof wish || id >= 8) {
                    resp.retVal = EINVAL;
                    break;
                }
                if (wish.kind == STATIC_ARRAY) {
                    vaddr = whole_pages();
                } else if (wish.kind == NO_MEMORY) {
                    vaddr = VUMEM_BUFFER_NO_VADDR;
                } else {
                    resp.retVal = vumemMemoryAlloc(wish.bytes, &vaddr);
                    memory[id] = vaddr;
                }
                wish.buffer = id;
                memcpy(resp.bufferAlloc.alloc, &wish, sizeof wish);
                resp.bufferAlloc.bufferId = id;
                resp.bufferAlloc.map.vaddr = vaddr;
                resp.bufferAlloc.map.size = wish.bytes;
                break;
            }
            case VUMEM_CMD_BUFFER_FREE: {
                unsigned char* last = memory[req.bufferFree.bufferId];
                if (last == NULL) last = whole_pages();
                say("free %u: %.5s", req.bufferFree.bufferId, (char*)last);
                memory[req.bufferFree.bufferId] = NULL;
                break;
            }
            case VUMEM_CMD_BUFFER_CTL:
                resp.bufferCtl.ctl[0] = (uint8_t)(req.bufferCtl.ctl[0] + 1);
                break;
            default:
                break;
        }
        diag = vumemRespond(server, &resp);
        if (diag != 0) break;
    }
    say(diag == EPIPE ? "client gone" : "server ends: %d (%s)", diag, vumemErrorText());
    diag = vumemServerDestroy(server);
    say("destroyed %d, again %d", diag, vumemServerDestroy(server));
    return 0;
}
