/* Uses cface.vidl inside a VM; with "wait" it goes on until the server is lost, with "break" it
 * ends with a block that no generated client would send. */
#include "cface_client.c"
#include "said.h"

static int losses;

void cf_before_arrays(cf_client* client, uint32_t mode, int32_t first, int32_t count) {
    (void)client;
    (void)mode;
    (void)first;
    (void)count;
}
static void on_lost(VidlClient* client, int error) {
    (void)client;
    losses += error == EPIPE;
}

static void use(cf_client* client) {
    const char* const texts[] = {"void main()", "{}", "tail"};
    const int32_t lens[] = {-1, 2, 1};
    char text[32], picture[32];
    int32_t length = -1, values[16];
    const char* name;
    cface_Store store;
    memset(picture, '.', sizeof picture);
    cf_source(1, 3, texts, lens);
    cf_log(1, (int32_t)sizeof text, &length, text);
    EXPECT(length == 14 && strcmp(text, "void main(){}t") == 0);
    cf_store(CFACE_ALIGN_PACK, 8);
    cf_download(3, 2, CFACE_FORMAT_GREY, 1, picture);
    EXPECT(memcmp(picture, "xxxxxxxxxxx.", 12) == 0);
    cf_get(5, values);
    EXPECT(values[0] == 5 && values[4] == 1);
    name = cf_name_of(7);
    EXPECT(name != NULL && strcmp(name, "a name") == 0 && cf_name_of(7) == name);
    EXPECT(cf_name_of(0) == NULL);
    store = cf_open("one");
    EXPECT(store != 0 && cf_open("full") == 0);
    EXPECT(VIDL_THROWN(client->base.reason) == CFACE_FAULT_NO_ROOM);
    cf_close(store);
    EXPECT(cf_version() == 0 && client->base.reason == EOPNOTSUPP);
    EXPECT(client->base.error == 0 && client->base.badArguments == 0);
}

int main(int count, char** words) {
    static const VidlVersion mine[] = {CF_VERSION};
    const int waits = count > 1 && strcmp(words[1], "wait") == 0;
    const int breaks = count > 1 && strcmp(words[1], "break") == 0;
    unsigned char hello[VIDL_HELLO_BYTES(1)];
    cf_client client;
    VrpqSession session;
    VrpqChan chan;
    listen_to(count, words);
    vidlHello(hello, mine, 1);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", hello, sizeof hello, &session) == 0);
    EXPECT(vrpqChanCreate(session, NULL, 0, &chan) == 0);
    cf_client_init(&client, chan);
    client.base.on_lost = on_lost;
    cf_make_current(&client);
    use(&client);
    if (waits) {
        say("ready");
        while (client.base.error == 0) (void)cf_make(NULL, NULL);
        EXPECT(losses == 1 && client.base.error == EPIPE);
        EXPECT(cf_make(NULL, NULL) == -7 && cf_name_of(7) == NULL);
    }
    if (breaks) {
        void* const block = vrpqParamPostAlloc(chan, 16, 0, 0);
        memset(block, 0xFF, 16);
        (void)vrpqPostAndNotify(chan, CF_PROC_CUT, block);
        while (client.base.error == 0) (void)cf_make(NULL, NULL);
    }
    cf_client_free(&client);
    (void)vrpqChanDestroy(chan);
    (void)vrpqSessionDestroy(session);
    say(said_wrong ? "wrong" : "ok");
    return 0;
}
