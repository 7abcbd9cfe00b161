/**
 * What C code generated from an interface description (`hyplink idl gen --lang c`) needs: loads,
 * stores, parts, scratch memory, remembered answers, and the two ends of a channel. C99, 32 and 64
 * bits; include the generated header, not this one.
 *
 * The memory of a block is shared with a peer that may write at any time: everything in its fixed
 * part is loaded exactly once, lengths are computed from what was loaded, and contents that need a
 * look are copied first. All sums are 64 bits wide, whatever the machine.
 *
 * Thread rule: an object belongs to one thread at a time.
 */
#ifndef HYPLINK_COMPAT_VIDL_H
#define HYPLINK_COMPAT_VIDL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hyplink/compat/vrpq.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blocks are little-endian"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- loads and stores -----------------------------------------------------------------------*/

typedef uint16_t __attribute__((may_alias)) VidlU16;
typedef uint32_t __attribute__((may_alias)) VidlU32;
typedef uint64_t __attribute__((may_alias)) VidlU64;

/* One access each, which the compiler may neither repeat nor split. */
static inline uint8_t vidlLoad8(const void* p) {
    return __atomic_load_n((const uint8_t*)p, __ATOMIC_RELAXED);
}
static inline uint16_t vidlLoad16(const void* p) {
    return __atomic_load_n((const VidlU16*)p, __ATOMIC_RELAXED);
}
static inline uint32_t vidlLoad32(const void* p) {
    return __atomic_load_n((const VidlU32*)p, __ATOMIC_RELAXED);
}
static inline uint64_t vidlLoad64(const void* p) {
#if UINTPTR_MAX > 0xFFFFFFFFu
    return __atomic_load_n((const VidlU64*)p, __ATOMIC_RELAXED);
#else
    /* Two halves read once each are as good; not every 32-bit machine has the wide load. */
    const uint64_t low = vidlLoad32(p);
    return low | ((uint64_t)vidlLoad32((const unsigned char*)p + 4) << 32);
#endif
}
static inline float vidlLoadF32(const void* p) {
    const uint32_t bits = vidlLoad32(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline double vidlLoadF64(const void* p) {
    const uint64_t bits = vidlLoad64(p);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
/** The bytes of a gap or-ed together: 0 when it is clean. */
static inline uint32_t vidlLoadPad(const unsigned char* p, uint32_t size) {
    uint32_t all = 0;
    uint32_t i;
    /* A gap of two or four bytes ends at a boundary, so it lies on one of its own size. */
    if (size == 4) return vidlLoad32(p);
    if (size == 2) return vidlLoad16(p);
    for (i = 0; i < size; ++i) all |= vidlLoad8(p + i);
    return all;
}

static inline void vidlPut8(unsigned char* p, uint8_t v) { *p = v; }
static inline void vidlPut16(unsigned char* p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void vidlPut32(unsigned char* p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void vidlPut64(unsigned char* p, uint64_t v) { memcpy(p, &v, sizeof v); }
static inline void vidlPutF32(unsigned char* p, float v) { memcpy(p, &v, sizeof v); }
static inline void vidlPutF64(unsigned char* p, double v) { memcpy(p, &v, sizeof v); }

/* Whether what travels in 64 bits has a place in this machine's own type. */
static inline int vidlFitsSize(uint64_t v) {
#if SIZE_MAX < UINT64_MAX
    return v <= SIZE_MAX;
#else
    (void)v;
    return 1;
#endif
}
static inline int vidlFitsLong(int64_t v) {
#if UINTPTR_MAX > 0xFFFFFFFFu
    (void)v;
    return 1;
#else
    return v >= INT32_MIN && v <= INT32_MAX;
#endif
}

static inline uint64_t vidlRound8(uint64_t n) { return (n + 7u) & ~(uint64_t)7; }
static inline int64_t vidlMin(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t vidlMax(int64_t a, int64_t b) { return a > b ? a : b; }
static inline uint64_t vidlMinU(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t vidlMaxU(uint64_t a, uint64_t b) { return a > b ? a : b; }

/** Whether a count exceeds what there is; a negative one doesn't. */
static inline int vidlMore(int64_t count, uint64_t have) {
    return count > 0 && (uint64_t)count > have;
}
/** How much of `room` is used, whatever the function said. */
static inline uint64_t vidlUsed(int64_t count, uint64_t room) {
    if (count < 0) return 0;
    return (uint64_t)count > room ? room : (uint64_t)count;
}

/** Elements of `size` bytes in front of the first zero, `limit` if there is none up to there. */
static inline int64_t vidlCount(const void* p, uint32_t size, int64_t limit) {
    static const unsigned char zero[8] = {0};
    const unsigned char* at = (const unsigned char*)p;
    int64_t n = 0;
    while (n < limit && memcmp(at, zero, size) != 0) {
        ++n;
        at += size;
    }
    return n;
}
/** Bytes in front of the NUL, looking at `limit` at most. */
static inline uint64_t vidlText(const char* p, uint64_t limit) {
    const char* end;
    if (limit == 0) return 0; /* p may be NULL */
    end = (const char*)memchr(p, 0, (size_t)limit);
    return end != NULL ? (uint64_t)(end - p) : limit;
}

/* ---- broken rules ---------------------------------------------------------------------------*/

/** Why a block was refused: procedure, rule by number (D1 to D14), field and where it lies. */
typedef struct VidlReject {
    uint32_t proc;
    uint32_t rule;
    const char* field;
    uint32_t offset;
} VidlReject;

/** What a dispatch returns for a refused block; every real status is 0 or positive. */
#define VIDL_REJECTED (-1)

static inline int32_t vidlReject(VidlReject* why, uint32_t proc, uint32_t rule, const char* field,
                                 uint32_t offset) {
    why->proc = proc;
    why->rule = rule;
    why->field = field;
    why->offset = offset;
    return VIDL_REJECTED;
}

/* ---- parts ----------------------------------------------------------------------------------*/

typedef struct VidlPart {
    uint32_t off;
    uint32_t len;
} VidlPart;

static inline VidlPart vidlLoadPart(const unsigned char* p) {
    VidlPart part;
    part.off = vidlLoad32(p);
    part.len = vidlLoad32(p + 4);
    return part;
}
/** An absent part: no place is at offset 0, where the fixed part begins. */
static inline int vidlAbsent(VidlPart part) { return part.off == 0 && part.len == 0; }

static inline void vidlPutPart(unsigned char* p, uint64_t off, uint64_t len) {
    vidlPut32(p, (uint32_t)off);
    vidlPut32(p + 4, (uint32_t)len);
}
/** Zero the last eight bytes of a part of `bytes`; the offset behind it. Fill it afterwards. */
static inline uint64_t vidlRoom(unsigned char* block, uint64_t off, uint64_t bytes) {
    const uint64_t end = off + vidlRound8(bytes);
    if (end != off) memset(block + end - 8, 0, 8);
    return end;
}
/** A part's bytes, `nul` bytes of zero and padding; the offset behind. */
static inline uint64_t vidlPutBytes(unsigned char* block, uint64_t off, const void* data,
                                    uint64_t bytes, uint32_t nul) {
    const uint64_t end = vidlRoom(block, off, bytes + nul);
    if (bytes != 0) memcpy(block + off, data, (size_t)bytes);
    return end;
}

/** Walks over the parts of a block that a peer wrote. */
typedef struct VidlReader {
    const unsigned char* block;
    const unsigned char* data; /* the part taken last */
    uint32_t size;
    uint32_t cursor;
} VidlReader;

static inline VidlReader vidlReader(const void* block, uint32_t size, uint32_t fixed) {
    VidlReader reader;
    reader.block = (const unsigned char*)block;
    reader.data = reader.block;
    reader.size = size;
    reader.cursor = fixed;
    return reader;
}
/**
 * Accept the next part if it is `want` bytes (and `nul` more) and lies where it must. Returns the
 * broken rule, 0 if none. `reserve` is what it occupies, at least `want + nul`.
 */
static inline uint32_t vidlTake(VidlReader* reader, VidlPart part, uint64_t want, uint32_t nul,
                                uint64_t reserve) {
    const uint64_t used = want + nul;
    const uint64_t need = vidlRound8(reserve);
    const uint64_t gap = vidlRound8(used) - used;
    if (part.len != want) return 5;
    if (part.off != reader->cursor || need > reader->size - reader->cursor) return 3;
    reader->data = reader->block + reader->cursor;
    reader->cursor += (uint32_t)need;
    if (gap != 0 && (vidlLoad64(reader->data + used + gap - 8) >> (64u - 8u * gap)) != 0) return 7;
    return 0;
}

/* ---- buffers ---------------------------------------------------------------------------------*/

/** A piece of a vUmem buffer; slot to length all zero: none. `data`: where its receiver sees it,
 * in memory that the sender may still write. */
typedef struct VidlBuffer {
    uint32_t slot, generation;
    uint64_t offset, length;
    void* data;
} VidlBuffer;

#define VIDL_READ 1u
#define VIDL_WRITE 2u

/** Who owns the buffers; without one none is good, and large data travel inside the block. */
typedef struct VidlBuffers {
    void* user;
    /** `ref->length` bytes; NULL: no such buffer, beyond its end, or without these rights. */
    void* (*resolve)(struct VidlBuffers* all, const VidlBuffer* ref, uint32_t rights);
    /** May be NULL. It is given to the peer (1: write back caches now), or came from there (0). */
    void (*transferred)(struct VidlBuffers* all, const VidlBuffer* ref, int given);
    /** May be NULL. Copy a large parameter into a buffer, where it stays until its request is done:
     * 1, with `*ref`; 0: send it inside. `first`: none of the same request came before. */
    int (*place)(struct VidlBuffers* all, const void* data, uint64_t size, int first,
                 VidlBuffer* ref);
    /** May be NULL. Whether this side may name it now: 0, or an errno (EPERM: it was given away).
     */
    int (*admit)(struct VidlBuffers* all, const VidlBuffer* ref);
} VidlBuffers;

static inline int vidlHasBuffer(const VidlBuffer* ref) {
    return ref != NULL &&
           (ref->slot != 0 || ref->generation != 0 || ref->offset != 0 || ref->length != 0);
}
static inline void vidlPutBuffer(unsigned char* p, const VidlBuffer* ref) {
    if (ref == NULL) {
        memset(p, 0, 24);
        return;
    }
    vidlPut32(p, ref->slot);
    vidlPut32(p + 4, ref->generation);
    vidlPut64(p + 8, ref->offset);
    vidlPut64(p + 16, ref->length);
}
static inline VidlBuffer vidlLoadBuffer(const unsigned char* p) {
    VidlBuffer ref;
    ref.slot = vidlLoad32(p);
    ref.generation = vidlLoad32(p + 4);
    ref.offset = vidlLoad64(p + 8);
    ref.length = vidlLoad64(p + 16);
    ref.data = NULL;
    return ref;
}
/** Find the memory of what a peer named; 0: it is not good for this. */
static inline int vidlResolve(VidlBuffers* all, VidlBuffer* ref, uint32_t rights, uint64_t most) {
    if (all == NULL || all->resolve == NULL || ref->length > most) return 0;
    ref->data = all->resolve(all, ref, rights);
    return ref->data != NULL;
}
/** Asked before a request that names a buffer is sent: 0, or an errno. */
static inline int vidlAdmit(VidlBuffers* all, const VidlBuffer* ref) {
    return all != NULL && all->admit != NULL && vidlHasBuffer(ref) ? all->admit(all, ref) : 0;
}
static inline void vidlTransferred(VidlBuffers* all, const VidlBuffer* ref, int given) {
    if (all != NULL && all->transferred != NULL && vidlHasBuffer(ref))
        all->transferred(all, ref, given);
}
/** Whether a large parameter travels in a buffer. */
static inline int vidlPlace(VidlBuffers* all, const void* data, uint64_t size, int first,
                            VidlBuffer* ref) {
    if (all == NULL || all->place == NULL || data == NULL) return 0;
    return all->place(all, data, size, first, ref) && vidlHasBuffer(ref);
}

/* ---- scratch memory --------------------------------------------------------------------------*/

typedef struct VidlChunk {
    struct VidlChunk* next;
    uint64_t size;
} VidlChunk;

/** Memory of one request. What is taken is bounded by the block, whose size the ring bounds. */
typedef struct VidlArena {
    VidlChunk* first;
    uint64_t used;
} VidlArena;

#define VIDL_CHUNK 4096u
#define VIDL_KEEP 262144u

/** NULL: out of memory. Aligned to 16. */
static inline void* vidlGet(VidlArena* arena, uint64_t size) {
    const uint64_t need = size == 0 ? 16 : (size + 15u) & ~(uint64_t)15;
    VidlChunk* chunk = arena->first;
    unsigned char* at;
    if (chunk == NULL || need > chunk->size - arena->used) {
        const uint64_t room = need > VIDL_CHUNK ? need : VIDL_CHUNK;
        if (room > SIZE_MAX - 16) return NULL;
        chunk = (VidlChunk*)malloc((size_t)room + 16);
        if (chunk == NULL) return NULL;
        chunk->next = arena->first;
        chunk->size = room;
        arena->first = chunk;
        arena->used = 0;
    }
    at = (unsigned char*)chunk + 16 + arena->used;
    arena->used += need;
    return at;
}
static inline void vidlArenaFree(VidlArena* arena) {
    while (arena->first != NULL) {
        VidlChunk* const chunk = arena->first;
        arena->first = chunk->next;
        free(chunk);
    }
    arena->used = 0;
}
/** Everything taken is gone; one chunk stays for the next request. */
static inline void vidlArenaReset(VidlArena* arena) {
    if (arena->first == NULL) return;
    if (arena->first->next != NULL || arena->first->size > VIDL_KEEP) {
        VidlChunk* const keep = arena->first->size <= VIDL_KEEP ? arena->first : NULL;
        if (keep != NULL) arena->first = keep->next;
        vidlArenaFree(arena);
        if (keep != NULL) keep->next = NULL;
        arena->first = keep;
    }
    arena->used = 0;
}
/** A private copy, so that checking and using see the same bytes. */
static inline void* vidlCopy(VidlArena* arena, const void* from, uint64_t bytes) {
    void* const copy = vidlGet(arena, bytes);
    if (copy != NULL && bytes != 0) memcpy(copy, from, (size_t)bytes);
    return copy;
}
/** The same with `zero` bytes of zero behind. */
static inline void* vidlCopyZero(VidlArena* arena, const void* from, uint64_t bytes,
                                 uint32_t zero) {
    unsigned char* const copy = (unsigned char*)vidlGet(arena, bytes + zero);
    if (copy == NULL) return NULL;
    if (bytes != 0) memcpy(copy, from, (size_t)bytes);
    memset(copy + bytes, 0, zero);
    return copy;
}
/** `length` characters and their NUL; `*good`: it is there and none comes before. */
static inline char* vidlCopyText(VidlArena* arena, const void* from, uint64_t length, int* good) {
    char* const copy = (char*)vidlCopy(arena, from, length + 1);
    if (copy != NULL) *good = vidlText(copy, length + 1) == length;
    return copy;
}

/* ---- remembered answers ----------------------------------------------------------------------*/

typedef struct VidlAnswer {
    struct VidlAnswer* next;
    unsigned char* value; /* a reply block, aligned to 8 */
    uint32_t proc;
    uint32_t keySize;
    uint32_t valueSize;
    int stale;
} VidlAnswer; /* the key, a request block, follows */

#define VIDL_BUCKETS 64u
#define VIDL_ANSWERS 4096u

typedef struct VidlAnswers {
    VidlAnswer* bucket[VIDL_BUCKETS];
    uint32_t count;
} VidlAnswers;

static inline VidlAnswer** vidlAnswerPlace(VidlAnswers* all, uint32_t proc, const void* key,
                                           uint32_t size) {
    const unsigned char* const bytes = (const unsigned char*)key;
    uint32_t hash = 2166136261u ^ proc;
    uint32_t i;
    VidlAnswer** at;
    for (i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 16777619u;
    at = &all->bucket[(hash ^ (hash >> 16)) % VIDL_BUCKETS];
    while (*at != NULL && ((*at)->proc != proc || (*at)->keySize != size ||
                           (size != 0 && memcmp(*at + 1, key, size) != 0))) {
        at = &(*at)->next;
    }
    return at;
}
/** The answer to the same question, if it still holds. */
static inline const VidlAnswer* vidlKnown(VidlAnswers* all, uint32_t proc, const void* key,
                                          uint32_t size) {
    const VidlAnswer* const found = *vidlAnswerPlace(all, proc, key, size);
    return found != NULL && !found->stale ? found : NULL;
}
/** Keep an answer. An equal one stays where it was, so that pointers into it stay good. */
static inline const VidlAnswer* vidlRemember(VidlAnswers* all, uint32_t proc, const void* key,
                                             uint32_t keySize, const void* value,
                                             uint32_t valueSize) {
    VidlAnswer** const at = vidlAnswerPlace(all, proc, key, keySize);
    VidlAnswer* found = *at;
    unsigned char* const copy = (unsigned char*)malloc(valueSize == 0 ? 1 : valueSize);
    if (copy == NULL) return NULL;
    if (valueSize != 0) memcpy(copy, value, valueSize);
    if (found == NULL) {
        found = (VidlAnswer*)malloc(sizeof *found + keySize);
        if (found == NULL) {
            free(copy);
            return NULL;
        }
        memset(found, 0, sizeof *found);
        found->proc = proc;
        found->keySize = keySize;
        if (keySize != 0) memcpy(found + 1, key, keySize);
        *at = found;
        ++all->count;
    } else if (found->value != NULL && found->valueSize == valueSize &&
               memcmp(found->value, copy, valueSize) == 0) {
        free(copy);
        found->stale = 0;
        return found;
    }
    free(found->value);
    found->value = copy;
    found->valueSize = valueSize;
    found->stale = 0;
    return found;
}
/** Answers of a procedure no longer hold; pointers into them stay good until the next answer. */
static inline void vidlForget(VidlAnswers* all, uint32_t proc) {
    uint32_t i;
    for (i = 0; i < VIDL_BUCKETS; ++i) {
        VidlAnswer* at;
        for (at = all->bucket[i]; at != NULL; at = at->next) {
            if (at->proc == proc) at->stale = 1;
        }
    }
}
static inline void vidlAnswersFree(VidlAnswers* all) {
    uint32_t i;
    for (i = 0; i < VIDL_BUCKETS; ++i) {
        while (all->bucket[i] != NULL) {
            VidlAnswer* const gone = all->bucket[i];
            all->bucket[i] = gone->next;
            free(gone->value);
            free(gone);
        }
    }
    all->count = 0;
}

/* ---- registrations of callbacks ---------------------------------------------------------------*/

typedef void (*VidlFunction)(void);

/** A function and its `user`, behind a number that the server sends back. */
typedef struct VidlRegistration {
    VidlFunction function;
    void* user;
    uint32_t kind;       /* which callback: a number of another kind names nothing */
    uint32_t place, key; /* the procedure and object it was registered with: the next replaces it */
    uint16_t generation;
    uint8_t live;
} VidlRegistration;

/** Numbers are {slot 16 bits, generation 16 bits}: a server cannot name anything else. */
typedef struct VidlRegistry {
    VidlRegistration* entries;
    uint32_t used, room;
    uint32_t dropped; /* callbacks for numbers that name nothing */
} VidlRegistry;

/** Replace what is registered at that place; the new number, 0 for no function or no memory. */
static inline uint32_t vidlRegister(VidlRegistry* all, uint32_t kind, uint32_t place, uint32_t key,
                                    VidlFunction function, void* user) {
    uint32_t i;
    VidlRegistration* entry;
    for (i = 0; i < all->used; ++i) {
        entry = &all->entries[i];
        if (entry->live && entry->kind == kind && entry->place == place && entry->key == key)
            entry->live = 0;
    }
    if (function == NULL) return 0;
    for (i = 0; i < all->used && all->entries[i].live; ++i) continue;
    if (i == 0xFFFF) return 0;
    if (i == all->room) {
        const uint32_t room = all->room == 0 ? 8 : all->room * 2;
        entry = (VidlRegistration*)realloc(all->entries, room * sizeof *entry);
        if (entry == NULL) return 0;
        memset(entry + all->room, 0, (room - all->room) * sizeof *entry);
        all->entries = entry;
        all->room = room;
    }
    if (i == all->used) ++all->used;
    entry = &all->entries[i];
    entry->function = function;
    entry->user = user;
    entry->kind = kind;
    entry->place = place;
    entry->key = key;
    entry->live = 1;
    entry->generation = (uint16_t)(entry->generation % 0xFFFFu + 1u);
    return (i + 1) | (uint32_t)entry->generation << 16;
}
/** What a number names; NULL is counted. */
static inline const VidlRegistration* vidlRegistered(VidlRegistry* all, uint32_t kind,
                                                     uint32_t number) {
    const uint32_t slot = number & 0xFFFFu;
    if (slot != 0 && slot <= all->used) {
        const VidlRegistration* const entry = &all->entries[slot - 1];
        if (entry->live && entry->kind == kind && entry->generation == number >> 16) return entry;
    }
    ++all->dropped;
    return NULL;
}

/** The number behind a `user`, where a cookie travels alone; 0: none. */
static inline uint32_t vidlRegisteredFor(const VidlRegistry* all, const void* user) {
    uint32_t i;
    for (i = 0; user != NULL && i < all->used; ++i) {
        const VidlRegistration* const entry = &all->entries[i];
        if (entry->live && entry->user == user) return (i + 1) | (uint32_t)entry->generation << 16;
    }
    return 0;
}

/** The reason of a call that `throws`, from the enum's value and back. */
#define VIDL_THROW(value) ((int32_t)(0x10000u | ((uint32_t)(value) & 0xFFFFu)))
#define VIDL_IS_THROWN(reason) (((uint32_t)(reason) >> 16) == 1u)
#define VIDL_THROWN(reason) ((int16_t)((uint32_t)(reason) & 0xFFFFu))

/* ---- the client ------------------------------------------------------------------------------*/

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

/* ---- handles ---------------------------------------------------------------------------------*/

#define VIDL_SLOTS (1u << 20)

/* Slots of the parent, the first child, the next and the previous of the same parent; of a free
 * one, `next` is the next free. */
typedef struct VidlHandle {
    uint32_t number, type, generation;
    uint32_t parent, first, next, previous;
    void* object;
} VidlHandle;

/**
 * The handles of one session, shared by the servers of its channels: {slot 20 bits, generation 12
 * bits}, 0 is none. Any thread.
 */
typedef struct VidlHandles {
    VidlHandle* entries; /* by slot; [0] is not used */
    uint32_t room, used, live, most;
    uint32_t freeFirst, freeLast;
    int lock;
} VidlHandles;

/** At most `most` live at a time: no client makes the server's memory grow beyond. */
static inline void vidlHandlesInit(VidlHandles* all, uint32_t most) {
    memset(all, 0, sizeof *all);
    all->most = most < VIDL_SLOTS ? most : VIDL_SLOTS - 1;
}
static inline void vidlHandlesFree(VidlHandles* all) {
    free(all->entries);
    memset(all, 0, sizeof *all);
}
static inline void vidlHandlesLock_(VidlHandles* all) {
    while (__atomic_exchange_n(&all->lock, 1, __ATOMIC_ACQUIRE) != 0) continue;
}
static inline void vidlHandlesUnlock_(VidlHandles* all) {
    __atomic_store_n(&all->lock, 0, __ATOMIC_RELEASE);
}
static inline VidlHandle* vidlHandleFind_(VidlHandles* all, uint32_t number) {
    const uint32_t slot = number & (VIDL_SLOTS - 1);
    if (number == 0 || slot == 0 || slot > all->used) return NULL;
    return all->entries[slot].number == number ? &all->entries[slot] : NULL;
}
static inline uint32_t vidlHandleSlot_(VidlHandles* all) {
    uint32_t slot = all->freeFirst;
    if (slot != 0) { /* the longest unused: its generation comes round last */
        all->freeFirst = all->entries[slot].next;
        if (all->freeFirst == 0) all->freeLast = 0;
        return slot;
    }
    if (all->used + 1 >= all->room) {
        const uint32_t room = all->room == 0 ? 64 : all->room * 2;
        VidlHandle* const more = (VidlHandle*)realloc(all->entries, room * sizeof *more);
        if (more == NULL) return 0;
        memset(more + all->room, 0, (room - all->room) * sizeof *more);
        all->entries = more;
        all->room = room;
    }
    return ++all->used;
}
/** A new handle of that type; 0: the table is full, or the parent is gone. */
static inline uint32_t vidlHandleAdd(VidlHandles* all, uint32_t type, uint32_t parent) {
    uint32_t number = 0, slot = 0;
    if (all == NULL) return 0;
    vidlHandlesLock_(all);
    if (all->live < all->most && (parent == 0 || vidlHandleFind_(all, parent) != NULL))
        slot = vidlHandleSlot_(all);
    if (slot != 0) {
        VidlHandle* const entry = &all->entries[slot];
        entry->generation = (entry->generation + 1) & 0xFFFu;
        if (entry->generation == 0) entry->generation = 1;
        entry->type = type;
        entry->parent = parent & (VIDL_SLOTS - 1);
        entry->first = entry->previous = entry->next = 0;
        entry->object = NULL;
        if (parent != 0) {
            VidlHandle* const above = &all->entries[entry->parent];
            entry->next = above->first;
            if (entry->next != 0) all->entries[entry->next].previous = slot;
            above->first = slot;
        }
        number = entry->number = slot | entry->generation << 20;
        ++all->live;
    }
    vidlHandlesUnlock_(all);
    return number;
}
/** Whether this number names a handle of that type now; without a table none does. */
static inline int vidlHandleAlive(VidlHandles* all, uint32_t number, uint32_t type) {
    const VidlHandle* entry;
    int alive;
    if (all == NULL) return 0;
    vidlHandlesLock_(all);
    entry = vidlHandleFind_(all, number);
    alive = entry != NULL && entry->type == type;
    vidlHandlesUnlock_(all);
    return alive;
}
/** What the server keeps for a handle; NULL for one that is gone. */
static inline void* vidlHandleObject(VidlHandles* all, uint32_t number) {
    const VidlHandle* entry;
    void* object;
    vidlHandlesLock_(all);
    entry = vidlHandleFind_(all, number);
    object = entry != NULL ? entry->object : NULL;
    vidlHandlesUnlock_(all);
    return object;
}
static inline void vidlHandleSet(VidlHandles* all, uint32_t number, void* object) {
    VidlHandle* entry;
    vidlHandlesLock_(all);
    entry = vidlHandleFind_(all, number);
    if (entry != NULL) entry->object = object;
    vidlHandlesUnlock_(all);
}
/** The handle and all below it are gone. Numbers that name nothing are ignored. */
static inline void vidlHandleRemove(VidlHandles* all, uint32_t number) {
    uint32_t slot = number & (VIDL_SLOTS - 1);
    if (all == NULL) return;
    vidlHandlesLock_(all);
    if (vidlHandleFind_(all, number) != NULL) {
        const uint32_t top = slot;
        VidlHandle* entry = &all->entries[slot];
        if (entry->next != 0) all->entries[entry->next].previous = entry->previous;
        if (entry->previous != 0) {
            all->entries[entry->previous].next = entry->next;
        } else if (entry->parent != 0) {
            all->entries[entry->parent].first = entry->next;
        }
        /* Leaves first: each leaves its parent's list, so the work is bounded by what goes. */
        for (;;) {
            const uint32_t above = all->entries[slot].parent;
            entry = &all->entries[slot];
            if (entry->first != 0) {
                slot = entry->first;
                continue;
            }
            if (slot != top) all->entries[above].first = entry->next;
            entry->number = 0;
            entry->object = NULL;
            entry->next = 0;
            if (all->freeLast != 0) {
                all->entries[all->freeLast].next = slot;
            } else {
                all->freeFirst = slot;
            }
            all->freeLast = slot;
            --all->live;
            if (slot == top) break;
            slot = above;
        }
    }
    vidlHandlesUnlock_(all);
}

/* ---- the server ------------------------------------------------------------------------------*/

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

/* ---- versions --------------------------------------------------------------------------------*/

#define VIDL_MAGIC 0x4C444956u
#define VIDL_WIRE 1u

/** One interface's line of a hello. */
typedef struct VidlVersion {
    uint16_t group;
    uint16_t major;
    uint16_t minor;
    uint64_t hash;
} VidlVersion;

#define VIDL_HELLO_BYTES(count) (8u + 16u * (uint32_t)(count))

/** Write the hello that goes in front of a session's or channel's info. */
static inline void vidlHello(void* to, const VidlVersion* versions, uint16_t count) {
    unsigned char* p = (unsigned char*)to;
    uint16_t i;
    vidlPut32(p, VIDL_MAGIC);
    vidlPut16(p + 4, VIDL_WIRE);
    vidlPut16(p + 6, count);
    for (i = 0; i < count; ++i) {
        p = (unsigned char*)to + VIDL_HELLO_BYTES(i);
        vidlPut16(p, versions[i].group);
        vidlPut16(p + 2, versions[i].major);
        vidlPut16(p + 4, versions[i].minor);
        vidlPut16(p + 6, 0);
        vidlPut64(p + 8, versions[i].hash);
    }
}
/** Whether a client that said `info` can be served: 0, or EPROTONOSUPPORT. No hello is fine. */
static inline int vidlHelloCheck(const void* info, uint32_t size, const VidlVersion* versions,
                                 uint16_t count) {
    const unsigned char* const p = (const unsigned char*)info;
    uint32_t magic, i, lines;
    uint16_t wire, word;
    if (p == NULL || size < 8) return 0;
    memcpy(&magic, p, sizeof magic);
    if (magic != VIDL_MAGIC) return 0;
    memcpy(&wire, p + 4, sizeof wire);
    memcpy(&word, p + 6, sizeof word);
    lines = word;
    if (wire != VIDL_WIRE || size < VIDL_HELLO_BYTES(lines)) return EPROTONOSUPPORT;
    for (i = 0; i < lines; ++i) {
        VidlVersion theirs;
        uint16_t k;
        const unsigned char* const at = p + VIDL_HELLO_BYTES(i);
        memcpy(&theirs.group, at, 2);
        memcpy(&theirs.major, at + 2, 2);
        memcpy(&theirs.minor, at + 4, 2);
        memcpy(&theirs.hash, at + 8, 8);
        for (k = 0; k < count && versions[k].group != theirs.group; ++k) continue;
        if (k == count) continue; /* another interface's business */
        if (versions[k].major != theirs.major) return EPROTONOSUPPORT;
        if (versions[k].minor == theirs.minor && versions[k].hash != theirs.hash)
            return EPROTONOSUPPORT;
    }
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
