/* A channel inside one process, for marshalling alone: blocks of exactly their size, so that a
 * sanitizer sees every byte too far. */
#ifndef LOOP_H
#define LOOP_H

#include "hyplink/compat/vidl.h"

struct VrpqChanObj {
    /* Where requests go; NULL: the last one is kept, and calls are answered from below. */
    int32_t (*serve)(void* server, VrpqReq* req, const void* base);
    void* server;
    /* The last request. */
    uint32_t proc;
    unsigned char* block;
    uint32_t size;
    /* The answer to calls that nobody serves. */
    int32_t reason;
    const unsigned char* answer;
    uint32_t answer_size;
    /* What happens next: an errno for the transport, 0 none. */
    int error;
    uint32_t posts, notifies, calls;
    /* Callbacks. */
    int32_t (*handler)(void*, VrpqReq*);
    void* cookie;
    VrpqReq callback;
    VrpqDrop drop;
    uint32_t keep;
    int timeout;
    int full;
    uint32_t answered;
    /* Blocks of a request in whose handling another is made. */
    uint32_t depth, kept;
    void* older[64];
    unsigned char* out;
    uint32_t out_size;
    int32_t status;
};

void loop_init(VrpqChan chan);
void loop_free(VrpqChan chan);

#endif
