/* A client that goes through all of vUmem and stops itself at a step: mortal_client STEP --fd N. If
 * its server goes away meanwhile it says where it heard of it, looks at what it had mapped, and
 * begins again with the next one. Steps: session, allocated, mapped, registered, controlled,
 * unregistered, unmapped, freed, closed; never. */
#include <signal.h>
#include <string.h>

#include "hyplink/compat/vumem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "../vrpq/said.h"

#define DEVICE "/dev/vumem-clt-vogl0"

static const char* step;
static char* volatile mapped; /* and the server has heard that it was written to */

static void at(const char* where) {
    if (strcmp(step, where) != 0) return;
    say("here %d", (int)getpid());
    raise(SIGSTOP);
}

/* Leaves at the first error. */
#define DO(call)                 \
    do {                         \
        const int diag = (call); \
        if (diag != 0) {         \
            *where = #call;      \
            return diag;         \
        }                        \
    } while (0)

static int life(VumemSession session, VumemSession other, VumemBuffer* buffer, const char** where) {
    VumemBuffer same;
    VumemBufferToken token;
    char argument[4] = "ask";
    char* vaddr;

    at("session");
    DO(vumemBufferAlloc(session, argument, sizeof argument, buffer));
    at("allocated");
    DO(vumemBufferTokenGet(*buffer, &token));
    DO(vumemBufferMap(*buffer, (void**)&vaddr));
    memcpy(vaddr, "data", 4);
    at("mapped");
    DO(vumemBufferCtl(*buffer, VUMEM_CTL_REMOTE, argument, sizeof argument));
    mapped = vaddr;
    at("controlled");
    DO(vumemBufferImport(DEVICE, &token, &same));
    DO(vumemBufferRegister(other, same));
    at("registered");
    DO(vumemBufferUnregister(same));
    at("unregistered");
    DO(vumemBufferFree(same));
    mapped = NULL;
    DO(vumemBufferUnmap(*buffer));
    at("unmapped");
    same = *buffer;
    *buffer = NULL; /* whatever the answer, it is gone */
    DO(vumemBufferFree(same));
    at("freed");
    return 0;
}

static void lost(VumemSession session, VumemBuffer buffer) {
    char argument[4] = "ask";
    VumemBuffer another;
    EXPECT(vumemBufferAlloc(session, argument, sizeof argument, &another) == EPIPE);
    if (buffer == NULL) return;
    while (vumemBufferCtl(buffer, VUMEM_CTL_REMOTE, argument, sizeof argument) != EPIPE) {
    }
    if (mapped != NULL) {
        size_t i, others = 0;
        while (*(volatile char*)mapped != 0) {
        }
        for (i = 0; i < 4 * 4096; i++) others += mapped[i] != 0;
        EXPECT(others == 0);
        mapped[1] = 7; /* pages of our own now */
        EXPECT(mapped[1] == 7);
        mapped = NULL;
    }
    EXPECT(vumemBufferFree(buffer) == EPIPE);
}

int main(int count, char** words) {
    VumemSession session, other;
    int diag;

    listen_to(count, words);
    step = words[1];
    do {
        VumemBuffer buffer = NULL;
        const char* where = "";
        if (vumemSessionCreate(DEVICE, &session) != 0) return 1;
        if (vumemSessionCreate(DEVICE, &other) != 0) return 1;
        say("sessions");
        diag = life(session, other, &buffer, &where);
        if (diag == 0 && strcmp(step, "never") == 0)
            while (diag == 0) diag = life(session, other, &buffer, &where);
        if (diag == EPIPE) {
            lost(session, buffer);
            say("server gone");
        } else if (diag != 0) {
            say("not so: %s is %d (%s)", where, diag, vumemErrorText());
        }
        EXPECT(vumemSessionDestroy(session) == 0);
        EXPECT(vumemSessionDestroy(other) == 0);
        if (diag == EPIPE) step = "once";
    } while (diag == EPIPE);
    at("closed");
    say(said_wrong || diag != 0 ? "wrong" : "ok");
    return 0;
}
