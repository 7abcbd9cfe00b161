/** @file The client's end of a channel, and whoever else sends. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_CLIENT_H
#define HYPLINK_COMPAT_VIDL_CLIENT_H

#include <errno.h>
#include <stdlib.h>

#include "hyplink/compat/vidl/answers.h"
#include "hyplink/compat/vidl/arena.h"
#include "hyplink/compat/vidl/buffers.h"
#include "hyplink/compat/vidl/parts.h"
#include "hyplink/compat/vidl/registry.h"
#include "hyplink/compat/vrpq.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The reason of a call that `throws`, from the enum's value and back. */
#define VIDL_THROW(value) ((int32_t)(0x10000u | ((uint32_t)(value) & 0xFFFFu)))
#define VIDL_IS_THROWN(reason) (((uint32_t)(reason) >> 16) == 1u)
#define VIDL_THROWN(reason) ((int16_t)((uint32_t)(reason) & 0xFFFFu))

/**
 * What every generated client begins with. A C prototype has no place for an error, so they are
 * told here: functions return their `on_lost` value (or zero) and leave outputs alone.
 */
struct VidlClient;

/**
 * Another way for requests that do not fit the port, the application's to make. Both get the whole
 * block and answer like vrpqPost and vrpqCall: 0 or an errno, EMSGSIZE for what they do not take.
 */
typedef struct VidlCarrier {
    int (*post)(struct VidlClient* client, uint32_t proc, const void* in, uint32_t size);
    /** `out` is zeroed; `*got`: bytes of the answer, `*reason`: the server's. */
    int (*call)(struct VidlClient* client, uint32_t proc, const void* in, uint32_t size, void* out,
                uint32_t room, uint32_t* got, int32_t* reason);
    /** May be NULL. Memory for a call that it would rather carry than the port: the block, and from
     * vidlRound8(size) on its answer, good until the next call; NULL: whatever fits goes the
     * ordinary way. */
    void* (*lend)(struct VidlClient* client, uint64_t size, uint64_t room);
} VidlCarrier;

/** A request on its way to a carrier. */
typedef struct VidlLoad {
    void* in;
    uint32_t size, room, got;
    int32_t reason;
    int lent; /* `in` is the carrier's own */
} VidlLoad;
/** An answer that was read, or a request that its caller dropped. */
static inline void vidlLoadEnd(VidlLoad* load) {
    if (!load->lent) free(load->in);
    memset(load, 0, sizeof *load);
}

typedef struct VidlClient {
    VrpqChan chan;
    /** 0, or the errno that ended the channel: EPIPE the peer is gone, EBADMSG it broke a rule. */
    int error;
    /** The last refusal of the server: an errno, or 0x10000 | the value of a `throws` enum. */
    int32_t reason;
    /** Arguments that were refused here, and how often the server refused. */
    uint32_t badArguments;
    uint32_t refusals;
    /** Which rule a reply broke. */
    VidlReject broken;
    /** Where `umem` parameters and `@large` data lie; NULL: nowhere. */
    VidlBuffers* buffers;
    /** The application's own. */
    void* user;
    /** Called once, when the channel ends. */
    void (*on_lost)(struct VidlClient* client, int error);
    /** Called instead of sending: `field` of `proc` is out of its range or too big. */
    void (*on_bad_argument)(struct VidlClient* client, const char* proc, const char* field);
    /** Called when the server answers a call with a reason other than 0. */
    void (*on_refused)(struct VidlClient* client, const char* proc, int32_t reason);
    /** NULL: what does not fit the port is a bad argument. */
    const VidlCarrier* carrier;
    VidlLoad load;
    VidlArena arena;
    VidlAnswers answers;
    VidlRegistry registry;
} VidlClient;

