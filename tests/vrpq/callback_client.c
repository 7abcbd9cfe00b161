/* The client's half of callbacks: handled in a call, in vrpqCallbackRun, one call from inside. Says
 * "ok". */
#include "callback.h"
#include "said.h"

static VrpqChan chan;

struct seen {
    nku32_f notes, last, adds;
};

static nku32_f twice(nku32_f value) {
    void *in, *out;
    EXPECT(vrpqParamCallAlloc(chan, 4, 0, 0, 0, 4, &in, &out) == 0);
    VRPQ_PARAM_WRITE(in, 0, nku32_f, value);
    EXPECT(vrpqCall(chan, TWICE, in, out) == 0 && vrpqCallReason(chan) == 0);
    return VRPQ_PARAM_READ(out, 0, nku32_f);
}

static int32_t handle(void* cookie, VrpqReq* req) {
    struct seen* seen = cookie;
    const void* in = vrpqParamInGet(req, NULL);
    if (req->procId == NOTE && vrpqParamInSize(req) == 4) {
        const nku32_f number = VRPQ_PARAM_READ(in, 0, nku32_f);
        EXPECT(!vrpqReqIsCall(req) && number > seen->last);
        seen->last = number;
        seen->notes++;
        return 0;
    }
    if (req->procId == ADD && vrpqReqIsCall(req) && vrpqParamOutSize(req) == 4) {
        const nku32_f sum = VRPQ_PARAM_READ(in, 0, nku32_f) + VRPQ_PARAM_READ(in, 4, nku32_f);
        EXPECT(vrpqCallbackRun(chan, 0) == EDEADLK);
        VRPQ_PARAM_WRITE(vrpqParamOutGet(req, NULL), 0, nku32_f, twice(sum));
        seen->adds++;
        return 7;
    }
    EXPECT(!"a callback of this test");
    return EBADREQ;
}

int main(int count, char** words) {
    VrpqSession session;
    VrpqChan second;
    struct seen seen = {0, 0, 0};
    void *in, *out;
    listen_to(count, words);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", NULL, 0, &session) == 0);
    EXPECT(vrpqChanCreate(session, NULL, 0, &chan) == 0);
    EXPECT(vrpqCallbackHandle(chan, handle, &seen) == 0);
    EXPECT(vrpqCallbackRun(chan, 0) == ETIMEDOUT);
    EXPECT(vrpqCallbackPerform(chan, NOTE, &seen, NULL) == EINVAL);

    EXPECT(vrpqParamCallAlloc(chan, 0, 0, 0, 0, 4, &in, &out) == 0);
    EXPECT(vrpqCall(chan, SUM, in, out) == 0 && vrpqCallReason(chan) == 0);
    EXPECT(VRPQ_PARAM_READ(out, 0, nku32_f) == 60 && vrpqCallOutSize(chan) == 4);
    EXPECT(seen.notes == NOTES && seen.adds == 1);

    EXPECT((in = vrpqParamPostAlloc(chan, 0, 0, 0)) != NULL);
    EXPECT(vrpqPostAndNotify(chan, LATER, in) == 0);
    while (seen.notes < NOTES + 3) EXPECT(vrpqCallbackRun(chan, -1) == 0);

    EXPECT((in = vrpqParamPostAlloc(chan, 0, 0, 0)) != NULL);
    EXPECT(vrpqPostAndNotify(chan, FLOOD, in) == 0);
    EXPECT(vrpqChanCreate(session, NULL, 0, &second) ==
           0); /* too slow: handles nothing meanwhile */
    while (vrpqCallbackRun(chan, 0) == 0) continue;
    EXPECT(twice(1) == 2); /* what was kept back comes with the server's next operation */
    while (vrpqCallbackRun(chan, 0) == 0) continue;
    EXPECT(vrpqCallbackHandle(chan, NULL, NULL) == 0);
    say("first %u, last %u", (unsigned)(seen.notes > NOTES + 3), seen.last);
    EXPECT(vrpqChanDestroy(second) == 0 && vrpqChanDestroy(chan) == 0 &&
           vrpqSessionDestroy(session) == 0);
    if (!said_wrong) say("ok");
    return said_wrong;
}
