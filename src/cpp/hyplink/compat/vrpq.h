/**
 * vRPQ under its C names, for a program that a VM of a bench runs. C99 and C++, 32 and 64 bits; a
 * 32-bit program and a 64-bit one understand each other.
 *
 *     VrpqSession session;                                          client
 *     VrpqChan chan;
 *     if (vrpqSessionCreate("/dev/vrpq-clt-vogl0", NULL, 0, &session) != 0) return 1;
 *     if (vrpqChanCreate(session, NULL, 0, &chan) != 0) return 1;
 *     void* in = vrpqParamPostAlloc(chan, sizeof(nku32_f), 0, 0);   the one copy goes here
 *     VRPQ_PARAM_WRITE(in, 0, nku32_f, 42);
 *     vrpqPostAndNotify(chan, VRPQ_PROC_ID(2, 2), in);
 *
 * Every function returns 0 or a positive errno; vrpqErrorText() says more about the last failure in
 * this thread. EINTR: a signal handler ran while it waited; call again. EPIPE: the peer or its VM
 * is gone; destroy channel and session, create them anew (creation waits for the next server).
 * EBADF: destroyed or never created. ENXIO: no such device.
 *
 * Thread rule: sessions any thread; a channel one thread at a time, its destruction included. One
 * request at a time is begun on a channel: allocating again drops the allocation before.
 *
 * The program reaches its VM through the environment (HYPLINK_APP_FD), at the first session.
 * Link with libhyplink. Source: spec 002 3.1.2.2; vlx-facts 2.
 */
#ifndef HYPLINK_COMPAT_VRPQ_H
#define HYPLINK_COMPAT_VRPQ_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hyplink/compat/nk_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPLINK_VRPQ_API __attribute__((visibility("default")))
#else
#define HYPLINK_VRPQ_API
#endif

/* ---- results ---------------------------------------------------------------------------------*/

#define EREQSIZE EMSGSIZE
#define ECHANINVALID EBADF
#define ESESSIONBROKEN EPIPE
#define ECHANBROKEN EPIPE
#define EBADREQ EBADR

/** What the last failure in this thread was about; never NULL. */
HYPLINK_VRPQ_API const char* vrpqErrorText(void);

/* ---- procedures ------------------------------------------------------------------------------*/

/** Group in the high half, function in the low one. Group 0 belongs to the driver. */
#define VRPQ_PROC_ID(group, function) \
    ((uint32_t)((((uint32_t)(group)) << 16) | ((uint32_t)(function) & 0xFFFFu)))
#define VRPQ_PROC_ID_GRP_GET(procId) ((uint32_t)(procId) >> 16)
#define VRPQ_PROC_ID_FUNC_GET(procId) ((uint32_t)(procId) & 0xFFFFu)

/* ---- sessions and channels -------------------------------------------------------------------*/

typedef struct VrpqSessionObj* VrpqSession;
typedef struct VrpqChanObj* VrpqChan;
#define VRPQ_SESSION_ANY ((VrpqSession)(uintptr_t)0xFFFFFFFFu)

/** Whose session it is: the client's VM, and its number among that VM's applications. */
typedef struct VrpqClientId {
    uint32_t vmId;
    uint32_t appId;
} VrpqClientId;

/** Client. `info` (may be NULL) reaches the server's accept. Waits for a server. */
HYPLINK_VRPQ_API int vrpqSessionCreate(const char* devName, const void* info, uint32_t infoSize,
                                       VrpqSession* session);
HYPLINK_VRPQ_API int vrpqChanCreate(VrpqSession session, const void* info, uint32_t infoSize,
                                    VrpqChan* chan);
/** The same with a port of this many parameter bytes; 0 takes the default, an eighth of vrpq-pmem.
 */
HYPLINK_VRPQ_API int vrpqChanCreateSized(VrpqSession session, uint64_t parameterBytes,
                                         const void* info, uint32_t infoSize, VrpqChan* chan);

/**
 * Server: waits for a client. `infoSize` (may be NULL): room at `info`; on return the size of what
 * the client sent, of which as much was copied as there was room for.
 */
HYPLINK_VRPQ_API int vrpqSessionAccept(const char* devName, void* info, uint32_t* infoSize,
                                       VrpqSession* session);
/** VRPQ_SESSION_ANY: of whichever session of this program, all of one device. */
HYPLINK_VRPQ_API int vrpqChanAccept(VrpqSession session, void* info, uint32_t* infoSize,
                                    VrpqChan* chan);
HYPLINK_VRPQ_API int vrpqClientIdGet(VrpqSession session, VrpqClientId* id);
/** The base that parameters of received requests are counted from. */
HYPLINK_VRPQ_API int vrpqShmMap(VrpqSession session, void** base);