static inline void vidlClientInit(VidlClient* client, VrpqChan chan) {
    memset(client, 0, sizeof *client);
    client->chan = chan;
}
/** Give back what was remembered. The channel stays the caller's. */
static inline void vidlClientFree(VidlClient* client) {
    vidlArenaFree(&client->arena);
    vidlAnswersFree(&client->answers);
    free(client->registry.entries);
    client->registry.entries = NULL;
    client->registry.used = client->registry.room = 0;
    vidlLoadEnd(&client->load);
}
static inline void vidlLost(VidlClient* client, int error) {
    if (client->error != 0) return;
    client->error = error;
    if (client->on_lost != NULL) client->on_lost(client, error);
}
static inline void vidlBadArgument(VidlClient* client, const char* proc, const char* field) {
    ++client->badArguments;
    if (client->on_bad_argument != NULL) client->on_bad_argument(client, proc, field);
}
static inline void vidlRefused(VidlClient* client, const char* proc, int32_t reason) {
    client->reason = reason;
    ++client->refusals;
    if (client->on_refused != NULL) client->on_refused(client, proc, reason);
}
static inline void vidlBadReply(VidlClient* client, uint32_t proc, uint32_t rule, const char* field,
                                uint32_t offset) {
    (void)vidlReject(&client->broken, proc, rule, field, offset);
    vidlLost(client, EBADMSG);
}
/** A transport failure: too big is the argument's fault, a deadline the call's, the rest is loss.
 */
static inline void vidlFailed(VidlClient* client, const char* proc, int error) {
    if (error == EMSGSIZE) {
        vidlBadArgument(client, proc, "");
    } else if (error == ETIMEDOUT || error == ENOMEM || error == ECANCELED || error == EAGAIN ||
               error == EDEADLK) {
        vidlRefused(client, proc, error);
    } else {
        vidlLost(client, error);
    }
}
/** Memory for what does not fit the port, parameters and answer; NULL: errno says why. */
static inline unsigned char* vidlLoadBegin(VidlClient* client, uint64_t size, uint64_t room) {
    const uint64_t whole = vidlRound8(size) + room;
    vidlLoadEnd(&client->load);
    errno = EMSGSIZE;
    if (client->carrier == NULL || whole > SIZE_MAX) return NULL;
    client->load.in = calloc(1, whole == 0 ? 1 : (size_t)whole);
    client->load.size = (uint32_t)size;
    client->load.room = (uint32_t)room;
    if (client->load.in == NULL) errno = ENOMEM;
    return (unsigned char*)client->load.in;
}
/** Room for a post; NULL: it was told. */
static inline unsigned char* vidlPostBegin(VidlClient* client, const char* proc, uint64_t size) {
    void* in;
    if (size > UINT32_MAX) {
        vidlBadArgument(client, proc, "");
        return NULL;
    }
    do {
        in = vrpqParamPostAlloc(client->chan, (uint32_t)size, 0, 0);
    } while (in == NULL && errno == EINTR);
    if (in == NULL && errno == EMSGSIZE) in = vidlLoadBegin(client, size, 0);
    if (in == NULL) vidlFailed(client, proc, errno);
    return (unsigned char*)in;
}
static inline void vidlPost(VidlClient* client, const char* name, uint32_t proc, void* in,
                            int now) {
    int error;
    if (in == client->load.in) {
        client->load.in = NULL; /* the carrier sends requests of its own */
        error = client->carrier->post(client, proc, in, client->load.size);
        free(in);
    } else if (now) {
        error = vrpqPostAndNotify(client->chan, proc, in);
    } else {
        error = vrpqPost(client->chan, proc, in);
    }
    if (error != 0) vidlFailed(client, name, error);
}
/** Room for a call; NULL: it was told. */
static inline unsigned char* vidlCallBegin(VidlClient* client, const char* proc, uint64_t size,
                                           uint64_t room, void** out) {
    void* in = NULL;
    int error;
    if (size > UINT32_MAX || room > UINT32_MAX) {
        vidlBadArgument(client, proc, "");
        return NULL;
    }
    vidlLoadEnd(&client->load);
    if (client->carrier != NULL && client->carrier->lend != NULL) {
        in = client->carrier->lend(client, size, room);
        if (in != NULL) {
            client->load.in = in;
            client->load.size = (uint32_t)size;
            client->load.room = (uint32_t)room;
            client->load.lent = 1;
            *out = (unsigned char*)in + vidlRound8(size);
            return (unsigned char*)in;
        }
    }
    do {
        error = vrpqParamCallAlloc(client->chan, (uint32_t)size, 0, 0, 0, (uint32_t)room, &in, out);
    } while (error == EINTR);
    if (error == EMSGSIZE) {
        in = vidlLoadBegin(client, size, room);
        *out = in == NULL ? NULL : (unsigned char*)in + vidlRound8(size);
        error = in == NULL ? errno : 0;
    }
    if (error != 0) {
        vidlFailed(client, proc, error);
        return NULL;
    }
    return (unsigned char*)in;
}
/* 1: there is an answer to read. */
static inline int vidlAnswered(VidlClient* client, const char* name, uint32_t proc) {
    const int32_t reason =
        client->load.in != NULL ? client->load.reason : vrpqCallReason(client->chan);
    if (reason < 0 || (reason > 4095 && !VIDL_IS_THROWN(reason))) {
        vidlBadReply(client, proc, 7, "reason", 0);
        return 0;
    }
    if (reason != 0) vidlRefused(client, name, reason);
    return reason == 0;
}
/** Send and wait. 1: there is an answer to read. */
static inline int vidlCall(VidlClient* client, const char* name, uint32_t proc, void* in,
                           void* out) {
    int error;
    if (in == client->load.in) {
        VidlLoad load = client->load;
        memset(&client->load, 0, sizeof client->load); /* the carrier sends requests of its own */
        error = client->carrier->call(client, proc, in, load.size, out, load.room, &load.got,
                                      &load.reason);
        vidlLoadEnd(&client->load);
        client->load = load;
    } else {
        do {
            error = vrpqCall(client->chan, proc, in, out);
        } while (error == EINTR);
    }
    if (error != 0) {
        vidlFailed(client, name, error);
        return 0;
    }
    return vidlAnswered(client, name, proc);
}
/** Bytes of the answer to the last call. */
static inline uint32_t vidlAnswerBytes(const VidlClient* client) {
    return client->load.in != NULL ? client->load.got : vrpqCallOutSize(client->chan);
}

