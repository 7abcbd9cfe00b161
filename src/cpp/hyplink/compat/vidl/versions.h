/** @file What both sides say they speak. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_VERSIONS_H
#define HYPLINK_COMPAT_VIDL_VERSIONS_H

#include <errno.h>

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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