HYPLINK_VRPQ_API int vrpqChanDestroy(VrpqChan chan);
/** Its channels break (EPIPE or EBADF); each is still to be destroyed. */
HYPLINK_VRPQ_API int vrpqSessionDestroy(VrpqSession session);

/* ---- client: requests ------------------------------------------------------------------------*/

/**
 * Room for a post, aligned to 8. `size`: direct parameters, the entries of references among them;
 * `refCount`, `refSize`: how many references will be written and the sum of their sizes. The room
 * may hold bytes of earlier requests: write all of it. NULL: errno says why (EMSGSIZE: more than
 * half a port). Waits while the ring is full.
 */
HYPLINK_VRPQ_API void* vrpqParamPostAlloc(VrpqChan chan, uint32_t size, uint32_t refCount,
                                          uint32_t refSize);
/**
 * Room for a call. outCount 0: `*out` is where the answer, outSize bytes, will lie after vrpqCall,
 * until the next allocation on this channel. Else `*out` is a table of outCount entries of 8 bytes:
 * write each with VRPQ_PARAM_REF_WRITE(out, 8 * i, size, pointer), sizes adding up to outSize at
 * most; vrpqCall copies the answers to the pointers, if the server's reason is 0.
 */
HYPLINK_VRPQ_API int vrpqParamCallAlloc(VrpqChan chan, uint32_t inSize, uint32_t inRefCount,
                                        uint32_t inRefSize, uint32_t outCount, uint32_t outSize,
                                        void** in, void** out);

/** The request is complete; nothing is sent before a notify, a call or a full ring. */
HYPLINK_VRPQ_API int vrpqPost(VrpqChan chan, uint32_t procId, void* in);
/** Send what was posted as one batch; at most one XIRQ. */
HYPLINK_VRPQ_API int vrpqNotify(VrpqChan chan);
HYPLINK_VRPQ_API int vrpqPostAndNotify(VrpqChan chan, uint32_t procId, void* in);
/** Send, after all posts, and wait for the answer. 0: answered, with vrpqCallReason(chan). */
HYPLINK_VRPQ_API int vrpqCall(VrpqChan chan, uint32_t procId, void* in, void* out);
/** What the server's vrpqCallSetReason said for the last answered call. */
HYPLINK_VRPQ_API int32_t vrpqCallReason(VrpqChan chan);
/** Bytes of the last answer (outCount 0); at a server, of the answer to its last callback. */
HYPLINK_VRPQ_API uint32_t vrpqCallOutSize(VrpqChan chan);
/** How long anything on this channel waits; negative, the beginning: for ever. Then ETIMEDOUT. */
HYPLINK_VRPQ_API int vrpqChanTimeout(VrpqChan chan, int64_t milliseconds);

/* ---- server: requests ------------------------------------------------------------------------*/

/** A received request, good until the next receive. Only procId is read directly. */
typedef struct VrpqReq {
    uint32_t procId;
    void* in;
    uint32_t inSize;
    void* out;
    uint32_t outSize;
    uint8_t isCall;
} VrpqReq;

/**
 * Acknowledge what the previous receive returned (a call among it is answered), then wait for
 * requests: up to `count`, at least one, the first call ends the batch. count 0: acknowledge only.
 */
HYPLINK_VRPQ_API int vrpqReceive(VrpqChan chan, VrpqReq* reqs[], uint32_t count, uint32_t* avail);
/** The reason the answer to the call in progress carries; 0 otherwise. */
HYPLINK_VRPQ_API int vrpqCallSetReason(VrpqChan chan, int32_t reason);
/** Give the channel up: a request broke a rule (EBADMSG) or the server cannot go on (others). */
HYPLINK_VRPQ_API int vrpqChanFail(VrpqChan chan, int error);

static inline void* vrpqParamInGet(const VrpqReq* req, const void* base) {
    (void)base; /* every channel has memory of its own here */
    return req->in;
}
/** Where the answer goes; zeroed. With an output table: to be used with VRPQ_PARAM_REF_IN_PLACE. */
static inline void* vrpqParamOutGet(const VrpqReq* req, const void* base) {
    (void)base;
    return req->out;
}
static inline uint32_t vrpqParamInSize(const VrpqReq* req) { return req->inSize; }
static inline uint32_t vrpqParamOutSize(const VrpqReq* req) { return req->outSize; }
static inline int vrpqReqIsCall(const VrpqReq* req) { return req->isCall != 0; }

/* ---- callbacks: server to client --------------------------------------------------------------*/

/* Nesting goes one level each way: a callback inside a call, and a call inside the handler of a
 * callback. What would go deeper is EDEADLK. */

/** Client: `handler` gets what the server performs; what it returns is the reason of a synchronous
 * one. It may post and call on this channel. NULL: none. */
