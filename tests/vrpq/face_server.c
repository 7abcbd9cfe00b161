/* The server's half: serves the client's story once. Says "ok". */
#include "face.h"
#include "said.h"

static VrpqSession session;
static VrpqChan chan;
static void* base;
static nku32_f counted;

static void reverse(const VrpqReq* req, const void* in, void* out) {
    const uint32_t size = VRPQ_PARAM_READ(in, AT_TEXT_SIZE, nku32_f);
    const char* text = VRPQ_PARAM_REF_IN_PLACE(in, AT_TEXT_REF, size);
    const nku32_f* numbers = VRPQ_PARAM_REF_IN_PLACE(in, AT_NUMBERS_REF, NUMBERS * 4);
    char* turned = VRPQ_PARAM_REF_IN_PLACE(out, 0, size);
    nku32_f* sum = VRPQ_PARAM_REF_IN_PLACE(out, 8, 4);
    (void)req;
    EXPECT(numbers != NULL && sum != NULL && (text == NULL) == (size == 0) &&
           (turned == NULL) == (size == 0));
    EXPECT(VRPQ_PARAM_REF_SIZE(in, AT_NUMBERS_REF) == NUMBERS * 4 &&
           VRPQ_PARAM_REF_SIZE(out, 8) == 4);
    if (numbers == NULL || sum == NULL) return;
    for (uint32_t i = 0; i < size; i++) turned[i] = text[size - 1 - i];
    *sum = 0;
    for (int i = 0; i < NUMBERS; i++) *sum += numbers[i];
    if (size == 6) vrpqCallSetReason(chan, 5);
}

static void slow(void) {
    VrpqChan second;
    char info[16] = "";
    uint32_t size = sizeof info, avail;
    void* in = vrpqCallbackParamAlloc(chan, 4, 0, NULL);
    EXPECT(in != NULL);
    VRPQ_PARAM_WRITE(in, 0, nku32_f, 0);
    EXPECT(vrpqCallbackPerform(chan, TAKEN, in, NULL) == 0);
    EXPECT(vrpqChanAccept(VRPQ_SESSION_ANY, info, &size, &second) == 0);
    EXPECT((strcmp(info, "second") == 0 && size == 7) || (strcmp(info, "third") == 0 && size == 6));
    EXPECT(vrpqReceive(second, NULL, 0, &avail) == 0 && avail == 0);
    EXPECT(vrpqChanDestroy(second) == 0);
}

static int perform(VrpqReq* req) {
    void *in = vrpqParamInGet(req, base), *out = vrpqParamOutGet(req, base);
    switch (req->procId) {
        case COUNT: {
            const uint32_t size = VRPQ_PARAM_READ(in, 4, nku32_f);
            const char* text = VRPQ_PARAM_REF_IN_PLACE(in, 8, size);
            char wanted[40];
            snprintf(wanted, sizeof wanted, "number %u", counted);
            EXPECT(VRPQ_PARAM_READ(in, 0, nku32_f) == counted && text != NULL &&
                   strcmp(text, wanted) == 0);
            EXPECT(!vrpqReqIsCall(req) && VRPQ_PARAM_REF_IN_PLACE(in, 8, 1) == NULL);
            EXPECT(vrpqRefErrors(chan) == ++counted);
            break;
        }
        case SCALARS:
            EXPECT(vrpqReqIsCall(req) && vrpqParamInSize(req) == SCALARS_BYTES);
            EXPECT(vrpqParamOutSize(req) == SCALARS_BYTES &&
                   VRPQ_PARAM_READ(out, AT_U64, nku64_f) == 0);
            memcpy(out, in, SCALARS_BYTES);
            break;
        case REVERSE:
            reverse(req, in, out);
            break;
        case REASON:
            vrpqCallSetReason(chan, VRPQ_PARAM_READ(in, 0, nks32_f));
            break;
        case FORGED:
            EXPECT(VRPQ_PARAM_REF_IN_PLACE(in, 0, 8) == NULL);
            EXPECT(VRPQ_PARAM_REF_IN_PLACE(out, 8, 8) == NULL);
            EXPECT(VRPQ_PARAM_REF_IN_PLACE(out, 24, 8) == NULL &&
                   VRPQ_PARAM_REF_IN_PLACE(in, 4, 8) == NULL);
            VRPQ_PARAM_WRITE(out, 0, nku32_f, (vrpqRefErrors(chan) - counted) / 4 * 3);
            break;
        case SLOW:
            slow();
            break;
        case FAIL:
            EXPECT(vrpqChanFail(chan, EBADMSG) == 0);
            return 0;
        default:
            EXPECT(!"a procedure of this test");
    }
    return 1;
}

int main(int count, char** words) {
    VrpqReq* reqs[16];
    VrpqClientId id;
    VrpqChan other;
    char info[3];
    uint32_t size = sizeof info, avail, batch = 0, biggest = 0, i;
    VrpqStat stats[2] = {{COUNT, 0, 9}, {FAIL, 0, 9}};
    uint32_t asked = 2;
    int going = 1, diag = 0;
    listen_to(count, words);
    EXPECT(vrpqChanAccept(VRPQ_SESSION_ANY, NULL, NULL, &chan) == EBADF);
    EXPECT(vrpqSessionAccept("/dev/vrpq-srv-vogl0", info, &size, &session) == 0);
    EXPECT(size == 6 && memcmp(info, "hel", 3) == 0); /* as much as there is room for */
    EXPECT(vrpqClientIdGet(session, &id) == 0 && id.vmId == 3 && id.appId != 0);
    EXPECT(vrpqChanAccept(session, NULL, &size, &chan) == 0 && size == 6);
    EXPECT(vrpqShmMap(session, &base) == 0 && base != NULL);
    EXPECT(vrpqShmMap(VRPQ_SESSION_ANY, &base) == 0 && vrpqShmMap(NULL, &base) == EBADF);
    EXPECT(vrpqParamPostAlloc(chan, 8, 0, 0) == NULL && errno == EINVAL);
    EXPECT(vrpqNotify(chan) == EINVAL);
    EXPECT(vrpqProf("/dev/vrpq-srv-vogl0", VRPQ_PROF_PROC_STAT_GET, stats, &asked) == 0);
    while (going && (diag = vrpqReceive(chan, reqs, 16, &avail)) == 0) {
        batch++;
        if (avail > biggest) biggest = avail;
        for (i = 0; i < avail && going; i++) going = perform(reqs[i]);
    }
    EXPECT(diag == 0 && counted == 100 && biggest <= 16);
    EXPECT(vrpqProf("/dev/vrpq-srv-vogl0", VRPQ_PROF_PROC_STAT_GET, stats, &asked) == 0);
    EXPECT(asked == 2 && stats[0].value == 100 && stats[1].value == 1);
    EXPECT(vrpqReceive(chan, reqs, 16, &avail) == EBADMSG && avail == 0);
    /* Stay until the client has seen why. */
    EXPECT(vrpqChanAccept(session, NULL, NULL, &other) == ESESSIONBROKEN);
    EXPECT(vrpqChanDestroy(chan) == 0 && vrpqSessionDestroy(session) == 0);
    if (!said_wrong) say("ok");
    return said_wrong;
}
