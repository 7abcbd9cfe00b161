/* Lends memory through vUmem and serves frames.vidl, in one program inside a VM: one thread for the
 * memory, one for the calls, client after client. */
#include <pthread.h>

#include "frames_server.c"
#include "hyplink/compat/vidl_umem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "lender.h"
#include "said.h"

static VidlBuffer mine[8];
static uint32_t mine_count, last, odd;

static uint32_t add(const void* data, uint64_t size) {
    const unsigned char* const bytes = data;
    uint32_t sum = 0;
    uint64_t i;
    for (i = 0; i < size; ++i) sum += bytes[i];
    return sum;
}
static uint32_t sum(const frames_Sealed* a, const frames_Sealed* b) {
    vidlUmemNext(frames_serving()->base.buffers);
    return add(a->data, a->length) + (vidlHasBuffer(b) ? add(b->data, b->length) : 0);
}
static uint32_t touch(const frames_Frame* frame, uint32_t value) {
    memset(frame->data, (int)value, (size_t)frame->length);
    return (uint32_t)frame->length;
}
static void fill(const frames_Frame* frame, uint32_t value) {
    memcpy(frame->data, &value, sizeof value);
    frames_emit_filled(frames_serving(), frame, value);
}
static uint32_t keep(const frames_Frame* frame) {
    mine[mine_count++] = *frame;
    return mine_count;
}
static void give_back(uint32_t value) {
    const VidlBuffer frame = mine[--mine_count];
    memcpy(frame.data, &value, sizeof value);
    frames_emit_filled(frames_serving(), &frame,
                       value + frames_emit_look(frames_serving(), &frame));
}
static uint32_t kept(void) {
    uint32_t all = 0, i;
    for (i = 0; i < mine_count; ++i) all += ((unsigned char*)mine[i].data)[0];
    return all;
}
static uint8_t try_to_write(const frames_Sealed* frame) {
    (void)frame;
    return 0;
}
static void upload(uint32_t n, const void* data) {
    const unsigned char* const bytes = data;
    last = add(data, n);
    odd += n > 1 && memcmp(bytes, bytes + 1, n - 1) != 0;
}
static uint32_t uploaded(void) { return last; }
static uint32_t mixed(void) { return odd; }
static void texts(const uint16_t* text) {
    for (last = 0; *text != 0; ++text) last += *text;
}
static uint32_t both(uint32_t n, const void* a, uint32_t m, const float* b) {
    uint32_t all = a == NULL ? 0 : add(a, n), i;
    for (i = 0; i < m; ++i) all += (uint32_t)b[i];
    return all;
}

static int serve_one(const frames_api* api) {
    static const VidlVersion own[] = {FRAMES_VERSION};
    unsigned char info[256];
    uint32_t size = sizeof info;
    frames_server server;
    VrpqClientId client;
    VrpqSession session;
    VrpqChan chan;
    int error = vrpqSessionAccept("/dev/vrpq-srv-vogl0", info, &size, &session);
    if (error != 0) return error;
    EXPECT(vidlHelloCheck(info, size, own, 1) == 0);
    EXPECT(vrpqClientIdGet(session, &client) == 0);
    frames_server_init(&server, api);
    server.base.buffers = vidlUmemServerTable(client.vmId, client.appId);
    mine_count = odd = 0;
    error = vrpqChanAccept(session, NULL, NULL, &chan);
    if (error == 0) {
        error = frames_serve(&server, chan);
        say("served: %s", error == EPIPE ? "peer_dead" : error == EBADMSG ? "corrupt" : "?");
        (void)vrpqChanDestroy(chan);
    }
    (void)vrpqSessionDestroy(session);
    vidlUmemTableFree(server.base.buffers);
    frames_server_free(&server);
    return error;
}

int main(int count, char** words) {
    static const frames_api api = {sum,          touch,  fill,     keep,  give_back, kept,
                                   try_to_write, upload, uploaded, mixed, texts,     both};
    pthread_t lender;
    int error;
    listen_to(count, words);
    EXPECT(pthread_create(&lender, NULL, lend, NULL) == 0);
    say("server");
    do {
        error = serve_one(&api);
    } while (error == EPIPE || error == EBADMSG);
    return 0;
}