HYPLINK_VRPQ_API int vrpqCallbackHandle(VrpqChan chan, int32_t (*handler)(void*, VrpqReq*),
                                        void* cookie);
/** Client: handle what waits, or wait for the first (negative: for ever). ETIMEDOUT: none came.
 * Callbacks are handled inside vrpqCall as well. */
HYPLINK_VRPQ_API int vrpqCallbackRun(VrpqChan chan, int timeoutMs);
/** Server: who serves calls that the client makes inside its handler; returns their reason. */
HYPLINK_VRPQ_API int vrpqNestedHandle(VrpqChan chan, int32_t (*handler)(void*, VrpqReq*),
                                      void* cookie);
/** Server: room for a callback's parameters, and for a synchronous one's answer at `*out`. `out`
 * NULL: asynchronous. NULL: errno says why. Good until the next one is allocated. */
HYPLINK_VRPQ_API void* vrpqCallbackParamAlloc(VrpqChan chan, uint32_t inSize, uint32_t outSize,
                                              void** out);
/** Server: send it; with `out` wait for the answer, else EAGAIN when the client is too slow. The
 * handler's reason: vrpqCallReason(chan). */
HYPLINK_VRPQ_API int vrpqCallbackPerform(VrpqChan chan, uint32_t procId, void* in, void* out);
/** The same; a client that does not answer in time: ETIMEDOUT. */
HYPLINK_VRPQ_API int vrpqCallbackPerformTimed(VrpqChan chan, uint32_t procId, void* in, void* out,
                                              int timeoutMs);

/** What becomes of an asynchronous callback when the client is too slow. */
typedef enum VrpqDrop {
    VRPQ_DROP_REFUSE = 0, /**< EAGAIN */
    VRPQ_DROP_NEWEST = 1, /**< kept back while there are fewer than `keep` of its procedure */
    VRPQ_DROP_OLDEST = 2  /**< kept back; the oldest beyond `keep` are forgotten */
} VrpqDrop;
/** Server: an asynchronous callback with a policy. 0 for what was forgotten, too. */
HYPLINK_VRPQ_API int vrpqCallbackPost(VrpqChan chan, uint32_t procId, void* in, VrpqDrop drop,
                                      uint32_t keep);

/* ---- parameters ------------------------------------------------------------------------------*/

/* `off` counts bytes from `buf` and is a multiple of the type's size. What the peer wrote is loaded
 * exactly once: it may change at any time. */

#define VRPQ_PARAM_AT_(buf, off) ((char*)(buf) + (off))

#define VRPQ_PARAM_WRITE(buf, off, type, val) \
    ((void)(*(type*)(void*)VRPQ_PARAM_AT_(buf, off) = (type)(val)))
/** Element `idx` of the array at `off` becomes data[idx]. */
#define VRPQ_PARAM_ARRAY_WRITE(buf, off, type, data, idx) \
    ((void)(((type*)(void*)VRPQ_PARAM_AT_(buf, off))[idx] = (data)[idx]))
#define VRPQ_PARAM_BUF_WRITE(buf, off, size, data) \
    ((void)memcpy(VRPQ_PARAM_AT_(buf, off), (data), (size)))
/** With its NUL. */
#define VRPQ_PARAM_STR_WRITE(buf, off, str) \
    ((void)memcpy(VRPQ_PARAM_AT_(buf, off), (str), strlen(str) + 1))

#define VRPQ_PARAM_READ(buf, off, type) \
    (*(const volatile type*)(const void*)VRPQ_PARAM_AT_(buf, off))
#define VRPQ_PARAM_ARRAY_READ(buf, off, type, idx) \
    (((const volatile type*)(const void*)VRPQ_PARAM_AT_(buf, off))[idx])
#define VRPQ_PARAM_BUF_READ(buf, off, size, data) \
    ((void)memcpy((data), VRPQ_PARAM_AT_(buf, off), (size)))
/** At most `size` bytes, always NUL-terminated. */
#define VRPQ_PARAM_STR_READ(buf, off, size, str) \
    vrpqStrRead_(VRPQ_PARAM_AT_(buf, off), (size), (str))
#define VRPQ_PARAM_IN_PLACE(buf, off, type) ((type*)(void*)VRPQ_PARAM_AT_(buf, off))

static inline void vrpqStrRead_(const char* from, size_t size, char* to) {
    size_t i = 0;
    if (size == 0) return;
    for (; i + 1 < size; ++i)
        if ((to[i] = *(const volatile char*)(from + i)) == '\0') return;
    to[i] = '\0';
}

/**
 * A reference: an entry of 8 bytes among the direct parameters, {u32 size, u32 offset from this
 * entry}, the same on 32 and 64 bits; its data lie behind the parameters, each on 8 bytes. Writing
 * copies the data at once. 0 or EMSGSIZE (more than was allocated; the request is then refused).
 */
