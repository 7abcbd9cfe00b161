#include "loop.h"

void loop_init(VrpqChan chan) { memset(chan, 0, sizeof *chan); }

void loop_free(VrpqChan chan) {
    free(chan->block);
    free(chan->out);
    free(chan->callback.in);
    free(chan->callback.out);
    while (chan->kept != 0) free(chan->older[--chan->kept]);
}

static unsigned char* room(uint32_t size) {
    unsigned char* const at = malloc(size == 0 ? 1 : size);
    if (at != NULL) memset(at, 0xEE, size);
    return at;
}

static void drop(VrpqChan chan, void* block) {
    if (chan->depth == 0) {
        free(block);
    } else if (chan->kept < 64) {
        chan->older[chan->kept++] = block;
    }
}

void* vrpqParamPostAlloc(VrpqChan chan, uint32_t size, uint32_t refs, uint32_t refSize) {
    (void)refs;
    (void)refSize;
    if (chan->error != 0) {
        errno = chan->error;
        return NULL;
    }
    drop(chan, chan->block);
    chan->block = room(size);
    chan->size = size;
    return chan->block;
}

int vrpqParamCallAlloc(VrpqChan chan, uint32_t inSize, uint32_t inRefs, uint32_t inRefSize,
                       uint32_t outCount, uint32_t outSize, void** in, void** out) {
    (void)outCount;
    *in = vrpqParamPostAlloc(chan, inSize, inRefs, inRefSize);
    if (*in == NULL) return errno;
    drop(chan, chan->out);
    chan->out = room(outSize);
    chan->out_size = outSize;
    *out = chan->out;
    return 0;
}

static int deliver(VrpqChan chan, uint32_t proc, int call) {
    VrpqReq req;
    chan->proc = proc;
    if (chan->serve == NULL) return 0;
    memset(&req, 0, sizeof req);
    req.procId = proc;
    req.in = chan->block;
    req.inSize = chan->size;
    req.out = call ? chan->out : NULL;
    req.outSize = call ? chan->out_size : 0;
    req.isCall = (uint8_t)call;
    ++chan->depth;
    chan->status = chan->serve(chan->server, &req, NULL);
    --chan->depth;
    chan->answered = req.outSize;
    return chan->status < 0 ? EPIPE : 0;
}

int vrpqPost(VrpqChan chan, uint32_t procId, void* in) {
    (void)in;
    ++chan->posts;
    (void)deliver(chan, procId, 0);
    return 0;
}

int vrpqNotify(VrpqChan chan) {
    ++chan->notifies;
    return 0;
}

int vrpqPostAndNotify(VrpqChan chan, uint32_t procId, void* in) {
    (void)vrpqPost(chan, procId, in);
    return vrpqNotify(chan);
}

int vrpqCall(VrpqChan chan, uint32_t procId, void* in, void* out) {
    (void)in;
    ++chan->calls;
    if (chan->error != 0) return chan->error;
    if (chan->serve != NULL) return deliver(chan, procId, 1);
    chan->proc = procId;
    chan->status = chan->reason;
    if (chan->answer_size != 0) {
        memcpy(out, chan->answer,
               chan->answer_size < chan->out_size ? chan->answer_size : chan->out_size);
    }
    chan->answered = chan->answer_size < chan->out_size ? chan->answer_size : chan->out_size;
    return 0;
}

int32_t vrpqCallReason(VrpqChan chan) { return chan->status; }
uint32_t vrpqCallOutSize(VrpqChan chan) { return chan->answered; }

/* A server's loop is not what is tested here. */
int vrpqReceive(VrpqChan chan, VrpqReq* reqs[], uint32_t count, uint32_t* avail) {
    (void)chan;
    (void)reqs;
    (void)count;
    *avail = 0;
    return EPIPE;
}
int vrpqCallSetReason(VrpqChan chan, int32_t reason) {
    chan->reason = reason;
    return 0;
}
int vrpqChanFail(VrpqChan chan, int error) {
    chan->error = error;
    return 0;
}

int vrpqCallbackHandle(VrpqChan chan, int32_t (*handler)(void*, VrpqReq*), void* cookie) {
    chan->handler = handler;
    chan->cookie = cookie;
    return 0;
}
void* vrpqCallbackParamAlloc(VrpqChan chan, uint32_t inSize, uint32_t outSize, void** out) {
    VrpqReq* const req = &chan->callback;
    if (chan->full) {
        errno = EAGAIN;
        return NULL;
    }
    free(req->in);
    free(req->out);
    req->in = room(inSize);
    req->inSize = inSize;
    req->out = out != NULL ? room(outSize) : NULL;
    req->outSize = out != NULL ? outSize : 0;
    if (out != NULL) *out = req->out;
    return req->in;
}
int vrpqCallbackPerform(VrpqChan chan, uint32_t procId, void* in, void* out) {
    VrpqReq req = chan->callback;
    int32_t status;
    req.procId = procId;
    req.in = in;
    req.isCall = out != NULL;
    status = chan->handler(chan->cookie, &req);
    if (out != NULL) {
        chan->status = status;
        chan->answered = req.outSize;
    }
    return 0;
}
int vrpqCallbackPerformTimed(VrpqChan chan, uint32_t procId, void* in, void* out, int timeoutMs) {
    chan->timeout = timeoutMs;
    return vrpqCallbackPerform(chan, procId, in, out);
}
int vrpqCallbackPost(VrpqChan chan, uint32_t procId, void* in, VrpqDrop drop, uint32_t keep) {
    chan->drop = drop;
    chan->keep = keep;
    return vrpqCallbackPerform(chan, procId, in, NULL);
}
int vrpqChanTimeout(VrpqChan chan, int64_t milliseconds) {
    (void)chan;
    (void)milliseconds;
    return 0;
}
