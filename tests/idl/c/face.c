/* A client and a server of cface.vidl in one process: what the C face promises beyond the bytes.
 * Each function is one promise; the test runs them by name, no name lists them. */
#include <stdio.h>

#include "cface.h"
#include "loop.h"

#define CHECK(what)                                                    \
    do {                                                               \
        if (!(what)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                   \
        }                                                              \
    } while (0)

/* ---- the server
 * --------------------------------------------------------------------------------*/

static char seen[4096];
static int32_t room_of_log;
static uint32_t calls_of_name, names_version;

static void saw(const char* text) { strcat(seen, text); }

static void s_store(cface_Align pname, int32_t param) {
    char text[64];
    snprintf(text, sizeof text, "store %u %d;", pname, param);
    saw(text);
}
static void s_source(uint32_t shader, int32_t count, const char* const* source,
                     const int32_t* lens) {
    int32_t i;
    char text[64];
    snprintf(text, sizeof text, "source %u", shader);
    saw(text);
    for (i = 0; i < count; ++i) {
        CHECK(source[i][lens[i]] == '\0');
        snprintf(text, sizeof text, " %d=", lens[i]);
        saw(text);
        saw(source[i]);
    }
    saw(";");
}
static void s_upload(int32_t w, int32_t h, cface_Format format, uint32_t kind, const void* pixels) {
    char text[64];
    (void)kind;
    snprintf(text, sizeof text, "upload %dx%d %u %s;", w, h, format,
             pixels == NULL ? "null" : (const char*)pixels);
    saw(text);
}
static void s_download(int32_t w, int32_t h, cface_Format format, uint32_t kind, void* pixels) {
    const int32_t row = (w * (int32_t)(kind == 9 ? 2 : format) + cf_serving()->state.pack - 1) /
                        cf_serving()->state.pack * cf_serving()->state.pack;
    memset(pixels, 'x', (size_t)(row * (h - 1) + w * (int32_t)(kind == 9 ? 2 : format)));
}
static const char report[] = "0:1: error";
static void s_log(uint32_t shader, int32_t size, int32_t* length, char* text) {
    const int32_t all = (int32_t)strlen(report);
    const int32_t some = size <= 0 ? 0 : all < size ? all : size - 1;
    (void)shader;
    room_of_log = size;
    if (size > 0) {
        memcpy(text, report, (size_t)some);
        text[some] = '\0';
    }
    if (length != NULL) *length = some;
}
static void s_active(uint32_t index, int32_t size, int32_t* length, int32_t* kind, char* name) {
    s_log(index, size, length, name);
    *kind = 35665;
}
static void s_attached(int32_t most, int32_t* count, uint32_t* list) {
    int32_t i;
    for (i = 0; i < most && i < 3; ++i) list[i] = (uint32_t)i + 10;
    *count = i;
}
static void s_get_reply(uint32_t pname, int32_t* values, uint32_t* count) {
    uint32_t i;
    CHECK(*count == 16);
    for (i = 0; i < pname && i < *count; ++i) values[i] = (int32_t)i + 1;
    *count = pname;
}
static const char* s_name_of(uint32_t which) {
    static char text[64];
    ++calls_of_name;
    if (which == 0) return NULL;
    snprintf(text, sizeof text, "name %u.%u", which, names_version);
    return text;
}
static void s_rename(uint32_t which) {
    (void)which;
    ++names_version;
}
static int32_t s_make(const int32_t* list, uint32_t* made) {
    int32_t n = 0;
    *made = 77;
    if (list == NULL) return -1;
    while (list[2 * n] != 0) ++n;
    return n;
}
static void s_place(const cface_Point* where, const char* label, uint32_t n, const uint16_t* few) {
    char text[96];
    snprintf(text, sizeof text, "place %d %s %u %s;", where == NULL ? -1 : where->x,
             label == NULL ? "null" : label, n,
             few == NULL       ? "null"
             : few[n - 1] == 7 ? "7"
                               : "?");
    saw(text);
}
static uint8_t s_swap(uint32_t* value, uint32_t n, int16_t* row) {
    uint32_t i;
    *value += 1;
    for (i = 0; i < n; ++i) row[i] = (int16_t)-row[i];
    return 5;
}
static void s_flags(uint32_t n, const uint8_t* given, uint8_t* back, size_t* big, long* small,
                    const void** where) {
    uint32_t i;
    for (i = 0; i < n; ++i) back[i] = given[i] ? 0 : 0x80;
    *big = SIZE_MAX;
    *small = -5;
    *where = &calls_of_name;
}
static void s_pointer(uint32_t index, const void* at) {
    char text[64];
    snprintf(text, sizeof text, "pointer %u %u;", index, (unsigned)(uintptr_t)at);
    saw(text);
}
static void s_elements(uint32_t index, uint32_t n, const void* data) {
    char text[64];
    snprintf(text, sizeof text, "elements %u %.*s;", index, (int)n, (const char*)data);
    saw(text);
}
static void s_draw(uint32_t mode, int32_t first, int32_t count) {
    char text[64];
    snprintf(text, sizeof text, "draw %u %d %d;", mode, first, count);
    saw(text);
}
static void s_sized(size_t length, long offset, const char* text) {
    char line[64];
    (void)text;
    snprintf(line, sizeof line, "sized %lu %ld;", (unsigned long)length, offset);
    saw(line);
}
static uint32_t s_version(void) { return ++names_version; }
static cface_Point s_middle(cface_Point a, cface_Point b) {
    cface_Point middle;
    middle.x = (a.x + b.x) / 2;
    middle.y = (a.y + b.y) / 2;
    return middle;
}
static void s_cut(int32_t n, const uint32_t* list) {
    char text[64];
    snprintf(text, sizeof text, "cut %d %u;", n, list == NULL ? 0 : list[n - 1]);
    saw(text);
}
static const char* s_title(uint32_t which) {
    return which == 0 ? NULL : which == 1 ? "short" : "much too long";
}

