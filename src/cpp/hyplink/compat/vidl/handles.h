/** @file The handles of a session at its server. Part of vidl.h. */
#ifndef HYPLINK_COMPAT_VIDL_HANDLES_H
#define HYPLINK_COMPAT_VIDL_HANDLES_H

#include <stdlib.h>

#include "hyplink/compat/vidl/words.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif
