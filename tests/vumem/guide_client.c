/* The guide's client (3.2.3.2), its listings in their order; what it elides is between them. */
#include <string.h>

#include "hyplink/compat/vumem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "../vrpq/said.h"
#include "wish.h"

#define VUMEM_TEST_CLT_DEVICE "/dev/vumem-clt-vogl0"

static void refusals(VumemSession session) {
    VumemSession second;
    VumemBuffer buffer, same;
    VumemBufferToken token;
    VumemBufferId id = 0;
    struct wish wish = {8192, NO_MEMORY, 0};
    unsigned char big[129] = {0};
    uint64_t word = 0;
    uint32_t flag = 7;
    void* vaddr;

    EXPECT(vumemSessionMasterCreate(VUMEM_TEST_CLT_DEVICE, &second) == EBUSY);
    EXPECT(vumemSessionCreate("/dev/vumem-clt-nothing", &second) == ENXIO);
    EXPECT(vumemSessionCreate(VUMEM_TEST_CLT_DEVICE, &second) == 0);
    EXPECT(vumemBufferAlloc(second, &wish, sizeof wish, &buffer) == EPERM);
    EXPECT(vumemBufferAlloc(session, big, sizeof big, &buffer) == EINVAL);
    EXPECT(vumemBufferAlloc(session, &wish, sizeof wish, &buffer) == 0);
    EXPECT(vumemBufferIdGet(buffer, &id) == 0 && id == wish.buffer);
    EXPECT(vumemBufferMap(buffer, &vaddr) == EINVAL);
    EXPECT(vumemBufferUnmap(buffer) == EINVAL);
    EXPECT(vumemBufferUnregister(buffer) == EINVAL);
    EXPECT(vumemBufferTokenGet(buffer, &token) == 0);
    EXPECT(vumemBufferImport(VUMEM_TEST_CLT_DEVICE, &token, &same) == 0);
    EXPECT(vumemBufferRegister(second, same) == 0);
    EXPECT(vumemBufferRegister(second, same) == EBUSY);
    EXPECT(vumemBufferUnregister(same) == 0);
    big[0] = 4;
    EXPECT(vumemBufferCtl(buffer, VUMEM_CTL_REMOTE, big, 1) == 0 && big[0] == 5);
    EXPECT(vumemBufferCtl(buffer, VUMEM_CTL_REMOTE, big, sizeof big) == EINVAL);
    EXPECT(vumemBufferCtl(buffer, VUMEM_CTL_IS_ALLOCATOR, &flag, sizeof flag) == 0 && flag == 1);
    EXPECT(vumemBufferCtl(buffer, VUMEM_CTL_IS_MAPPABLE, &flag, sizeof flag) == 0 && flag == 0);
    word = 99;
    EXPECT(vumemBufferCtl(buffer, VUMEM_CTL_PRIVATE_SET, &word, sizeof word) == 0);
    word = 0;
    EXPECT(vumemBufferCtl(same, VUMEM_CTL_PRIVATE_GET, &word, sizeof word) == 0 && word == 99);
    EXPECT(vumemBufferFree(same) == 0);
    EXPECT(vumemBufferFree(same) == EBADF);
    EXPECT(vumemBufferFree(buffer) == 0);
    EXPECT(vumemSessionDestroy(second) == 0);
    EXPECT(vumemSessionDestroy(second) == EBADF);
}

int main(int count, char** words) {
    VumemSession session;
    VumemBuffer bufferHd;
    struct wish alloc;
    uint64_t stats[VUMEM_STATS];
    char* vaddr;
    uint32_t kind;
    int diag;

    listen_to(count, words);
    diag = vumemSessionMasterCreate(VUMEM_TEST_CLT_DEVICE, &session);
    if (diag != 0) return 1;
    for (kind = FROM_LIBRARY; kind <= STATIC_ARRAY; kind++) {
        alloc.bytes = 65536;
        alloc.kind = kind;
        alloc.buffer = 0;
        diag = vumemBufferAlloc(session, &alloc, sizeof(alloc), &bufferHd);
        if (diag != 0) break;
        diag = vumemBufferMap(bufferHd, (void**)&vaddr);
        if (diag != 0) break;
        memcpy(vaddr, kind == STATIC_ARRAY ? "array" : "pages", 5);
        say("buffer %u", alloc.buffer);
        EXPECT(vumemBufferCacheCtl(bufferHd, VUMEM_CACHE_TO_MEMORY) == 0);
        EXPECT(vumemBufferCacheCtl(bufferHd, 64) == EINVAL);
        diag = vumemBufferUnmap(bufferHd); /* unmap the buffer */
        if (diag != 0) break;
        diag = vumemBufferFree(bufferHd); /* free buffer allocated memory */
        if (diag != 0) break;
    }
    EXPECT(diag == 0);
    refusals(session);
    EXPECT(vumemProf(VUMEM_TEST_CLT_DEVICE, VUMEM_PROF_GET, stats, VUMEM_STATS) == 0);
    say("allocs %u, frees %u, now %u", (unsigned)stats[VUMEM_STAT_ALLOCS],
        (unsigned)stats[VUMEM_STAT_FREES], (unsigned)stats[VUMEM_STAT_BUFFERS_NOW]);
    alloc.kind = FROM_LIBRARY;
    alloc.bytes = 4096;
    EXPECT(vumemBufferAlloc(session, &alloc, sizeof alloc, &bufferHd) == 0);
    EXPECT(vumemBufferMap(bufferHd, (void**)&vaddr) == 0);
    vaddr[0] = 'x';
    say("mapped");
    /* The server is killed now: until then its page, then one of our own that is blank. */
    while (*(volatile char*)vaddr != 0) {
    }
    while (vumemBufferCtl(bufferHd, VUMEM_CTL_REMOTE, NULL, 0) != EPIPE) {
    }
    say("server gone, %d there", vaddr[0]);
    EXPECT(vumemBufferFree(bufferHd) == EPIPE);
    diag = vumemSessionDestroy(session); /* destroy session */
    say(said_wrong ? "wrong" : "ok");
    return diag;
}