#define VRPQ_PARAM_REF_WRITE(buf, off, size, ptr) vrpqRefWrite((buf), (off), (size), (ptr))
/** The data of a reference, NULL if it is not `size` bytes within its request (counted) or 0. */
#define VRPQ_PARAM_REF_IN_PLACE(buf, off, size) vrpqRefInPlace((buf), (off), (size))
/** What size a reference says it has. */
#define VRPQ_PARAM_REF_SIZE(buf, off) vrpqRefSize((buf), (off))
#define VRPQ_REF_BYTES 8u

HYPLINK_VRPQ_API int vrpqRefWrite(void* buf, uint32_t off, uint32_t size, const void* data);
HYPLINK_VRPQ_API void* vrpqRefInPlace(const void* buf, uint32_t off, uint32_t size);
HYPLINK_VRPQ_API uint32_t vrpqRefSize(const void* buf, uint32_t off);
/** How many references of this channel were refused. */
HYPLINK_VRPQ_API uint32_t vrpqRefErrors(VrpqChan chan);

/* ---- statistics ------------------------------------------------------------------------------*/

enum {
    VRPQ_PROF_GEN_STAT_GET = 1,
    VRPQ_PROF_PROC_STAT_GET = 2,
    VRPQ_PROF_PROC_STAT_GET_ALL = 3,
    VRPQ_PROF_RESET = 4
};

/** The general counters, by id. Those without a meaning here stay 0; src/README.md says which. */
enum {
    VRPQ_STAT_ADMIN_CALLS,
    VRPQ_STAT_SESSIONS_CREATED,
    VRPQ_STAT_SESSIONS_DESTROYED,
    VRPQ_STAT_CHANS_CREATED,
    VRPQ_STAT_CHANS_DESTROYED,
    VRPQ_STAT_NOTIFIES,
    VRPQ_STAT_MULTI_CALLS,
    VRPQ_STAT_POSTS_PER_CALL,
    VRPQ_STAT_POSTS_PER_CALL_MAX,
    VRPQ_STAT_MULTI_NOTIFIES,
    VRPQ_STAT_POSTS_PER_NOTIFY,
    VRPQ_STAT_POSTS_PER_NOTIFY_MAX,
    VRPQ_STAT_MULTI_POSTS,
    VRPQ_STAT_GROUPED_POSTS,
    VRPQ_STAT_GROUPED_POSTS_MAX,
    VRPQ_STAT_RESPONSE_XIRQS,
    VRPQ_STAT_ALLOCS_FAST,
    VRPQ_STAT_ALLOCS_SLOW,
    VRPQ_STAT_IN_REFS,
    VRPQ_STAT_SIZE_MAX,
    VRPQ_STAT_ALLOCATED,
    VRPQ_STAT_ALLOCATED_MAX,
    VRPQ_STAT_REQUESTS,
    VRPQ_STAT_REQUESTS_MAX,
    VRPQ_STAT_RECYCLES,
    VRPQ_STAT_REQUESTS_PER_RECYCLE,
    VRPQ_STAT_RING_FULL,
    VRPQ_STAT_PARAM_FULL,
    VRPQ_STAT_SPACE_XIRQS,
    VRPQ_STAT_PROCS,
    VRPQ_STAT_COUNT
};

/** GEN_STAT_GET: id is a VRPQ_STAT_…. PROC_STAT_GET: id is a procedure that is asked for, value how
 * many requests of it were sent (or received, on a server's device). PROC_STAT_GET_ALL: the
 * procedures seen, in order of their numbers. Procedures are counted from the first time a program
 * asks for them. */
typedef struct VrpqStat {
    uint32_t id;
    uint32_t reserved;
    uint64_t value;
} VrpqStat;

/** Figures of this program on one device. `*count`: room at `stats`, then how many were written
 * (for PROC_STAT_GET: how many are asked for). Up to 256 procedures a channel are counted. RESET
 * leaves what is a state (allocated, requests) as it is. */
HYPLINK_VRPQ_API int vrpqProf(const char* devName, int cmd, VrpqStat* stats, uint32_t* count);

#ifdef __cplusplus
}
#endif

/* ---- the names of 2011: sessions and channels without info ------------------------------------*/

#ifdef HYPLINK_VRPQ_2011
#define vrpqSessionCreate(devName, session) (vrpqSessionCreate)((devName), NULL, 0, (session))
#define vrpqSessionAccept(devName, session) (vrpqSessionAccept)((devName), NULL, NULL, (session))
#define vrpqChanCreate(session, chan) (vrpqChanCreate)((session), NULL, 0, (chan))
#define vrpqChanAccept(session, chan) (vrpqChanAccept)((session), NULL, NULL, (chan))
#endif

#endif
