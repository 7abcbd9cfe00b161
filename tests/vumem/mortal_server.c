/* A server that stops itself at a step, to be killed or let go on: mortal_server STEP --fd N.
 * Steps: created, a request (alloc, register, ctl, unregister, free) before it is responded to,
 * lent and freed after that; never. It says what it was asked and how many buffers it has lent. */
#include <signal.h>
#include <string.h>

#include "hyplink/compat/vumem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "../vrpq/said.h"

#define PAGES 4

static const char* asked(VumemCmd cmd) {
    switch (cmd) {
        case VUMEM_CMD_BUFFER_ALLOC:
            return "alloc";
        case VUMEM_CMD_BUFFER_FREE:
            return "free";
        case VUMEM_CMD_BUFFER_REGISTER:
            return "register";
        case VUMEM_CMD_BUFFER_UNREGISTER:
            return "unregister";
        case VUMEM_CMD_BUFFER_CTL:
            return "ctl";
    }
    return "?";
}

static const char* step;

static void at(const char* where) {
    if (strcmp(step, where) != 0) return;
    step = "never"; /* once */
    say("here %d", (int)getpid());
    raise(SIGSTOP);
}

int main(int count, char** words) {
    VumemServer server;
    VumemReq req;
    VumemResp resp;
    void* memory[16] = {0};
    unsigned lent = 0;

    listen_to(count, words);
    step = words[1];
    if (vumemServerCreate("/dev/vumem-srv-vogl0", &server) != 0) return 1;
    say("server");
    at("created");
    while (vumemReceive(server, &req) == 0) {
        const VumemCmd cmd = req.header.cmd;
        at(asked(cmd));
        memset(&resp, 0, sizeof resp);
        if (cmd == VUMEM_CMD_BUFFER_ALLOC) {
            const unsigned id = req.bufferAlloc.bufferId;
            resp.retVal = id < 16 ? vumemMemoryAlloc(PAGES * 4096, &memory[id]) : ENOMEM;
            if (resp.retVal == 0) lent++;
            resp.bufferAlloc.bufferId = id;
            resp.bufferAlloc.map.vaddr = memory[id % 16];
            resp.bufferAlloc.map.size = PAGES * 4096;
        }
        if (vumemRespond(server, &resp) != 0) break;
        if (cmd == VUMEM_CMD_BUFFER_FREE) {
            EXPECT(vumemMemoryFree(memory[req.bufferFree.bufferId]) == 0);
            lent--;
        }
        say("%s, %u lent", asked(cmd), lent);
        if (cmd == VUMEM_CMD_BUFFER_ALLOC) at("lent");
        if (cmd == VUMEM_CMD_BUFFER_FREE) at("freed");
    }
    say("over: %s", vumemErrorText());
    vumemServerDestroy(server);
    return 0;
}