/* The same for what a server calls at its client. */
static inline unsigned char* vidlCallbackBegin(VidlClient* client, const char* proc, uint64_t size,
                                               uint64_t room, void** out) {
    void* in;
    if (size > UINT32_MAX || room > UINT32_MAX) {
        vidlBadArgument(client, proc, "");
        return NULL;
    }
    in = vrpqCallbackParamAlloc(client->chan, (uint32_t)size, (uint32_t)room, out);
    if (in == NULL) vidlFailed(client, proc, errno);
    return (unsigned char*)in;
}
static inline void vidlCallbackPost(VidlClient* client, const char* name, uint32_t proc, void* in,
                                    VrpqDrop drop, uint32_t keep) {
    const int error = vrpqCallbackPost(client->chan, proc, in, drop, keep);
    if (error != 0) vidlFailed(client, name, error);
}
/** `milliseconds` 0: as long as the channel waits by itself. */
static inline int vidlCallbackCall(VidlClient* client, const char* name, uint32_t proc, void* in,
                                   void* out, int milliseconds) {
    int error;
    if (milliseconds != 0) {
        error = vrpqCallbackPerformTimed(client->chan, proc, in, out, milliseconds);
    } else {
        error = vrpqCallbackPerform(client->chan, proc, in, out);
    }
    if (error != 0) {
        vidlFailed(client, name, error);
        return 0;
    }
    return vidlAnswered(client, name, proc);
}

#ifdef __cplusplus
}
#endif

#endif