static cface_Store s_open(const char* name) {
    const uint32_t fresh = cf_serving()->base.fresh;
    if (strcmp(name, "full") == 0) cf_fail(VIDL_THROW(CFACE_FAULT_BROKEN));
    if (strcmp(name, "late") == 0) cf_fail(ETIME);
    vidlHandleSet(cf_serving()->base.handles, fresh, seen);
    return 0;
}
static cface_Item s_add(cface_Store s) {
    CHECK(vidlHandleObject(cf_serving()->base.handles, s) == seen);
    return 0;
}
static void s_remove(cface_Item i) { CHECK(i != 0); }
static void s_close(cface_Store s) { CHECK(s != 0); }
static uint32_t s_look(cface_Store s, cface_Item i) { return (s != 0) + 2u * (i != 0); }

static cf_Progress progress;
static void* progress_user;

static void s_watch(cf_Progress p, void* user, uint32_t every) {
    (void)every;
    CHECK(p == NULL || p == cf_emit_Progress);
    progress = p;
    progress_user = user;
}
static uint32_t s_ask(cface_Store s, cf_Question q, void* user) {
    uint32_t more = 0;
    const int32_t answer = q(3, &more, user);
    CHECK(s != 0);
    return answer < 0 ? 0 : (uint32_t)answer + more;
}

static cf_api api;

/* Tables are filled by name, as from a library's own functions. */
static void fill(void) {
    static const struct {
        const char* name;
        void (*function)(void);
    } found[] = {
#define FOUND(name) {"cf_" #name, (void (*)(void))s_##name}
        FOUND(store),
        FOUND(source),
        FOUND(upload),
        FOUND(download),
        FOUND(log),
        FOUND(active),
        FOUND(attached),
        FOUND(get_reply),
        FOUND(name_of),
        FOUND(rename),
        FOUND(make),
        FOUND(place),
        FOUND(swap),
        FOUND(flags),
        FOUND(pointer),
        FOUND(draw),
        FOUND(sized),
        FOUND(version),
        FOUND(middle),
        FOUND(title),
        FOUND(cut),
        FOUND(open),
        FOUND(add),
        FOUND(remove),
        FOUND(close),
        FOUND(look),
        FOUND(watch),
        FOUND(ask),
        {"elements", (void (*)(void))s_elements},
    };
    size_t i, k;
    for (i = 0; i < CF_ENTRIES; ++i) {
        for (k = 0; k < sizeof found / sizeof found[0]; ++k) {
            if (strcmp(cf_entries[i].name, found[k].name) == 0)
                memcpy((char*)&api + cf_entries[i].offset, &found[k].function, sizeof(void*));
        }
    }
}

