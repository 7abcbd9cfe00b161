/** @file Loads and stores of what travels, and the arithmetic of sizes. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_WORDS_H
#define HYPLINK_COMPAT_VIDL_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blocks are little-endian"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
