/* Uses all of whole.vidl inside a VM against a server in another one, whatever that is written in.
 */
#include "hyplink/compat/vidl_umem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "said.h"
/* The interface has functions of the C library's names; the header it names renames them. */
#include "whole_client.c"

static uint32_t progress[8], progresses;
static VidlBuffer back;
static uint32_t level;
static whole_Queue done_queue;

void whl_before_flush_arrays(whl_client* client, uint32_t count) {
    (void)client;
    EXPECT(count == 3);
}
void whlPointer(uint32_t index, const void* pointer) { whl_send_raw(index, pointer); }

static int told(const char* what) {
    uint32_t values[64], used = 0, length = 0;
    char text[64];
    const uint32_t all = fetch(64, values, &used, text, &length);
    EXPECT(all == length && length == strlen(text) && used == 3);
    EXPECT(values[0] == 0 && values[1] == 1 && values[2] == 4);
    if (strcmp(text, what) != 0) say("told: %s", text);
    return strcmp(text, what) == 0;
}
static void on_step(uint32_t step, void* user) {
    EXPECT(strcmp(user, "mine") == 0);
    if (progresses < 8) progress[progresses++] = step;
}
static uint32_t on_ask(const char* question, uint32_t* second, void* user) {
    *second = *(uint32_t*)user;
    return (uint32_t)question[1] - '0';
}
static void on_frame_done(whole_Queue queue, const whole_Frame* frame,
                          const whole_Options* options) {
    done_queue = queue;
    back = *frame;
    level = options->level;
}

