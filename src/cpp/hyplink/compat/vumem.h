/**
 * vUmem under its C names, for a program that a VM of a bench runs. C99 and C++, 32 and 64 bits.
 *
 *     VumemSession session;                                         client
 *     VumemBuffer buffer;
 *     if (vumemSessionCreate("/dev/vumem-clt-vogl0", &session) != 0) return 1;
 *     if (vumemBufferAlloc(session, &wish, sizeof wish, &buffer) != 0) return 1;
 *     if (vumemBufferMap(buffer, &vaddr) == 0) memset(vaddr, 0, wish.bytes);
 *
 * Every function returns 0 or a positive errno; vumemErrorText() says more about the last failure
 * in this thread. EPIPE: the other side is gone; destroy what belongs to it and create anew
 * (creation waits for the next server, or for the client VM). EBADF: destroyed or never created.
 * ENXIO: no such device. EINTR: a signal handler ran while it waited; what an allocation that was
 * under way still brings is freed again.
 *
 * Thread rule: any thread; a buffer one thread at a time, a server one operation at a time (EBUSY).
 * The program reaches its VM through the environment (HYPLINK_APP_FD). Link with libhyplink.
 * Source: spec 002 3.2.3.2; vlx-facts 3.
 */
#ifndef HYPLINK_COMPAT_VUMEM_H
#define HYPLINK_COMPAT_VUMEM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPLINK_VUMEM_API __attribute__((visibility("default")))
#else
#define HYPLINK_VUMEM_API
#endif

/** What the last failure in this thread was about; never NULL. */
HYPLINK_VUMEM_API const char* vumemErrorText(void);

/** Most bytes of an opaque argument; more is EINVAL. */
#define VUMEM_OPAQUE_MAX 128u
/** As the address of an allocated buffer: it has no memory and cannot be mapped. */
#define VUMEM_BUFFER_NO_VADDR ((void*)~(uintptr_t)0)

typedef uint32_t VumemBufferId;

/* ---- server ----------------------------------------------------------------------------------*/

typedef enum {
    VUMEM_CMD_BUFFER_ALLOC = 1,
    VUMEM_CMD_BUFFER_FREE = 2,
    VUMEM_CMD_BUFFER_REGISTER = 3,
    VUMEM_CMD_BUFFER_UNREGISTER = 4,
    VUMEM_CMD_BUFFER_CTL = 5
} VumemCmd;

typedef struct {
    uint32_t vmId;
    uint32_t appId;
} VumemClientId;

typedef struct {
    VumemClientId clientId;
    VumemCmd cmd;
} VumemReqHeader;

typedef struct {
    VumemBufferId bufferId; /**< chosen by the driver; the response must carry it */
    uint8_t alloc[VUMEM_OPAQUE_MAX];
    uint32_t size; /**< bytes of `alloc` that the client gave */
} VumemReqBufferAlloc;

typedef struct {
    VumemBufferId bufferId;
} VumemReqBuffer;

typedef struct {
    VumemBufferId bufferId;
    uint8_t ctl[VUMEM_OPAQUE_MAX];
    uint32_t size;
} VumemReqBufferCtl;

/** One request; `header.cmd` says which member counts. */
typedef struct {
    VumemReqHeader header;
    VumemReqBufferAlloc bufferAlloc;
    VumemReqBuffer bufferFree;
    VumemReqBuffer bufferRegister;
    VumemReqBuffer bufferUnregister;
    VumemReqBufferCtl bufferCtl;
} VumemReq;

/** Memory of the server: whole pages of one mapping, the size is rounded up. */
typedef struct {
    void* vaddr;
    size_t size;
} VumemBufferMapping;

typedef struct {
    VumemBufferId bufferId;
    uint8_t alloc[VUMEM_OPAQUE_MAX]; /**< back to the client, as many bytes as it gave */
    VumemBufferMapping map;
    uint32_t attributes; /**< VUMEM_ATTR_…; 0: ordinary memory */
} VumemRespBufferAlloc;

typedef struct {
    uint8_t ctl[VUMEM_OPAQUE_MAX];
} VumemRespBufferCtl;

typedef struct {
    int32_t retVal; /**< 0 or a positive errno for the client; anything else is EINVAL there */
    VumemRespBufferAlloc bufferAlloc;
    VumemRespBufferCtl bufferCtl;
} VumemResp;

#define VUMEM_ATTR_MAPPABLE (1u << 0)
#define VUMEM_ATTR_CACHE_OUTER (1u << 13)
#define VUMEM_ATTR_NEED_DEVICE_SYNC (1u << 14)
#define VUMEM_ATTR_NEED_MEMORY_SYNC (1u << 15)
#define VUMEM_CACHE_NONE (0u << 16)
#define VUMEM_CACHE_WRITE_COMBINE (1u << 16)
#define VUMEM_CACHE_WRITE_THROUGH (2u << 16)
#define VUMEM_CACHE_WRITE_BACK (3u << 16)
#define VUMEM_CACHE_WRITE_ALLOCATE (4u << 16)

typedef struct VumemServerObj* VumemServer;

/** Waits for the link. EBUSY: the device has a server. */
HYPLINK_VUMEM_API int vumemServerCreate(const char* devName, VumemServer* server);
/** Clients are told first; then all memory is this program's alone again, contents and all. */
HYPLINK_VUMEM_API int vumemServerDestroy(VumemServer server);
/** EINVAL: the last request was not responded to. EPIPE: for ever, once the client VM died. */
HYPLINK_VUMEM_API int vumemReceive(VumemServer server, VumemReq* req);
/**
 * EINVAL: no request, another buffer id, memory that is not whole pages. EMSGSIZE: its chunks do
 * not fit, raise vumem-pdev. A response that is refused for what is in it still ends the request:
 * the client gets the same error. Memory must stay mapped until the response to its FREE.
 */
