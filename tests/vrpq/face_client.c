/* The client's half of vrpq.h: values across, references both ways, every refusal. Says "ok". */
#include <signal.h>
#include <sys/time.h>

#include "face.h"
#include "said.h"

static VrpqSession session;
static VrpqChan chan;

static void on_alarm(int number) { (void)number; }

static void alarm_soon(long usec) {
    struct sigaction action;
    struct itimerval timer = {{0, 20000}, {0, 20000}}; /* again, should the first come too early */
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    timer.it_value.tv_usec = timer.it_interval.tv_usec = usec;
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void scalars(void) {
    static const nku32_f array[3] = {1, 0x80000000u, 3};
    char text[12];
    void *in, *out;
    EXPECT(vrpqParamCallAlloc(chan, SCALARS_BYTES, 0, 0, 0, SCALARS_BYTES, &in, &out) == 0);
    VRPQ_PARAM_WRITE(in, AT_U8, nku8_f, 0xab);
    VRPQ_PARAM_WRITE(in, AT_U8 + 1, nku8_f, 0);
    VRPQ_PARAM_WRITE(in, AT_U16, nku16_f, 0xabcd);
    VRPQ_PARAM_WRITE(in, AT_I32, nks32_f, -70000);
    VRPQ_PARAM_WRITE(in, AT_U64, nku64_f, UINT64_C(0x0123456789abcdef));
    VRPQ_PARAM_WRITE(in, AT_F64, double, 0.1);
    for (int i = 0; i < 3; i++) VRPQ_PARAM_ARRAY_WRITE(in, AT_ARRAY, nku32_f, array, i);
    VRPQ_PARAM_BUF_WRITE(in, AT_ARRAY + 12, 4, "four");
    VRPQ_PARAM_STR_WRITE(in, AT_TEXT, "a text");
    EXPECT(vrpqCall(chan, SCALARS, in, out) == 0 && vrpqCallReason(chan) == 0);
    EXPECT(vrpqCallOutSize(chan) == SCALARS_BYTES);
    EXPECT(VRPQ_PARAM_READ(out, AT_U8, nku8_f) == 0xab);
    EXPECT(VRPQ_PARAM_READ(out, AT_U16, nku16_f) == 0xabcd);
    EXPECT(VRPQ_PARAM_READ(out, AT_I32, nks32_f) == -70000);
    EXPECT(VRPQ_PARAM_READ(out, AT_U64, nku64_f) == UINT64_C(0x0123456789abcdef));
    EXPECT(VRPQ_PARAM_READ(out, AT_F64, double) > 0.09);
    EXPECT(VRPQ_PARAM_ARRAY_READ(out, AT_ARRAY, nku32_f, 1) == 0x80000000u);
    EXPECT(memcmp(VRPQ_PARAM_IN_PLACE(out, AT_ARRAY + 12, char), "four", 4) == 0);
    VRPQ_PARAM_STR_READ(out, AT_TEXT, sizeof text, text);
    EXPECT(strcmp(text, "a text") == 0);
    VRPQ_PARAM_STR_READ(out, AT_TEXT, 4, text);
    EXPECT(strcmp(text, "a t") == 0);
}

static void posts(void) {
    char text[40];
    for (unsigned i = 0; i < 100; i++) {
        const int size = snprintf(text, sizeof text, "number %u", i) + 1;
        void* in = vrpqParamPostAlloc(chan, 16, 1, (uint32_t)size);
        EXPECT(in != NULL);
        VRPQ_PARAM_WRITE(in, 0, nku32_f, i);
        VRPQ_PARAM_WRITE(in, 4, nku32_f, size);
        EXPECT(VRPQ_PARAM_REF_WRITE(in, 8, (uint32_t)size, text) == 0);
        EXPECT((i % 10 == 9 ? vrpqPostAndNotify(chan, COUNT, in) : vrpqPost(chan, COUNT, in)) == 0);
    }
    EXPECT(vrpqNotify(chan) == 0);
}

static void* reverse(const char* text, char* turned, nku32_f* sum, void** out) {
    static const nku32_f numbers[NUMBERS] = {1, 2, 3, 4, 5};
    const uint32_t size = (uint32_t)strlen(text);
    void* in;
    EXPECT(vrpqParamCallAlloc(chan, REVERSE_BYTES, 2, size + sizeof numbers, 2, size + 4, &in,
                              out) == 0);
    VRPQ_PARAM_WRITE(in, AT_TEXT_SIZE, nku32_f, size);
    EXPECT(VRPQ_PARAM_REF_WRITE(in, AT_TEXT_REF, size, text) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(in, AT_NUMBERS_REF, sizeof numbers, numbers) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(*out, 0, size, turned) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(*out, 8, sizeof *sum, sum) == 0);
    return in;
}

static void references(void) {
    char turned[20] = "untouched";
    nku32_f sum = 77;
    void *in, *out;
    in = reverse("backwards", turned, &sum, &out);
    EXPECT(vrpqCall(chan, REVERSE, in, out) == 0 && vrpqCallReason(chan) == 0);
    EXPECT(memcmp(turned, "sdrawkcab", 9) == 0 && sum == 15);
    in = reverse("", turned, &sum, &out); /* nothing is NULL at the server */
    EXPECT(vrpqCall(chan, REVERSE, in, out) == 0 && vrpqCallReason(chan) == 0 && turned[0] == 's');
    /* Outputs are copied only when the reason is 0. */
    sum = 1;
    in = reverse("refuse", turned, &sum, &out);
    EXPECT(vrpqCall(chan, REVERSE, in, out) == 0 && vrpqCallReason(chan) == 5);
    EXPECT(memcmp(turned, "sdraw", 5) == 0 && sum == 1);
    /* More bytes, or more outputs, than were allocated. */
    EXPECT(vrpqParamCallAlloc(chan, 8, 1, 8, 1, 8, &in, &out) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(in, 0, 17, turned) == EREQSIZE);
    EXPECT(vrpqCall(chan, REVERSE, in, out) == EREQSIZE);
    EXPECT(vrpqParamCallAlloc(chan, 8, 0, 0, 1, 8, &in, &out) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(out, 8, 1, turned) == EREQSIZE);
    EXPECT(vrpqCall(chan, REVERSE, in, out) == EREQSIZE);
    EXPECT(vrpqParamCallAlloc(chan, 8, 0, 0, 1, 8, &in, &out) == 0);
    EXPECT(VRPQ_PARAM_REF_WRITE(out, 0, 17, turned) == 0);
    EXPECT(vrpqCall(chan, REVERSE, in, out) == EREQSIZE);
    EXPECT(VRPQ_PARAM_REF_WRITE(turned, 0, 1, turned) == EINVAL);
}

/* What a hostile client may write where an entry belongs, and the refusals counted after it. */
static void forged(void) {
    static const nku32_f entries[][2] = {{8, 1u << 20}, {1u << 20, 8},    {8, 0xfffffff8u},
                                         {8, 4},        {8, 0x7ffffff8u}, {0xffffffffu, 8},
                                         {16, 8},       {8, 16}};
    void *in, *out;
    for (uint32_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        EXPECT(vrpqParamCallAlloc(chan, 16, 0, 0, 0, 4, &in, &out) == 0);
        VRPQ_PARAM_WRITE(in, 0, nku32_f, entries[i][0]);
        VRPQ_PARAM_WRITE(in, 4, nku32_f, entries[i][1]);
        VRPQ_PARAM_WRITE(in, 8, nku64_f, 0);
        EXPECT(vrpqCall(chan, FORGED, in, out) == 0 && vrpqCallReason(chan) == 0);
        EXPECT(VRPQ_PARAM_READ(out, 0, nku32_f) == 3 * (i + 1)); /* as input and as two outputs */
    }
}

static void misuse(void) {
    void *in, *out;
    EXPECT(vrpqPost(chan, COUNT, NULL) == EINVAL && *vrpqErrorText() != '\0');
    EXPECT(vrpqPost(chan, COUNT, &in) == EINVAL);
    EXPECT(vrpqPost(NULL, COUNT, &in) == ECHANINVALID);
    EXPECT(vrpqCall(chan, REASON, &in, &out) == EINVAL);
    EXPECT(vrpqParamCallAlloc(chan, 4, 0, 0, 0, 0, &in, &out) == 0);
    EXPECT(vrpqPost(chan, REASON, in) == EINVAL); /* a call's parameters */
    EXPECT(vrpqParamCallAlloc(chan, 4, 0, 0, 33, 0, &in, &out) == EINVAL);
    in = vrpqParamPostAlloc(chan, 4, 0, 0);
    EXPECT(in != NULL && vrpqCall(chan, REASON, in, in) == EINVAL); /* a post's */
    EXPECT(vrpqParamPostAlloc(chan, 1u << 28, 0, 0) == NULL && errno == EREQSIZE);
    EXPECT(vrpqParamPostAlloc(chan, 8, 1, 0xffffffffu) == NULL && errno == EREQSIZE);
    EXPECT(vrpqParamCallAlloc(chan, 8, 0, 0, 1, 0xffffffffu, &in, &out) == EREQSIZE);
    EXPECT(vrpqReceive(chan, NULL, 0, NULL) == EINVAL);
    EXPECT(vrpqCallSetReason(chan, 1) == EINVAL);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl9", NULL, 0, &session) == ENXIO);
    EXPECT(vrpqSessionDestroy((VrpqSession)&in) == EBADF &&
           vrpqChanDestroy((VrpqChan)&in) == EBADF);
    EXPECT(vrpqChanCreate(VRPQ_SESSION_ANY, NULL, 0, &chan) == EBADF);
    EXPECT(vrpqParamCallAlloc(chan, 4, 0, 0, 0, 0, &in, &out) == 0);
    VRPQ_PARAM_WRITE(in, 0, nks32_f, -1234567);
    EXPECT(vrpqCall(chan, REASON, in, out) == 0 && vrpqCallReason(chan) == -1234567);
}

static int32_t on_taken(void* times, VrpqReq* req) {
    EXPECT(req->procId == TAKEN);
    ++*(int*)times;
    return 0;
}

/* One that is given up before the server has begun it never runs: then once more. */
static void call_slow(const int* times, int ends) {
    const int before = *times;
    void *in, *out;
    while (*times == before) {
        EXPECT(vrpqParamCallAlloc(chan, 0, 0, 0, 0, 0, &in, &out) == 0);
        EXPECT(vrpqCall(chan, SLOW, in, out) == ends);
    }
}

/* A signal ends a waiting call, and a time-out; both are given up, the next call works. */
static void interrupted(void) {
    VrpqChan second;
    int taken = 0;
    EXPECT(vrpqCallbackHandle(chan, on_taken, &taken) == 0);
    alarm_soon(20000);
    call_slow(&taken, EINTR);
    alarm_soon(0);
    EXPECT(vrpqChanCreate(session, "second", 7, &second) == 0);
    EXPECT(vrpqChanTimeout(chan, 20) == 0);
    call_slow(&taken, ETIMEDOUT);
    EXPECT(vrpqChanTimeout(chan, -1) == 0 && vrpqCallbackHandle(chan, NULL, NULL) == 0);
    EXPECT(vrpqChanDestroy(second) == 0);
    EXPECT(vrpqChanCreate(session, "third", 6, &second) == 0);
    EXPECT(vrpqChanDestroy(second) == 0);
    alarm_soon(20000); /* waits for a server that does not accept */
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", NULL, 0, &session) == EINTR);
    alarm_soon(0);
}

static void statistics(void) {
    static const char device[] = "/dev/vrpq-clt-vogl0";
    VrpqStat stats[VRPQ_STAT_COUNT];
    uint32_t count = VRPQ_STAT_COUNT;
    EXPECT(vrpqProf("/dev/vrpq-clt-vogl9x", VRPQ_PROF_GEN_STAT_GET, stats, &count) == ENXIO);
    EXPECT(vrpqProf(device, VRPQ_PROF_GEN_STAT_GET, stats, &count) == 0 &&
           count == VRPQ_STAT_COUNT);
    EXPECT(stats[VRPQ_STAT_SESSIONS_CREATED].value == 1 &&
           stats[VRPQ_STAT_CHANS_CREATED].value == 3);
    EXPECT(stats[VRPQ_STAT_CHANS_DESTROYED].value == 2 &&
           stats[VRPQ_STAT_SESSIONS_DESTROYED].value == 0);
    EXPECT(stats[VRPQ_STAT_NOTIFIES].value == 10 && stats[VRPQ_STAT_POSTS_PER_NOTIFY].value == 100);
    EXPECT(stats[VRPQ_STAT_POSTS_PER_NOTIFY_MAX].value == 10 &&
           stats[VRPQ_STAT_IN_REFS].value >= 104);
    EXPECT(stats[VRPQ_STAT_MULTI_CALLS].value >= 12 &&
           stats[VRPQ_STAT_SIZE_MAX].value >= SCALARS_BYTES);
    EXPECT(vrpqProf(device, VRPQ_PROF_RESET, NULL, NULL) == 0);
    count = VRPQ_STAT_NOTIFIES + 1;
    EXPECT(vrpqProf(device, VRPQ_PROF_GEN_STAT_GET, stats, &count) == 0 &&
           count == VRPQ_STAT_NOTIFIES + 1);
    EXPECT(stats[VRPQ_STAT_NOTIFIES].value == 0 && stats[VRPQ_STAT_SESSIONS_CREATED].value == 0);
}

/* Requests by procedure: from when they are first asked for. */
static void procedures(void) {
    static const char device[] = "/dev/vrpq-clt-vogl0";
    VrpqStat stats[4] = {{9, 9, 9}, {9, 9, 9}, {9, 9, 9}, {9, 9, 9}};
    uint32_t count = 4;
    void *in, *out;
    int i;
    EXPECT(vrpqProf("/dev/vrpq-clt-vogl9x", VRPQ_PROF_PROC_STAT_GET_ALL, stats, &count) == ENXIO);
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET_ALL, NULL, &count) == EINVAL);
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET_ALL, stats, &count) == 0 && count == 0);
    for (i = 0; i < 5; ++i) {
        EXPECT(vrpqParamCallAlloc(chan, 4, 0, 0, 0, 0, &in, &out) == 0);
        VRPQ_PARAM_WRITE(in, 0, nks32_f, i);
        EXPECT(vrpqCall(chan, REASON, in, out) == 0);
    }
    scalars();
    count = 4;
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET_ALL, stats, &count) == 0 && count == 2);
    EXPECT(stats[0].id == SCALARS && stats[0].reserved == 0 && stats[0].value == 1);
    EXPECT(stats[1].id == REASON && stats[1].value == 5);
    count = 1; /* as many as there is room for */
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET_ALL, stats, &count) == 0 && count == 1);
    stats[0].id = REASON;
    stats[1].id = 0xabcd1234;
    count = 2;
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET, stats, &count) == 0 && count == 2);
    EXPECT(stats[0].value == 5 && stats[1].id == 0xabcd1234 && stats[1].value == 0);
    EXPECT(vrpqProf(device, VRPQ_PROF_RESET, NULL, NULL) == 0);
    count = 4;
    EXPECT(vrpqProf(device, VRPQ_PROF_PROC_STAT_GET_ALL, stats, &count) == 0 && count == 0);
}