static void values(whole_Device device) {
    static const uint16_t three[4] = {1, 2, 3, 0};
    static const whole_Point points[4] = {{1, 2}, {3, 4}, {5, 6}, {0, 9}};
    static const whole_Attribute list[3] = {WHOLE_ATTRIBUTE_RED, 8, WHOLE_ATTRIBUTE_NONE};
    static const char* const texts[3] = {"void", "", "mainly"};
    static const int32_t lens[3] = {-1, 0, 4};
    static const char bytes[64];
    static float many[20000];
    const whole_Point* pair[2];
    const uint32_t number = 1;
    const whole_Mode mode = WHOLE_MODE_FAST;
    float matrix[16];
    uint32_t i;
    char wanted[64];
    scalars(255, -5, 0.5, 1, 1u << 30, -3, (const void*)(uintptr_t)0x12345678);
    (void)snprintf(wanted, sizeof wanted, "255 -5 0.5 1 %u -3 %u", 1u << 30, 0x12345678u);
    EXPECT(told(wanted));
    keywords(1, 2, 3, device, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
    EXPECT(told("1 77 13"));
    upload(3, 2, bytes);
    EXPECT(told("3x2 24"));
    set_align(8, WHOLE_MODE_FAST);
    EXPECT(told("8 1"));
    upload(3, 2, bytes);
    EXPECT(told("3x2 8"));
    upload(3, 2, NULL);
    EXPECT(told("3x2 -1"));
    image(3, 2, PIXELS_PIXEL_FORMAT_RGB, PIXELS_PIXEL_TYPE_UNSIGNED_BYTE, bytes);
    EXPECT(told("25"));
    sources(3, texts, lens);
    EXPECT(told("void||main|"));
    pair[0] = points;
    pair[1] = points + 2;
    rows(2, 2, pair);
    EXPECT(told("2 44"));
    words("name", three);
    EXPECT(told("name 6"));
    label(-1, "a label");
    EXPECT(told("a label"));
    label(3, "a label");
    EXPECT(told("a l"));
    counted(2, points);
    EXPECT(told("2"));
    choose(list);
    EXPECT(told("3"));
    choose(NULL);
    EXPECT(told("-1"));
    for (i = 0; i < 16; ++i) matrix[i] = i == 15 ? 2.5F : 0;
    fixed(matrix, "tag!");
    EXPECT(told("2.5 t"));
    maybe(2, NULL, NULL, NULL, NULL, NULL, NULL, 0);
    EXPECT(told("2 0000000"));
    maybe(2, "x", points, &number, &mode, three, matrix, device);
    EXPECT(told("2 1111111"));
    for (i = 0; i < 20000; ++i) many[i] = 0.5F;
    bulk(20000, many);
    EXPECT(told("20000 10000"));
    whlPointer(5, (const void*)(uintptr_t)0x40000000);
    EXPECT(told("5 1073741824"));
    whl_send_internal(6);
    EXPECT(told("internal 6"));
}

static void answers(void) {
    whole_Point points[32], point = {1, 2};
    char name[33], data[3] = {'a', 'b', 'c'};
    const char* known;
    uint32_t n = 3, first = 0;
    float two[2] = {0, 0};
    whole_Mode mode = 0;
    EXPECT(list(points, name) == 2 && points[1].y == 4 && strcmp(name, "ab") == 0);
    swap(&point, &n, data);
    EXPECT(point.x == 2 && point.y == 1 && n == 4 && memcmp(data, "cba", 3) == 0);
    partly(&first, two, &mode);
    EXPECT(first == 7 && two[0] == 1 && two[1] == 2 && mode == WHOLE_MODE_SLOW);
    mode = 0;
    partly(NULL, NULL, &mode);
    EXPECT(mode == WHOLE_MODE_SLOW);
    known = version();
    EXPECT(strcmp(known, "1.3") == 0 && version() == known);
    EXPECT(extension(0) == NULL && strcmp((const char*)extension(1), "ext") == 0);
    EXPECT(location("seven..") == 7);
}

static void callbacks(void) {
    uint32_t four = 4, i;
    on_progress(on_step, "mine");
    draw(3);
    EXPECT(told("internal 6") && progresses == 3);
    for (i = 0; i < 3; ++i) EXPECT(progress[i] == i);
    run(on_ask, &four, 3);
    EXPECT(told("42"));
}

static void buffers(whl_client* client, VumemSession memory, whole_Queue queue) {
    char wish[] = "4096";
    uint32_t bad = client->base.badArguments;
    VumemBuffer buffer;
    VidlBuffer frame;
    void* data = NULL;
    EXPECT(vumemBufferAlloc(memory, wish, sizeof wish - 1, &buffer) == 0);
    EXPECT(vumemBufferMap(buffer, &data) == 0 && vidlUmemAttach(buffer, data, &frame) == 0);
    *(unsigned char*)data = 5;
    EXPECT(sum(&frame, NULL) == 5 && sum(&frame, &frame) == 10);
    submit(queue, &frame);
    EXPECT(sum(&frame, NULL) == 0 && client->base.badArguments == bad + 1);
    while (!vidlHasBuffer(&back) && client->base.error == 0)
        EXPECT(vrpqCallbackRun(client->base.chan, -1) == 0);
    EXPECT(back.slot == frame.slot && done_queue == queue && level == 5);
    EXPECT(sum(&frame, NULL) == 5);
}

int main(int count, char** words_) {
    static const VidlVersion own[] = {WHL_VERSION};
    unsigned char hello[VIDL_HELLO_BYTES(1)];
    const whole_Options* none = NULL;
    whole_Options options;
    whole_Device device;
    whole_Queue queue = 0;
    whl_client client;
    VumemSession memory;
    VrpqSession session;
    VrpqChan chan;
    listen_to(count, words_);
    vidlHello(hello, own, 1);
    EXPECT(vumemSessionCreate("/dev/vumem-clt-vogl0", &memory) == 0);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", hello, sizeof hello, &session) == 0);
    EXPECT(vrpqChanCreate(session, NULL, 0, &chan) == 0);
    whl_client_init(&client, chan);
    client.base.buffers = vidlUmemClientTable();
    client.on_frame_done = on_frame_done;
    whl_make_current(&client);

    whole_Options_init(&options);
    options.mode = WHOLE_MODE_SLOW;
    options.weights[3] = 4;
    options.level = 7;
    EXPECT(open("none", &options) == 0);
    EXPECT(VIDL_THROWN(client.base.reason) == WHOLE_STATUS_NO_MEMORY);
    device = open("front", &options);
    EXPECT(device != 0 && told("front 7 1.5 4"));
    values(device);
    answers();
    callbacks();
    EXPECT(start(device, &queue) == WHOLE_STATUS_OK && queue != 0);
    EXPECT(configure(device, &options) == 7 && configure(device, none) == 0);
    EXPECT(VIDL_THROWN(client.base.reason) == WHOLE_STATUS_BUSY);
    EXPECT(client.base.badArguments == 0 && client.base.error == 0);
    buffers(&client, memory, queue);
    stop(queue);
    close(device);
    EXPECT(client.base.error == 0);
    (void)configure(device, &options); /* it is gone: the channel ends */
    EXPECT(client.base.error == EBADMSG || client.base.error == EPIPE);
    EXPECT(location("lost") == -1);
    vidlUmemTableFree(client.base.buffers);
    whl_client_free(&client);
    say(said_wrong ? "wrong" : "ok");
    return 0;
}
