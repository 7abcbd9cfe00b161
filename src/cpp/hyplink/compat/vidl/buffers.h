/** @file vUmem buffers as parameters: references, and who owns the memory. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_BUFFERS_H
#define HYPLINK_COMPAT_VIDL_BUFFERS_H

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
