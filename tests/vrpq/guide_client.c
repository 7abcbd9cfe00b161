/* The guide's client (3.1.2.2), its listings in their order; what it elides is between them. */
#include "hyplink/compat/vrpq.h"
#include "said.h"

/* One life of the server: send ten numbers, ask for their sum, stay until the server goes. */
static int exchange(void) {
    VrpqSession session;
    VrpqChan chan, another;
    nku32_f sent_value;
    void *in, *out;
    int diag;

    diag = vrpqSessionCreate("/dev/vrpq-clt-vogl0", NULL, 0, &session);
    if (diag != 0) return diag;
    diag = vrpqChanCreate(session, NULL, 0, &chan);
    if (diag == 0) {
        for (sent_value = 1; sent_value <= 10 && diag == 0; sent_value++) {
            in = vrpqParamPostAlloc(chan, sizeof(nku32_f), 0, 0);
            if (in == NULL) {
                diag = errno;
                break;
            }
            VRPQ_PARAM_WRITE(in, 0, nku32_f, sent_value);
            diag = vrpqPostAndNotify(chan, VRPQ_PROC_ID(2, 2), in);
        }
        if (diag == 0) diag = vrpqParamCallAlloc(chan, 0, 0, 0, 0, sizeof(nku32_f), &in, &out);
        if (diag == 0) diag = vrpqCall(chan, VRPQ_PROC_ID(2, 3), in, out);
        if (diag == 0) {
            say("sum %u, reason %d", VRPQ_PARAM_READ(out, 0, nku32_f), vrpqCallReason(chan));
            /* Nobody accepts a second one: this returns when the server is gone. */
            diag = vrpqChanCreate(session, NULL, 0, &another);
        }
        if (vrpqChanDestroy(chan) != 0) say("no channel to destroy");
    }
    if (vrpqSessionDestroy(session) != 0) say("no session to destroy");
    return diag;
}

int main(int count, char** words) {
    int diag;
    listen_to(count, words);
    say("client");
    while ((diag = exchange()) == ESESSIONBROKEN) say("server gone");
    say("client ends: %d (%s)", diag, vrpqErrorText());
    return 1;
}
