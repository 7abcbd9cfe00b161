/** @file The server's end of a channel, and what it calls at its client. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_SERVER_H
#define HYPLINK_COMPAT_VIDL_SERVER_H

#include "hyplink/compat/vidl/client.h"
#include "hyplink/compat/vidl/handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What every generated server begins with: one channel's. */
typedef struct VidlServer {
    /** The session's handles, the application's to make; NULL: no handle is good. */
    VidlHandles* handles;
    /** The application's, too: where buffers lie; NULL: none is good. */
    VidlBuffers* buffers;
    /** For the function of a call that `creates`: the handle it has made. */
    uint32_t fresh;
    /** Set by a function that fails: an errno, or VIDL_THROW(value). The answer is then empty. */
    int32_t reason;
    /** Why the last request was refused, after VIDL_REJECTED. */
    VidlReject why;
    /** The application's own. */
    void* user;
    /** Posts whose procedure does not exist or has no function. */
    uint32_t unknown;
    VidlArena arena;
    struct VidlEmitter* emitters;
} VidlServer;

/** The other end of a server's or a client's channel, for callbacks. */
typedef struct VidlCaller {
    VidlClient base;
} VidlCaller;
typedef struct VidlCallee {
    VidlServer base;
} VidlCallee;

#define VIDL_SHARED 8u

/** What a server's library gets for `user`: whom to call, and with which number each callback. */
typedef struct VidlEmitter {
    struct VidlEmitter* next;
    VidlCaller* caller;
    uint32_t place, key;
    uint32_t count;
    struct {
        uint32_t kind, number;
    } to[VIDL_SHARED]; /* callbacks that share a cookie */
} VidlEmitter;

/** One for each place, for as long as the server: a library may hold on to the last one. */
static inline VidlEmitter* vidlEmitter(VidlServer* server, VidlCaller* caller, uint32_t place,
                                       uint32_t key) {
    VidlEmitter** at = &server->emitters;
    VidlEmitter* found;
    while (*at != NULL && ((*at)->place != place || (*at)->key != key)) at = &(*at)->next;
    found = *at;
    if (found == NULL) {
        found = (VidlEmitter*)calloc(1, sizeof *found);
        if (found == NULL) return NULL;
        found->caller = caller;
        found->place = place;
        found->key = key;
    } else {
        *at = found->next;
    }
    found->next = server->emitters; /* the latest comes first */
    server->emitters = found;
    return found;
}
static inline void vidlEmitterSet(VidlEmitter* emitter, uint32_t kind, uint32_t number) {
    uint32_t i;
    for (i = 0; i < emitter->count && emitter->to[i].kind != kind; ++i) continue;
    if (i == VIDL_SHARED) return;
    if (i == emitter->count) ++emitter->count;
    emitter->to[i].kind = kind;
    emitter->to[i].number = number;
}
/** The number of a callback's registration; 0: none is live. */
static inline uint32_t vidlEmitterNumber(const VidlEmitter* emitter, uint32_t kind) {
    uint32_t i;
    for (i = 0; emitter != NULL && i < emitter->count; ++i) {
        if (emitter->to[i].kind == kind) return emitter->to[i].number;
    }
    return 0;
}
/** Whose number a cookie without callback carries; NULL: nobody's. */
static inline VidlEmitter* vidlEmitterOf(const VidlServer* server, uint32_t number) {
    VidlEmitter* found;
    uint32_t i;
    for (found = server->emitters; found != NULL && number != 0; found = found->next) {
        for (i = 0; i < found->count; ++i) {
            if (found->to[i].number == number) return found;
        }
    }
    return NULL;
}
/** The latest registration of a callback, for one that was registered without a cookie. */
static inline VidlEmitter* vidlEmitterLatest(const VidlServer* server, uint32_t kind) {
    VidlEmitter* found = server->emitters;
    while (found != NULL && vidlEmitterNumber(found, kind) == 0) found = found->next;
    return found;
}

static inline void vidlServerInit(VidlServer* server) { memset(server, 0, sizeof *server); }
static inline void vidlServerFree(VidlServer* server) {
    vidlArenaFree(&server->arena);
    while (server->emitters != NULL) {
        VidlEmitter* const gone = server->emitters;
        server->emitters = gone->next;
        free(gone);
    }
}

/** A function's name in the interface and its place in the generated table of functions. */
typedef struct VidlEntry {
    const char* name;
    size_t offset;
} VidlEntry;

#ifdef __cplusplus
}
#endif

#endif