/* ---- what is written by hand at the client
 * -------------------------------------------------------*/

static int arrays_in_use;

void cf_before_arrays(cf_client* client, uint32_t mode, int32_t first, int32_t count) {
    (void)mode;
    if (arrays_in_use) cf_send_elements((uint32_t)first, (uint32_t)count, "0123456789");
    CHECK(client == cf_current());
}
static void cf_pointer(uint32_t index, const void* at) { cf_send_pointer(index + 1, at); }

/* ---- both
 * ---------------------------------------------------------------------------------------*/

static struct VrpqChanObj chan;
static cf_server server;
static cf_client client;
static VidlHandles handles;
static int losses;
static char told[256];

static int32_t serve(void* to, VrpqReq* req, const void* base) {
    return cf_dispatch((cf_server*)to, req, base);
}
static void on_lost(VidlClient* it, int error) {
    CHECK(it == &client.base && error != 0);
    ++losses;
}
static void on_bad(VidlClient* it, const char* proc, const char* field) {
    CHECK(it == &client.base);
    snprintf(told, sizeof told, "%s.%s", proc, field);
}
static void begin(void) {
    fill();
    loop_init(&chan);
    cf_server_init(&server, &api);
    vidlHandlesInit(&handles, 100);
    server.base.handles = &handles;
    server.caller.base.chan = &chan;
    cf_client_init(&client, &chan);
    client.base.on_lost = on_lost;
    client.base.on_bad_argument = on_bad;
    chan.serve = serve;
    chan.server = &server;
    cf_make_current(&client);
}
static void end(void) {
    CHECK(chan.status >= 0);
    cf_make_current(NULL);
    cf_client_free(&client);
    cf_server_free(&server);
    vidlHandlesFree(&handles);
    loop_free(&chan);
}
static void refused(const char* what) {
    CHECK(strcmp(told, what) == 0);
    told[0] = '\0';
}

