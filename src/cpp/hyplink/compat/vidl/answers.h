/** @file Answers that a client remembers. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_ANSWERS_H
#define HYPLINK_COMPAT_VIDL_ANSWERS_H

#include <stdlib.h>

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
