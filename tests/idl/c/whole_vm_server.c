/* Serves whole.vidl inside a VM, buffers and callbacks included. What a request without an answer
 * brought is what `fetch` tells next. */
#include <pthread.h>
#include <stdarg.h>

#include "hyplink/compat/vidl_umem.h"
#define SAID_ERROR_TEXT vumemErrorText
#include "lender.h"
#include "said.h"
#include "whole_server.c"

static char last[128];
static whl_progress reporter;
static void* reporter_user;

__attribute__((format(printf, 1, 2))) static void keep(const char* format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(last, sizeof last, format, values);
    va_end(values);
}
static void do_scalars(uint8_t a, int64_t b, double c, uint8_t d, size_t e, long f, const void* g) {
    keep("%u %lld %g %u %llu %ld %llu", a, (long long)b, c, d, (unsigned long long)e, f,
         (unsigned long long)(uintptr_t)g);
}
static void do_keywords(uint32_t a, uint32_t b, uint32_t c, whole_Device device, uint32_t d,
                        uint32_t e, uint32_t f, uint32_t g, uint32_t h, uint32_t i, uint32_t j,
                        uint32_t k, uint32_t l, uint32_t m) {
    (void)device;
    keep("%u %u %u", a, b + c + d + e + f + g + h + i + j + k + l, m);
}
static void do_set_align(uint32_t to, whole_Mode mode) { keep("%u %u", to, mode); }
static void do_upload(uint32_t w, uint32_t h, const void* data) {
    const uint32_t deep = whl_serving()->state.mode == WHOLE_MODE_FAST ? 1 : 4;
    keep("%ux%u %d", w, h, data == NULL ? -1 : (int)((w * deep + 3) / 4 * 4 * h));
}
static void do_image(uint32_t w, uint32_t h, pixels_PixelFormat format, pixels_PixelType type,
                     const void* data) {
    const uint32_t align = whl_serving()->state.align;
    (void)type;
    EXPECT(data != NULL && format == PIXELS_PIXEL_FORMAT_RGB);
    keep("%u", (w * 3 + align - 1) / align * align * (h - 1) + w * 3);
}
static void do_sources(int32_t count, const char* const* text, const int32_t* lens) {
    int32_t i;
    last[0] = '\0';
    for (i = 0; i < count; ++i) {
        EXPECT(strlen(text[i]) == (size_t)lens[i]);
        strcat(strcat(last, text[i]), "|");
    }
}
static void do_rows(uint32_t n, uint32_t width, const whole_Point* const* rows) {
    float all = 0;
    uint32_t i, k;
    for (i = 0; i < n; ++i)
        for (k = 0; k < width; ++k) all += rows[i][k].x * rows[i][k].y;
    keep("%u %g", n, (double)all);
}
static void do_words(const char* name, const uint16_t* values) {
    uint32_t all = 0;
    for (; *values != 0; ++values) all += *values;
    keep("%s %u", name, all);
}
static void do_label(int32_t length, const char* text) { keep("%.*s", (int)length, text); }
static void do_counted(uint32_t n, const whole_Point* points) { keep("%u", points ? n : 0); }
static void do_choose(const whole_Attribute* list) {
    int count = 0;
    while (list != NULL && list[count] != WHOLE_ATTRIBUTE_NONE) count += 2;
    keep("%d", list == NULL ? -1 : count + 1);
}
static void do_fixed(const float* matrix, const char* tag) {
    keep("%g %c", (double)matrix[15], tag[0]);
}
static void do_maybe(uint32_t n, const char* name, const whole_Point* at, const uint32_t* number,
                     const whole_Mode* mode, const uint16_t* list, const float* four,
                     whole_Device device) {
    keep("%u %d%d%d%d%d%d%d", n, name != NULL, at != NULL, number != NULL, mode != NULL,
         list != NULL, four != NULL, device != 0);
}
static uint32_t do_fetch(uint32_t room, uint32_t* values, uint32_t* used, char* text,
                         uint32_t* length) {
    uint32_t i;
    for (i = 0; i < room && i < 3; ++i) values[i] = i * i;
    *used = i;
    if (room > 0) *length = (uint32_t)snprintf(text, room, "%s", last);
    return (uint32_t)strlen(last);
}
static uint32_t do_list(whole_Point* points, uint32_t* count, char* name) {
    static const whole_Point two[2] = {{1, 2}, {3, 4}};
    EXPECT(*count == 32);
    memcpy(points, two, sizeof two);
    *count = 2;
    (void)strcpy(name, "ab");
    return 2;
}
static void do_swap(whole_Point* point, uint32_t* n, void* data) {
    char* const bytes = data;
    const float x = point->x;
    uint32_t i;
    point->x = point->y;
    point->y = x;
    for (i = 0; i < *n / 2; ++i) {
        const char one = bytes[i];
        bytes[i] = bytes[*n - 1 - i];
        bytes[*n - 1 - i] = one;
    }
    ++*n;
}
static void do_partly(uint32_t* first, float* pair, whole_Mode* mode) {
    *first = 7;
    pair[0] = 1;
    pair[1] = 2;
    *mode = WHOLE_MODE_SLOW;
}
static const char* do_version(void) { return "1.3"; }
static const unsigned char* do_extension(uint32_t index) {
    return index == 0 ? NULL : (const unsigned char*)"ext";
}
static int32_t do_location(const char* name) { return (int32_t)strlen(name); }
static whole_Device do_open(const char* name, const whole_Options* options) {
    if (strcmp(name, "none") == 0) whl_fail(VIDL_THROW(WHOLE_STATUS_NO_MEMORY));
    keep("%s %u %g %u", name, options->level, (double)options->scale, options->weights[3]);
    return 0;
}
static whole_Status do_start(whole_Device device, whole_Queue* queue) {
    EXPECT(device != 0 && whl_serving()->base.fresh != 0);
    *queue = whl_serving()->base.fresh;
    return WHOLE_STATUS_OK;
}
static void do_stop(whole_Queue queue) { EXPECT(queue != 0); }
static void do_close(whole_Device device) { EXPECT(device != 0); }
static uint32_t do_configure(whole_Device device, const whole_Options* options) {
    (void)device;
    if (options == NULL) whl_fail(VIDL_THROW(WHOLE_STATUS_BUSY));
    return options == NULL ? 0 : options->level;
}
static void do_submit(whole_Queue queue, const whole_Frame* frame) {
    whole_Options options;
    whole_Options_init(&options);
    options.mode = WHOLE_MODE_FAST;
    options.level = ((const unsigned char*)frame->data)[0];
    whl_emit_frame_done(whl_serving(), queue, frame, &options);
}
static uint32_t add(const whole_Frame* frame) {
    const unsigned char* const bytes = frame->data;
    uint32_t all = 0;
    uint64_t i;
    for (i = 0; i < frame->length; ++i) all += bytes[i];
    return all;
}
static uint32_t do_sum(const whole_Frame* frame, const whole_Frame* second) {
    vidlUmemNext(whl_serving()->base.buffers);
    return add(frame) + (vidlHasBuffer(second) ? add(second) : 0);
}
static void do_bulk(uint32_t n, const float* data) {
    float all = 0;
    uint32_t i;
    for (i = 0; i < n; ++i) all += data[i];
    keep("%u %g", n, (double)all);
}
static void do_on_progress(whl_progress proc, void* user) {
    reporter = proc;
    reporter_user = user;
}
static void do_run(whl_ask proc, void* user, uint32_t rounds) {
    uint32_t all = 0, i;
    for (i = 0; i < rounds; ++i) {
        char question[16];
        uint32_t second = 0;
        (void)snprintf(question, sizeof question, "q%u", i);
        all += proc(question, &second, user) * 10;
        all += second;
    }
    keep("%u", all);
}
static void do_pointer(uint32_t index, const void* pointer) {
    keep("%u %llu", index, (unsigned long long)(uintptr_t)pointer);
}
static void do_internal(uint32_t index) { keep("internal %u", index); }
static void do_draw(uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; ++i) reporter(i, reporter_user);
}

