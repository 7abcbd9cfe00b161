/* Speaks for generated C in tests/idl: the server's functions are the client's own, so whatever a
 * server accepts is written again by a client, and whatever a client reads is answered again by a
 * server. Callbacks the other way round. One command per line on standard input, one answer per
 * line:
 *
 *   d PROC IS_CALL OUT_BYTES HEX              a request for the server
 *   c PROC IS_CALL OUT_BYTES HEX              a callback for the client
 *   r PROC HEX STATUS HEX                     a call, and the answer that its client reads
 *
 *   ok STATUS REQUEST_AGAIN ANSWER_AGAIN | reject D… FIELD OFFSET | broken D… FIELD OFFSET
 *
 * mirror_interfaces.h is written by the test: MIRROR(prefix, group) for each interface.
 */
#include <stdio.h>

#include "loop.h"

static struct VrpqChanObj chan;
static VidlHandles handles;

/* How many elements the answer that was read had in the part with its place at `offset`. */
static inline uint32_t mirror_count(uint32_t offset, uint32_t width) {
    uint32_t len = 0;
    if (chan.answer_size >= offset + 8) memcpy(&len, chan.answer + offset + 4, sizeof len);
    return len / width;
}

/* One buffer: {slot 1, generation 1}. */
static unsigned char memory[4096];
static void* resolve(VidlBuffers* all, const VidlBuffer* ref, uint32_t rights) {
    (void)all;
    if (ref->slot != 1 || ref->generation != 1 || rights == 0) return NULL;
    if (ref->offset > sizeof memory || ref->length > sizeof memory - ref->offset) return NULL;
    return memory + ref->offset;
}
static VidlBuffers buffers = {NULL, resolve, NULL, NULL, NULL};

#include "mirror_interfaces.h"

static uint32_t unhex(const char* text, unsigned char** to) {
    uint32_t size = 0, i;
    if (strcmp(text, "-") != 0) size = (uint32_t)strlen(text) / 2;
    *to = malloc(size == 0 ? 1 : size);
    for (i = 0; i < size; ++i) {
        unsigned byte = 0;
        (void)sscanf(text + 2 * i, "%2x", &byte);
        (*to)[i] = (unsigned char)byte;
    }
    return size;
}

static void hex(const unsigned char* at, uint32_t size) {
    uint32_t i;
    putchar(' ');
    if (size == 0) putchar('-');
    for (i = 0; i < size; ++i) printf("%02x", at[i]);
}

/* What a server calls at its client ends here. */
static int32_t keep(void* cookie, VrpqReq* req) {
    (void)cookie;
    free(chan.block);
    chan.size = req->inSize;
    chan.block = malloc(chan.size + 1);
    if (chan.size != 0) memcpy(chan.block, req->in, chan.size);
    return EIO;
}

static void mirror(VrpqReq* req, int reads, int called) {
    static unsigned char none[1];
    VidlReject why;
    const VidlClient* client = NULL;
    int32_t status = EOPNOTSUPP;
    memset(&why, 0, sizeof why);
    chan.size = 0;
    switch (VRPQ_PROC_ID_GRP_GET(req->procId)) {
#define MIRROR(prefix, group)                                       \
    case group: {                                                   \
        static prefix##_server server;                              \
        static prefix##_client mine;                                \
        const uint32_t* type;                                       \
        vidlHandlesFree(&handles);                                  \
        vidlHandlesInit(&handles, 1000);                            \
        prefix##_server_init(&server, &prefix##_mirror);            \
        server.base.handles = &handles;                             \
        server.base.buffers = &buffers;                             \
        for (type = prefix##_mirror_handles; *type; ++type)         \
            (void)vidlHandleAdd(&handles, *type, 0);                \
        prefix##_client_init(&mine, &chan);                         \
        prefix##_make_current(&mine);                               \
        mine.base.buffers = &buffers;                               \
        chan.handler = keep;                                        \
        if (called) {                                               \
            status = prefix##_mirror_called(&mine, &server, req);   \
            if (mine.base.error == EBADMSG) status = VIDL_REJECTED; \
            why = mine.base.broken;                                 \
        } else {                                                    \
            status = prefix##_dispatch(&server, req, NULL);         \
            why = server.base.why;                                  \
        }                                                           \
        if (mine.base.badArguments != 0) printf("unsent ");         \
        client = &mine.base;                                        \
        prefix##_server_free(&server);                              \
        prefix##_client_free(&mine);                                \
        break;                                                      \
    }
        MIRRORS
        default:
            break;
    }
    if (status == VIDL_REJECTED) {
        printf("reject D%u %s %u\n", why.rule, why.field, why.offset);
    } else if (reads && client != NULL && client->error == EBADMSG) {
        printf("broken D%u %s %u\n", client->broken.rule, client->broken.field,
               client->broken.offset);
    } else {
        printf("ok %d", status);
        hex(chan.block != NULL ? chan.block : none, chan.size);
        hex(req->out, reads ? chan.answer_size : req->outSize);
        putchar('\n');
    }
}

int main(void) {
    static char line[1 << 20], first[1 << 19], second[1 << 19];
    loop_init(&chan);
    while (fgets(line, sizeof line, stdin) != NULL) {
        VrpqReq req;
        unsigned char *in = NULL, *answer = NULL;
        unsigned proc = 0, call = 1, room = 4096;
        int status = 0, reads = line[0] == 'r';
        memset(&req, 0, sizeof req);
        if (reads) {
            if (sscanf(line, "r %x %s %d %s", &proc, first, &status, second) != 4) return 1;
            chan.answer_size = unhex(second, &answer);
            room = 4096;
        } else if (sscanf(line + 1, " %x %u %u %s", &proc, &call, &room, first) != 4) {
            return 1;
        }
        chan.answer = answer;
        chan.reason = reads ? status : EIO;
        req.procId = proc;
        req.inSize = unhex(first, &in);
        req.in = in;
        req.isCall = (uint8_t)call;
        req.outSize = room;
        req.out = malloc(room == 0 ? 1 : room);
        memset(req.out, 0xEE, room);
        mirror(&req, reads, line[0] == 'c');
        free(in);
        free(answer);
        free(req.out);
        chan.answer_size = 0;
    }
    loop_free(&chan);
    vidlHandlesFree(&handles);
    return 0;
}
