/** @file Broken rules, and the parts of a block. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_PARTS_H
#define HYPLINK_COMPAT_VIDL_PARTS_H

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