static void nested_texts_carry_their_lengths(void) {
    static const char* const texts[] = {"void main(){", "", "}extra"};
    const int32_t lens[] = {-1, 0, 1};
    const char* const hole[] = {"a", NULL};
    cf_source(3, 3, texts, lens);
    cf_source(4, 2, texts, NULL);
    cf_source(5, 0, NULL, NULL);
    CHECK(strcmp(seen, "source 3 12=void main(){ 0= 1=};source 4 12=void main(){ 0=;source 5;") ==
          0);
    cf_source(6, 2, hole, NULL);
    refused("source.string");
    cf_source(6, 65, texts, NULL);
    refused("source.count");
    CHECK(chan.posts == 3);
}
static void a_shadowed_state_sizes_transfers_on_both_sides(void) {
    char picture[64];
    memset(picture, '.', sizeof picture);
    cf_download(3, 2, 1, 1, picture);
    CHECK(memcmp(picture, "xxxxxxx.", 8) == 0);
    cf_store(1, 8);
    memset(picture, '.', sizeof picture);
    cf_download(3, 2, 1, 1, picture);
    CHECK(memcmp(picture, "xxxxxxxxxxx.", 12) == 0);
    CHECK(client.state.pack == 8 && server.state.pack == 8 && server.state.unpack == 4);
    cf_store(1, 3);
    refused("store.param");
    CHECK(client.state.pack == 8);
    cf_download(0, 2, 1, 1, NULL);
    CHECK(client.base.error == 0 && client.base.badArguments == 1);
}
static void a_size_that_nothing_matches_never_reaches_the_wire(void) {
    char pixels[16] = "pix";
    cf_upload(1, 1, 1, 2, pixels);
    refused("upload.pixels");
    cf_upload(1, 1, 2, 1, pixels);
    refused("upload.format");
    cf_upload(65, 1, 1, 1, pixels);
    refused("upload.w");
    cf_upload(4, 1, 1, 1, NULL);
    cf_upload(4, 1, 1, 1, pixels);
    CHECK(strcmp(seen, "upload 4x1 1 null;upload 4x1 1 pix;") == 0);
    CHECK(chan.posts == 2);
}
static void capacities_are_exact_down_to_nothing(void) {
    char text[16];
    int32_t length = -1, kind = 0;
    memset(text, '#', sizeof text);
    cf_log(1, 16, &length, text);
    CHECK(length == 10 && strcmp(text, report) == 0);
    memset(text, '#', sizeof text);
    cf_log(1, 5, &length, text);
    CHECK(length == 4 && memcmp(text, "0:1:\0#", 6) == 0);
    cf_log(1, 1, &length, text);
    CHECK(length == 0 && memcmp(text, "\0:1:\0#", 6) == 0);
    text[0] = '#';
    cf_log(1, 0, &length, text);
    CHECK(length == 0 && text[0] == '#');
    cf_log(1, 0, NULL, NULL);
    cf_log(1, -3, NULL, text);
    CHECK(text[0] == '#');
    cf_log(1, 16, NULL, text);
    CHECK(strcmp(text, report) == 0);
    CHECK(client.base.badArguments == 0);
    cf_log(1, 16, &length, NULL);
    refused("log.text");
    length = 0;
    cf_log(1, 0x7FFFFFFF, &length, text);
    CHECK(length == 10 && room_of_log == 256);
    cf_active(2, 65, &length, &kind, text);
    refused("active.name");
    cf_active(2, 16, &length, &kind, NULL);
    CHECK(length == 10 && kind == 35665);
    cf_active(2, 16, NULL, NULL, text);
    refused("active.kind");
    CHECK(client.base.error == 0);
}
static void lists_have_what_the_server_says(void) {
    uint32_t list[8];
    int32_t values[16], count = -1;
    memset(list, 0, sizeof list);
    memset(values, 0, sizeof values);
    cf_attached(8, &count, list);
    CHECK(count == 3 && list[0] == 10 && list[2] == 12 && list[3] == 0);
    cf_attached(2, &count, list);
    CHECK(count == 2);
    cf_attached(0, &count, NULL);
    CHECK(count == 0);
    cf_attached(2, NULL, list);
    cf_get(4, values);
    CHECK(values[3] == 4 && values[4] == 0);
    cf_get(0, values);
    cf_get(16, values);
    CHECK(values[15] == 16);
    cf_get(99, values);
    CHECK(client.base.error == 0);
}
static void an_array_is_never_cut_in_silence(void) {
    const uint32_t list[5] = {1, 2, 3, 4, 5};
    unsigned char* const block = malloc(32);
    VrpqReq req;
    cf_cut(4, list);
    cf_cut(1000, NULL);
    cf_cut(5, list);
    refused("cut.list");
    CHECK(strcmp(seen, "cut 4 4;cut 1000 0;") == 0);
    /* A client of another's making cuts it all the same: the server's function never knows. */
    memset(block, 0, 32);
    memset(&req, 0, sizeof req);
    vidlPut32(block, 1000);
    vidlPutPart(block + 4, 16, 16);
    vidlPut32(block + 28, 9);
    req.procId = CF_PROC_CUT;
    req.in = block;
    req.inSize = 32;
    CHECK(cf_dispatch(&server, &req, NULL) == 0);
    CHECK(strcmp(seen, "cut 4 4;cut 1000 0;cut 4 9;") == 0);
    free(block);
}
static void texts_stay_where_they_are_until_they_change(void) {
    const char* const first = cf_name_of(1);
    const char* const second = cf_name_of(2);
    CHECK(strcmp(first, "name 1.0") == 0 && strcmp(second, "name 2.0") == 0);
    CHECK(cf_name_of(1) == first && calls_of_name == 2);
    CHECK(cf_name_of(0) == NULL && cf_name_of(0) == NULL && calls_of_name == 3);
    cf_rename(1);
    CHECK(strcmp(first, "name 1.0") == 0);
    CHECK(strcmp(cf_name_of(1), "name 1.1") == 0 && calls_of_name == 4);
    CHECK(strcmp(cf_title(1), "short") == 0);
    CHECK(cf_title(2) == NULL && client.base.reason == EMSGSIZE);
    CHECK(cf_title(0) == NULL && client.base.reason == EPROTO);
    CHECK(cf_version() == 2 && cf_version() == 2);
    CHECK(client.base.error == 0);
}
static void a_list_ends_at_its_mark(void) {
    const int32_t list[] = {1, 0, 2, 0, 0, 9};
    int32_t endless[17];
    uint32_t made = 0;
    size_t i;
    for (i = 0; i < 17; ++i) endless[i] = 1;
    CHECK(cf_make(list, &made) == 2 && made == 77);
    CHECK(cf_make(NULL, NULL) == -1);
    CHECK(cf_make(endless, NULL) == -7);
    refused("make.list");
}
static void handles_live_from_creation_to_the_end_of_their_parent(void) {
    const cface_Store one = cf_open("one"), two = cf_open("two");
    cface_Item items[64];
    uint32_t i;
    CHECK(one == (1u | 1u << 20) && two == (2u | 1u << 20));
    for (i = 0; i < 64; ++i) items[i] = cf_add(i % 2 ? two : one);
    CHECK(handles.live == 66 && items[63] != 0);
    cf_remove(items[0]);
    CHECK(handles.live == 65);
    CHECK(cf_look(one, items[2]) == 3 && cf_look(0, 0) == 0);
    cf_close(one);
    CHECK(handles.live == 33);
    CHECK(cf_look(two, items[1]) == 3);
    for (i = 0; i < 67; ++i) CHECK(cf_add(two) != 0);
    CHECK(cf_add(two) == 0 && client.base.reason == ENOMEM);
    cf_close(0);
    refused("close.s");
    CHECK(cf_look(one, 0) == 0 && client.base.error == EPIPE);
    CHECK(server.base.why.rule == 13 && strcmp(server.base.why.field, "s") == 0);
    chan.status = 0;
}
static void a_failure_is_thrown_and_makes_nothing(void) {
    CHECK(cf_open("full") == 0);
    CHECK(VIDL_IS_THROWN(client.base.reason));
    CHECK(VIDL_THROWN(client.base.reason) == CFACE_FAULT_BROKEN);
    CHECK(cf_open("late") == 0 && client.base.reason == ETIME);
    CHECK(handles.live == 0 && client.base.error == 0 && client.base.refusals == 2);
    CHECK(cf_open("one") == (1u | 3u << 20));
}
static void c_progress(uint32_t done, const char* what, void* user) {
    char text[64];
    snprintf(text, sizeof text, "%s %u %s;", (const char*)user, done, what);
    saw(text);
}
static int32_t c_question(uint32_t number, uint32_t* more, void* user) {
    CHECK(user == &told);
    CHECK(cf_title(1) != NULL); /* a call inside a callback inside a call */
    *more = 4;
    return (int32_t)number * 2;
}
static void c_tick(uint64_t at) {
    CHECK(at == 7);
    saw("tick;");
}
static void callbacks_reach_the_function_that_was_registered(void) {
    char first[] = "first", second[] = "second";
    void* old;
    cf_watch(c_progress, first, 1);
    progress(50, "half", progress_user);
    cf_watch(c_progress, second, 1);
    progress(100, "all", progress_user);
    CHECK(strcmp(seen, "first 50 half;second 100 all;") == 0);
    progress(101, "too much", progress_user);
    progress(1, "more than sixteen letters", progress_user);
    CHECK(server.caller.base.badArguments == 2);
    chan.full = 1;
    progress(1, "slow", progress_user);
    CHECK(server.caller.base.reason == EAGAIN && server.caller.base.error == 0);
    chan.full = 0;
    old = progress_user;
    cf_watch(NULL, NULL, 1);
    CHECK(progress == NULL && progress_user == NULL);
    cf_emit_Progress(2, "gone", old);
    CHECK(client.base.registry.dropped == 0); /* the server knows that there is none */
    cf_emit_tick(&server, 7);
    client.on_tick = c_tick;
    cf_emit_tick(&server, 7);
    CHECK(strcmp(seen, "first 50 half;second 100 all;tick;") == 0);
    CHECK(client.base.error == 0);
}
static void a_callback_may_ask_and_be_asked_inside_a_call(void) {
    const cface_Store store = cf_open("one");
    CHECK(cf_ask(store, c_question, told) == 10);
    CHECK(cf_ask(store, NULL, told) == 0);
    refused("ask.q");
}
static void a_hostile_server_reaches_no_function_of_another_kind(void) {
    unsigned char block[16];
    VrpqReq req;
    uint32_t number;
    cf_watch(c_progress, told, 1);
    number = 1u | 1u << 16;
    memset(&req, 0, sizeof req);
    memset(block, 0, sizeof block);
    vidlPut32(block + 4, number);
    req.procId = CF_CALLBACK_QUESTION;
    req.in = block;
    req.inSize = 8;
    req.out = block + 8;
    req.outSize = 8;
    req.isCall = 1;
    CHECK(chan.handler(chan.cookie, &req) == ECANCELED && client.base.registry.dropped == 1);
    CHECK(client.base.error == 0);
    req.isCall = 0;
    CHECK(chan.handler(chan.cookie, &req) == EBADMSG && client.base.error == EBADMSG);
    CHECK(losses == 1 && client.base.broken.rule == 2);
}
static void what_may_be_absent_is(void) {
    const cface_Point where = {5, 6};
    const cface_Point far = {500, 6};
    const uint16_t few[] = {1, 7};
    cf_place(&where, "here", 2, few);
    cf_place(NULL, NULL, 2, NULL);
    CHECK(strcmp(seen, "place 5 here 2 7;place -1 null 2 null;") == 0);
    cf_place(&far, NULL, 0, NULL);
    refused("place.where");
    cf_place(NULL, "seventeen letters", 0, NULL);
    refused("place.label");
}
static void values_go_in_and_come_out(void) {
    uint32_t value = 41;
    int16_t row[4] = {1, 2, 3, 4};
    const uint8_t given[4] = {0, 9, 1, 0};
    uint8_t back[4];
    size_t big = 0;
    long small = 0;
    const void* where = NULL;
    cface_Point a = {2, 4}, b = {4, 8};
    CHECK(cf_swap(&value, 3, row) == 1);
    CHECK(value == 42 && row[0] == -1 && row[2] == -3 && row[3] == 4);
    CHECK(cf_swap(NULL, 3, row) == 0);
    refused("swap.value");
    cf_flags(4, given, back, &big, &small, &where);
    CHECK(back[0] == 1 && back[1] == 0 && back[2] == 0 && back[3] == 1);
    CHECK(big == SIZE_MAX && small == -5 && where == &calls_of_name);
    CHECK(cf_middle(a, b).x == 3 && cf_middle(a, b).y == 6);
    a.x = 101;
    CHECK(cf_middle(a, b).x == 0);
    refused("middle.a");
    cf_sized(SIZE_MAX / 2, -9, "abc");
    CHECK(client.base.error == 0 && strstr(seen, " -9;") != NULL);
}
static void hand_written_functions_and_hooks_come_first(void) {
    const uint32_t before = chan.notifies;
    cf_pointer(1, (const void*)(uintptr_t)64);
    cf_draw(4, 0, 3);
    arrays_in_use = 1;
    cf_draw(4, 1, 3);
    CHECK(strcmp(seen, "pointer 2 64;draw 4 0 3;elements 1 012;draw 4 1 3;") == 0);
    CHECK(chan.notifies - before == 2);
}
static void a_lost_peer_is_told_once_and_answered_for(void) {
    uint32_t value = 1, made = 5;
    chan.error = EPIPE;
    CHECK(cf_make(NULL, &made) == -7 && made == 5);
    CHECK(cf_make(NULL, &made) == -7);
    CHECK(cf_swap(&value, 0, NULL) == 0 && value == 1);
    CHECK(cf_name_of(1) == NULL);
    cf_store(1, 2);
    CHECK(losses == 1 && client.base.error == EPIPE && client.state.pack == 4);
    cf_make_current(NULL);
    cf_store(1, 2);
    CHECK(cf_make(NULL, &made) == -7);
}
static void too_big_and_too_late_are_not_losses(void) {
    chan.error = EMSGSIZE;
    cf_store(1, 2);
    refused("store.");
    chan.error = ETIMEDOUT;
    CHECK(cf_version() == 0);
    CHECK(client.base.reason == ETIMEDOUT && client.base.error == 0 && losses == 0);
    chan.error = 0;
    CHECK(cf_version() != 0);
}
static void functions_that_are_missing_are_unsupported(void) {
    memset(&api, 0, sizeof api);
    CHECK(cf_version() == 0 && client.base.reason == EOPNOTSUPP && server.base.unknown == 1);
    cf_store(1, 8);
    CHECK(server.base.unknown == 2 && server.state.pack == 8);
}
static void a_hello_of_another_major_or_hash_is_refused(void) {
    const VidlVersion mine[] = {CF_VERSION};
    VidlVersion other = mine[0];
    unsigned char info[VIDL_HELLO_BYTES(1) + 4];
    vidlHello(info, mine, 1);
    CHECK(vidlHelloCheck(info, sizeof info, mine, 1) == 0);
    CHECK(vidlHelloCheck(NULL, 0, mine, 1) == 0);
    CHECK(vidlHelloCheck("something of the user's", 23, mine, 1) == 0);
    CHECK(vidlHelloCheck(info, 20, mine, 1) == EPROTONOSUPPORT);
    other.hash ^= 1;
    CHECK(vidlHelloCheck(info, sizeof info, &other, 1) == EPROTONOSUPPORT);
    other.minor = 7;
    CHECK(vidlHelloCheck(info, sizeof info, &other, 1) == 0);
    other.major = 7;
    CHECK(vidlHelloCheck(info, sizeof info, &other, 1) == EPROTONOSUPPORT);
}

