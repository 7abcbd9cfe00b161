/** @file A client's callbacks behind the numbers that its server sends back. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_REGISTRY_H
#define HYPLINK_COMPAT_VIDL_REGISTRY_H

#include <stdlib.h>

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
