/* The guide's server (3.1.2.2), its listings in their order; what it elides is between them. */
#include "hyplink/compat/vrpq.h"
#include "said.h"

static nku32_f sum;

static void perform(VrpqChan chan, VrpqReq* req, void* shm_base) {
    nku32_f proc_id, func_id, grp_id, data;
    void *in, *out;

    in = vrpqParamInGet(req, shm_base);
    out = vrpqParamOutGet(req, shm_base);
    proc_id = req->procId;
    func_id = VRPQ_PROC_ID_FUNC_GET(proc_id);
    grp_id = VRPQ_PROC_ID_GRP_GET(proc_id);
    if (grp_id == 2 && func_id == 2 && vrpqParamInSize(req) == sizeof(nku32_f)) {
        data = VRPQ_PARAM_READ(in, 0, nku32_f);
        sum += data;
    } else if (grp_id == 2 && func_id == 3 && vrpqParamOutSize(req) == sizeof(nku32_f)) {
        VRPQ_PARAM_WRITE(out, 0, nku32_f, sum);
    } else if (vrpqReqIsCall(req)) {
        vrpqCallSetReason(chan, EBADREQ);
    }
}

/* One life of the client. */
static int serve(void) {
    VrpqSession session;
    VrpqChan chan;
    VrpqReq* reqs[8];
    void* shm_base;
    unsigned int i, count = 0;
    uint32_t avail;
    int diag;

    diag = vrpqSessionAccept("/dev/vrpq-srv-vogl0", NULL, NULL, &session);
    if (diag != 0) return diag;
    diag = vrpqChanAccept(session, NULL, NULL, &chan);
    if (diag == 0) {
        diag = vrpqShmMap(session, &shm_base);
        sum = 0;
        for (; diag == 0;) {
            diag = vrpqReceive(chan, reqs, 8, &avail);
            for (i = 0; i < (unsigned int)avail; i++, count++) {
                perform(chan, reqs[i], shm_base);
            }
        }
        say("client gone after %u requests", count);
        if (vrpqChanDestroy(chan) != 0) say("no channel to destroy");
    }
    if (vrpqSessionDestroy(session) != 0) say("no session to destroy");
    return diag;
}

int main(int count, char** words) {
    int diag;
    listen_to(count, words);
    say("server");
    while ((diag = serve()) == ESESSIONBROKEN) continue;
    say("server ends: %d (%s)", diag, vrpqErrorText());
    return 1;
}