static void kept(void) {
    VrpqStat stat = {FAIL, 0, 9};
    uint32_t count = 1;
    EXPECT(vrpqProf("/dev/vrpq-clt-vogl0", VRPQ_PROF_PROC_STAT_GET, &stat, &count) == 0);
    EXPECT(stat.value == 1);
}

int main(int count, char** words) {
    VrpqSession mine;
    void *in, *out;
    listen_to(count, words);
    EXPECT(vrpqSessionDestroy(NULL) == EBADF);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", "hello", 6, &session) == 0);
    EXPECT(vrpqChanCreateSized(session, 65536, "first", 6, &chan) == 0);
    mine = session;
    scalars();
    posts();
    references();
    forged();
    misuse();
    session = mine;
    interrupted();
    statistics();
    procedures();
    EXPECT(vrpqParamCallAlloc(chan, 0, 0, 0, 0, 0, &in, &out) == 0);
    EXPECT(vrpqCall(chan, FAIL, in, out) == EBADMSG);
    EXPECT(vrpqParamPostAlloc(chan, 0, 0, 0) == NULL && errno == EBADMSG);
    EXPECT(vrpqChanDestroy(chan) == 0 && vrpqChanDestroy(chan) == EBADF);
    kept(); /* what a channel has counted outlives it */
    EXPECT(vrpqSessionDestroy(mine) == 0 && vrpqSessionDestroy(mine) == EBADF);
    if (!said_wrong) say("ok");
    return said_wrong;
}
