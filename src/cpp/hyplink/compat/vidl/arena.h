/** @file Scratch memory of one request. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_ARENA_H
#define HYPLINK_COMPAT_VIDL_ARENA_H

#include <stdlib.h>

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