static const whl_api api = {
    do_scalars,     do_keywords, do_set_align, do_upload,    do_image,     do_sources,  do_rows,
    do_words,       do_label,    do_counted,   do_choose,    do_fixed,     do_maybe,    do_fetch,
    do_list,        do_swap,     do_partly,    do_version,   do_extension, do_location, do_open,
    do_start,       do_stop,     do_close,     do_configure, do_submit,    do_sum,      do_bulk,
    do_on_progress, do_run,      do_pointer,   do_internal,  do_draw};

static int serve_one(void) {
    static const VidlVersion own[] = {WHL_VERSION};
    unsigned char info[256];
    uint32_t size = sizeof info;
    VidlHandles handles;
    whl_server server;
    VrpqClientId client;
    VrpqSession session;
    VrpqChan chan;
    int error = vrpqSessionAccept("/dev/vrpq-srv-vogl0", info, &size, &session);
    if (error != 0) return error;
    EXPECT(vidlHelloCheck(info, size, own, 1) == 0);
    EXPECT(vrpqClientIdGet(session, &client) == 0);
    vidlHandlesInit(&handles, 16);
    whl_server_init(&server, &api);
    server.base.handles = &handles;
    server.base.buffers = vidlUmemServerTable(client.vmId, client.appId);
    error = vrpqChanAccept(session, NULL, NULL, &chan);
    if (error == 0) {
        error = whl_serve(&server, chan);
        say("served: %s, %u left", error == EBADMSG ? server.base.why.field : "EPIPE",
            (unsigned)handles.live);
        (void)vrpqChanDestroy(chan);
    }
    (void)vrpqSessionDestroy(session);
    vidlUmemTableFree(server.base.buffers);
    whl_server_free(&server);
    vidlHandlesFree(&handles);
    return error;
}

int main(int count, char** words) {
    pthread_t lender;
    int error;
    listen_to(count, words);
    EXPECT(pthread_create(&lender, NULL, lend, NULL) == 0);
    say("server");
    do {
        error = serve_one();
    } while (error == EPIPE || error == EBADMSG);
    return 0;
}