static const struct {
    const char* name;
    void (*run)(void);
} promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(nested_texts_carry_their_lengths),
    PROMISE(a_shadowed_state_sizes_transfers_on_both_sides),
    PROMISE(a_size_that_nothing_matches_never_reaches_the_wire),
    PROMISE(capacities_are_exact_down_to_nothing),
    PROMISE(lists_have_what_the_server_says),
    PROMISE(an_array_is_never_cut_in_silence),
    PROMISE(texts_stay_where_they_are_until_they_change),
    PROMISE(a_list_ends_at_its_mark),
    PROMISE(handles_live_from_creation_to_the_end_of_their_parent),
    PROMISE(a_failure_is_thrown_and_makes_nothing),
    PROMISE(callbacks_reach_the_function_that_was_registered),
    PROMISE(a_callback_may_ask_and_be_asked_inside_a_call),
    PROMISE(a_hostile_server_reaches_no_function_of_another_kind),
    PROMISE(what_may_be_absent_is),
    PROMISE(values_go_in_and_come_out),
    PROMISE(hand_written_functions_and_hooks_come_first),
    PROMISE(a_lost_peer_is_told_once_and_answered_for),
    PROMISE(too_big_and_too_late_are_not_losses),
    PROMISE(functions_that_are_missing_are_unsupported),
    PROMISE(a_hello_of_another_major_or_hash_is_refused),
};

int main(int argc, char** argv) {
    size_t i;
    for (i = 0; i < sizeof promises / sizeof promises[0]; ++i) {
        if (argc < 2) puts(promises[i].name);
        if (argc < 2 || strcmp(argv[1], promises[i].name) != 0) continue;
        begin();
        promises[i].run();
        end();
        return 0;
    }
    return argc < 2 ? 0 : 2;
}
