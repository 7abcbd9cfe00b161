/* Serves cface.vidl inside a VM, client after client, until its own VM goes. */
#include "cface_server.c"
#include "said.h"

static char source[64];

static void keep_source(uint32_t shader, int32_t count, const char* const* texts,
                        const int32_t* lens) {
    int32_t i;
    (void)shader;
    source[0] = '\0';
    for (i = 0; i < count; ++i) strncat(source, texts[i], (size_t)lens[i]);
}
static void nothing(cface_Align pname, int32_t param) {
    (void)pname;
    (void)param;
}
static void download(int32_t w, int32_t h, cface_Format format, uint32_t kind, void* pixels) {
    const int32_t pack = cf_serving()->state.pack;
    const int32_t row = (w * (int32_t)format + pack - 1) / pack * pack;
    (void)kind;
    memset(pixels, 'x', (size_t)(row * (h - 1) + w * (int32_t)format));
}
static void show_log(uint32_t shader, int32_t size, int32_t* length, char* text) {
    (void)shader;
    if (size > 0) *length = snprintf(text, (size_t)size, "%s", source);
}
static void get(uint32_t pname, int32_t* values, uint32_t* count) {
    uint32_t i;
    for (i = 0; i < pname && i < *count; ++i) values[i] = (int32_t)(pname - i);
    *count = i;
}
static const char* name_of(uint32_t which) { return which == 0 ? NULL : "a name"; }
static cface_Store open_store(const char* name) {
    if (strcmp(name, "full") == 0) cf_fail(VIDL_THROW(CFACE_FAULT_NO_ROOM));
    return 0;
}
static void close_store(cface_Store s) { (void)s; }

static int serve_one(void) {
    static cf_api api;
    static const VidlVersion mine[] = {CF_VERSION};
    unsigned char info[256];
    uint32_t size = sizeof info;
    cf_server server;
    VidlHandles handles;
    VrpqSession session;
    VrpqChan chan;
    int error = vrpqSessionAccept("/dev/vrpq-srv-vogl0", info, &size, &session);
    if (error != 0) return error;
    say("hello %d", vidlHelloCheck(info, size, mine, 1));
    api.cf_source = keep_source;
    api.cf_store = nothing;
    api.cf_download = download;
    api.cf_log = show_log;
    api.cf_get_reply = get;
    api.cf_name_of = name_of;
    api.cf_open = open_store;
    api.cf_close = close_store;
    vidlHandlesInit(&handles, 16);
    cf_server_init(&server, &api);
    server.base.handles = &handles;
    error = vrpqChanAccept(session, NULL, NULL, &chan);
    if (error == 0) {
        error = cf_serve(&server, chan);
        if (error == EBADMSG)
            say("rule D%u of %s", (unsigned)server.base.why.rule, server.base.why.field);
        say("served: %s, %u handles left", error == EPIPE ? "EPIPE" : strerror(error),
            (unsigned)handles.live);
        (void)vrpqChanDestroy(chan);
    }
    (void)vrpqSessionDestroy(session);
    cf_server_free(&server);
    vidlHandlesFree(&handles);
    return error;
}

int main(int count, char** words) {
    int error;
    listen_to(count, words);
    say("server");
    do {
        error = serve_one();
    } while (error == EPIPE || error == EBADMSG);
    return 0;
}
