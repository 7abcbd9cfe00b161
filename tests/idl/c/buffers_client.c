/* Lends and gives vUmem buffers to a server of frames.vidl in another VM, whatever that is written
 * in. "wait": it gives a buffer and waits until the server is lost; "large": only large parameters.
 */
#include "frames_client.c"
#include "hyplink/compat/vidl_umem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "said.h"

#define BYTES 4096u

static VidlBuffer back;
static uint32_t value;

static void on_filled(const frames_Frame* frame, uint32_t number) {
    back = *frame;
    value = number;
}
static uint32_t on_look(const frames_Frame* frame) { return ((unsigned char*)frame->data)[0]; }

struct frame {
    VumemBuffer buffer;
    unsigned char* data;
    VidlBuffer ref;
};
static void make(VumemSession session, struct frame* frame) {
    char wish[] = "4096";
    void* data = NULL;
    EXPECT(vumemBufferAlloc(session, wish, sizeof wish - 1, &frame->buffer) == 0);
    EXPECT(vumemBufferMap(frame->buffer, &data) == 0);
    EXPECT(vidlUmemAttach(frame->buffer, data, &frame->ref) == 0);
    EXPECT(frame->ref.length == BYTES && frame->ref.data == data);
    frame->data = data;
}
static void wait_for_it(VrpqChan chan) {
    while (!vidlHasBuffer(&back)) EXPECT(vrpqCallbackRun(chan, -1) == 0);
}

/* Large parameters through a port that is too small for them. */
static void large(VrpqSession session, VumemSession memory) {
    enum { LARGE = 60000 };
    static unsigned char bytes[LARGE];
    static float floats[4000];
    static uint16_t text[10001];
    char wish[] = "131072";
    frames_client client;
    VumemBuffer room;
    VrpqChan chan;
    void* data = NULL;
    uint32_t i;
    EXPECT(vrpqChanCreateSized(session, 8192, NULL, 0, &chan) == 0);
    EXPECT(vumemBufferAlloc(memory, wish, sizeof wish - 1, &room) == 0);
    EXPECT(vumemBufferMap(room, &data) == 0);
    frames_client_init(&client, chan);
    frames_make_current(&client);
    frames_upload(LARGE, bytes);
    EXPECT(client.base.badArguments == 1);
    client.base.buffers = vidlUmemLargeTable(chan, room, data);
    EXPECT(client.base.buffers != NULL);
    for (i = 1; i <= 40; ++i) {
        memset(bytes, (int)i, sizeof bytes);
        frames_upload(LARGE, bytes);
    }
    EXPECT(frames_uploaded() == 40 * LARGE && frames_mixed() == 0);
    for (i = 0; i < 4000; ++i) floats[i] = 2;
    EXPECT(frames_both(30000, bytes, 4000, floats) == 30000 * 40 + 8000);
    EXPECT(frames_both(0, NULL, 4000, floats) == 8000);
    for (i = 0; i < 10000; ++i) text[i] = 3;
    frames_words(text);
    EXPECT(frames_uploaded() == 30000);
    frames_upload(1000, bytes);
    EXPECT(frames_uploaded() == 40000 && client.base.badArguments == 1);
    EXPECT(vumemBufferFree(room) == 0);
    frames_upload(2000, bytes);
    EXPECT(frames_uploaded() == 80000 && client.base.badArguments == 1);
    frames_upload(LARGE, bytes);
    EXPECT(client.base.badArguments == 2 && client.base.error == 0);
    vidlUmemTableFree(client.base.buffers);
    frames_client_free(&client);
    EXPECT(vrpqChanDestroy(chan) == 0);
}

int main(int count, char** words) {
    static const VidlVersion own[] = {FRAMES_VERSION};
    const int waits = count > 1 && strcmp(words[1], "wait") == 0;
    unsigned char hello[VIDL_HELLO_BYTES(1)];
    struct frame frame, other;
    VumemSession memory;
    VumemBuffer found;
    VrpqSession session;
    VrpqChan chan;
    VidlBuffer part;
    frames_client client;
    listen_to(count, words);
    vidlHello(hello, own, 1);
    EXPECT(vumemSessionCreate("/dev/vumem-clt-vogl0", &memory) == 0);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", hello, sizeof hello, &session) == 0);
    if (count > 1 && strcmp(words[1], "large") == 0) {
        large(session, memory);
        (void)vrpqSessionDestroy(session);
        say(said_wrong ? "wrong" : "ok");
        return 0;
    }
    EXPECT(vrpqChanCreate(session, NULL, 0, &chan) == 0);
    frames_client_init(&client, chan);
    client.base.buffers = vidlUmemClientTable();
    client.on_filled = on_filled;
    client.on_look = on_look;
    frames_make_current(&client);

    make(memory, &frame);
    make(memory, &other);
    frame.data[0] = 1;
    frame.data[1] = 2;
    other.data[BYTES - 1] = 4;
    EXPECT(frames_sum(&frame.ref, NULL) == 3 && frames_sum(&frame.ref, &other.ref) == 7);
    part = frame.ref;
    part.offset = 1;
    part.length = 1;
    EXPECT(frames_sum(&part, NULL) == 2 && client.base.badArguments == 0);
    part.length = BYTES;
    EXPECT(frames_sum(&part, NULL) == 0 && client.base.badArguments == 1);
    EXPECT(frames_touch(&frame.ref, 9) == BYTES && frame.data[0] == 9 &&
           frame.data[BYTES - 1] == 9);

    frames_fill(&frame.ref, 77);
    EXPECT(frames_sum(&frame.ref, NULL) == 0 && client.base.badArguments == 2);
    wait_for_it(chan);
    EXPECT(back.slot == frame.ref.slot && value == 77 && frame.data[0] == 77);
    EXPECT(vidlUmemFind(&back, &found) == 0 && found == frame.buffer);

    EXPECT(frames_keep(&frame.ref) == 1);
    EXPECT(frames_keep(&frame.ref) == 0 && client.base.badArguments == 3);
    EXPECT(frames_keep(&other.ref) == 2);
    EXPECT(frames_kept() == (uint32_t)frame.data[0] + other.data[0]);
    if (waits) {
        say("ready");
        while (client.base.error == 0) (void)frames_kept();
        EXPECT(client.base.error == EPIPE);
    } else {
        memset(&back, 0, sizeof back);
        frames_give_back(5);
        wait_for_it(chan);
        EXPECT(back.slot == other.ref.slot && value == 10 && other.data[0] == 5);
        EXPECT(frames_sum(&other.ref, NULL) == 5 + 4);

        EXPECT(vumemBufferFree(other.buffer) == 0);
        EXPECT(frames_sum(&other.ref, NULL) == 0 && client.base.badArguments == 4);
        EXPECT(vidlUmemFind(&back, &found) == ENOENT && client.base.error == 0);
        vidlUmemTableFree(client.base.buffers);
        client.base.buffers = NULL; /* as no honest client would */
        (void)frames_sum(&other.ref, NULL);
        EXPECT(client.base.error == EBADMSG || client.base.error == EPIPE);
    }
    vidlUmemTableFree(client.base.buffers);
    frames_client_free(&client);
    (void)vrpqChanDestroy(chan);
    (void)vrpqSessionDestroy(session);
    say(said_wrong ? "wrong" : "ok");
    return 0;
}
