/* A program that uses the names of two headers: it has one connection to its VM. */
#include "hyplink/compat/nkddi.h"
#include "hyplink/compat/vrpq.h"
#include "said.h"

int main(int count, char** words) {
    VrpqSession session;
    VrpqChan chan;
    NkPhAddr link;
    void *in, *out;
    listen_to(count, words);
    EXPECT(vrpqSessionCreate("/dev/vrpq-clt-vogl0", NULL, 0, &session) == 0);
    EXPECT(hyplink_nkddi_init() == 0);
    EXPECT(vrpqChanCreate(session, NULL, 0, &chan) == 0);
    link = nkops.nk_vlink_lookup("vogl", 0);
    say("VM %u, link of VM %u", (unsigned)nkops.nk_id_get(),
        link == 0 ? 0U : (unsigned)((NkDevVlink*)nkops.nk_ptov(link))->s_id);
    hyplink_nkddi_exit();
    /* The other face goes on. */
    EXPECT(vrpqParamCallAlloc(chan, sizeof(nku32_f), 0, 0, 0, sizeof(nku32_f), &in, &out) == 0);
    VRPQ_PARAM_WRITE(in, 0, nku32_f, 41);
    EXPECT(vrpqCall(chan, VRPQ_PROC_ID(1, 1), in, out) == 0);
    say("answer %u", (unsigned)VRPQ_PARAM_READ(out, 0, nku32_f));
    EXPECT(hyplink_nkddi_init() == 0);
    say("VM %u again", (unsigned)nkops.nk_id_get());
    hyplink_nkddi_exit();
    EXPECT(vrpqChanDestroy(chan) == 0 && vrpqSessionDestroy(session) == 0);
    return said_wrong;
}