HYPLINK_VUMEM_API int vumemRespond(VumemServer server, const VumemResp* resp);

/** Zeroed whole pages that can be lent without a copy. Any other memory will do as well. */
HYPLINK_VUMEM_API int vumemMemoryAlloc(size_t size, void** vaddr);
HYPLINK_VUMEM_API int vumemMemoryFree(void* vaddr);

/* ---- client ----------------------------------------------------------------------------------*/

typedef struct VumemSessionObj* VumemSession;
typedef struct VumemBufferObj* VumemBuffer;

/** Waits for a server. */
HYPLINK_VUMEM_API int vumemSessionCreate(const char* devName, VumemSession* session);
/** While it exists only this session allocates, others get EPERM. EBUSY: there is one. */
HYPLINK_VUMEM_API int vumemSessionMasterCreate(const char* devName, VumemSession* session);
/** Its buffers are freed. */
HYPLINK_VUMEM_API int vumemSessionDestroy(VumemSession session);

/** `alloc`, of `size` bytes up to 128, goes to the server, which may change it. */
HYPLINK_VUMEM_API int vumemBufferAlloc(VumemSession session, void* alloc, uint32_t size,
                                       VumemBuffer* buffer);
/** Unmaps and lets go; the handle is gone whatever the answer. */
HYPLINK_VUMEM_API int vumemBufferFree(VumemBuffer buffer);
/** Access for a session that did not allocate it. EBUSY: it is in a session already. */
HYPLINK_VUMEM_API int vumemBufferRegister(VumemSession session, VumemBuffer buffer);
/** EINVAL: not registered. */
HYPLINK_VUMEM_API int vumemBufferUnregister(VumemBuffer buffer);
HYPLINK_VUMEM_API int vumemBufferIdGet(VumemBuffer buffer, VumemBufferId* id);
/** Once in a process (EBUSY). After the server's death it reads as zeroes of this process's own. */
HYPLINK_VUMEM_API int vumemBufferMap(VumemBuffer buffer, void** vaddr);
/** EINVAL: not mapped. */
HYPLINK_VUMEM_API int vumemBufferUnmap(VumemBuffer buffer);

/** What names a buffer to another program of the same VM: there it is imported, then registered. */
typedef struct {
    uint64_t word[2];
} VumemBufferToken;
HYPLINK_VUMEM_API int vumemBufferTokenGet(VumemBuffer buffer, VumemBufferToken* token);
HYPLINK_VUMEM_API int vumemBufferImport(const char* devName, const VumemBufferToken* token,
                                        VumemBuffer* buffer);

#define VUMEM_CACHE_TO_MEMORY 1u
#define VUMEM_CACHE_FROM_MEMORY 2u
#define VUMEM_CACHE_TO_DEVICE 4u
#define VUMEM_CACHE_FROM_DEVICE 8u
#define VUMEM_CACHE_LOCAL 16u
/** EINVAL: not mapped by this program, or no such operation. */
HYPLINK_VUMEM_API int vumemBufferCacheCtl(VumemBuffer buffer, uint32_t operations);

typedef enum {
    VUMEM_CTL_REMOTE = 1,       /**< `arg`: up to 128 bytes to the server and back */
    VUMEM_CTL_IS_ALLOCATOR = 2, /**< `arg`: uint32_t */
    VUMEM_CTL_IS_MAPPABLE = 3,  /**< `arg`: uint32_t */
    VUMEM_CTL_PRIVATE_GET = 4,  /**< `arg`: uint64_t, one for all of this VM who hold it */
    VUMEM_CTL_PRIVATE_SET = 5   /**< `arg`: uint64_t */
} VumemCtl;
/** EINVAL: no such command, or `size` does not fit it. */
HYPLINK_VUMEM_API int vumemBufferCtl(VumemBuffer buffer, VumemCtl cmd, void* arg, uint32_t size);

/* ---- counters --------------------------------------------------------------------------------*/

typedef enum { VUMEM_PROF_GET = 0, VUMEM_PROF_RESET = 1 } VumemProfCmd;
/** In this order: a server's device counts what it handled, a client's what it asked for. */
enum {
    VUMEM_STAT_SESSIONS,
    VUMEM_STAT_MASTERS,
    VUMEM_STAT_ALLOCS,
    VUMEM_STAT_FREES,
    VUMEM_STAT_REGISTERS,
    VUMEM_STAT_UNREGISTERS,
    VUMEM_STAT_MAPS,
    VUMEM_STAT_UNMAPS,
    VUMEM_STAT_CACHE_LOCAL,
    VUMEM_STAT_CACHE_REMOTE,
    VUMEM_STAT_CTLS,
    VUMEM_STAT_REVOKES,
    VUMEM_STAT_ERRORS,
    VUMEM_STAT_BUFFERS_NOW,
    VUMEM_STAT_BYTES_NOW,
    VUMEM_STATS
};
/** The first `count` counters of a device; RESET gives them and begins again at 0. */
HYPLINK_VUMEM_API int vumemProf(const char* devName, VumemProfCmd cmd, uint64_t* stats,
                                uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
