/* The server's half of callbacks. Says the number of its last note and "ok". */
#include "callback.h"
#include "said.h"

static VrpqSession session;
static VrpqChan chan;
static nku32_f number;

static int32_t nested(void* cookie, VrpqReq* req) {
    ++*(int*)cookie;
    EXPECT(req->procId == TWICE && vrpqReqIsCall(req) && vrpqParamInSize(req) == 4);
    VRPQ_PARAM_WRITE(vrpqParamOutGet(req, NULL), 0, nku32_f,
                     2 * VRPQ_PARAM_READ(vrpqParamInGet(req, NULL), 0, nku32_f));
    return 0;
}

static void* note(void) {
    void* in = vrpqCallbackParamAlloc(chan, 4, 0, NULL);
    EXPECT(in != NULL);
    VRPQ_PARAM_WRITE(in, 0, nku32_f, ++number);
    return in;
}

static void sum(void* out) {
    void *in, *answer;
    for (int i = 0; i < NOTES; i++) EXPECT(vrpqCallbackPerform(chan, NOTE, note(), NULL) == 0);
    in = vrpqCallbackParamAlloc(chan, 8, 4, &answer);
    EXPECT(in != NULL);
    VRPQ_PARAM_WRITE(in, 0, nku32_f, 10);
    VRPQ_PARAM_WRITE(in, 4, nku32_f, 20);
    EXPECT(vrpqCallbackPerform(chan, ADD, in, answer) == 0 && vrpqCallReason(chan) == 7);
    EXPECT(vrpqCallbackPerform(chan, ADD, in, answer) == EINVAL); /* sent once */
    VRPQ_PARAM_WRITE(out, 0, nku32_f, VRPQ_PARAM_READ(answer, 0, nku32_f));
}

static void flood(void) {
    VrpqChan second;
    void *in, *answer;
    int diag;
    while ((diag = vrpqCallbackPerform(chan, NOTE, note(), NULL)) == 0) continue;
    EXPECT(diag == EAGAIN);
    in = vrpqCallbackParamAlloc(chan, 8, 4, &answer);
    EXPECT(vrpqCallbackPerformTimed(chan, ADD, in, answer, 20) == ETIMEDOUT);
    for (int i = 0; i < EXTRA; i++)
        EXPECT(vrpqCallbackPost(chan, NOTE, note(), VRPQ_DROP_OLDEST, KEPT) == 0);
    EXPECT(vrpqChanAccept(session, NULL, NULL, &second) == 0); /* not stalled */
    EXPECT(vrpqChanDestroy(second) == 0);
}

int main(int count, char** words) {
    VrpqReq* reqs[8];
    uint32_t avail, i;
    int calls = 0, diag;
    listen_to(count, words);
    EXPECT(vrpqSessionAccept("/dev/vrpq-srv-vogl0", NULL, NULL, &session) == 0);
    EXPECT(vrpqChanAccept(session, NULL, NULL, &chan) == 0);
    EXPECT(vrpqNestedHandle(chan, nested, &calls) == 0);
    EXPECT(vrpqCallbackHandle(chan, nested, &calls) == EINVAL &&
           vrpqCallbackRun(chan, 0) == EINVAL);
    EXPECT(vrpqCallbackParamAlloc(chan, 1u << 30, 0, NULL) == NULL && errno == EREQSIZE);
    while ((diag = vrpqReceive(chan, reqs, 8, &avail)) == 0)
        for (i = 0; i < avail; i++) switch (reqs[i]->procId) {
                case SUM:
                    sum(vrpqParamOutGet(reqs[i], NULL));
                    EXPECT(calls == 1);
                    break;
                case LATER:
                    for (int n = 0; n < 3; n++)
                        EXPECT(vrpqCallbackPerform(chan, NOTE, note(), NULL) == 0);
                    break;
                case FLOOD:
                    flood();
                    break;
                case TWICE:
                    nested(&calls, reqs[i]);
                    break;
                default:
                    EXPECT(!"a procedure of this test");
            }
    EXPECT(diag == ECHANBROKEN);
    EXPECT(vrpqChanDestroy(chan) == 0 && vrpqSessionDestroy(session) == 0);
    say("first 1, last %u", number);
    if (!said_wrong) say("ok");
    return said_wrong;
}
