/**
 * vMQ under its C names, for a program that a VM of a bench runs. C99 and C++, 32 and 64 bits.
 *
 *     static const vmq_callbacks_t callbacks = {.link_on = begin, .link_off = end,
 *                                               .sysconf_notify = look, .receive_notify = take};
 *     vmq_links_t* links;
 *     if (vmq_links_init(&links, "disk", &callbacks, &tx, &rx) != 0) return 1;
 *     if (vmq_links_start(links) != 0) return 1;
 *     …                                       whenever `look` was called: vmq_links_sysconf(links)
 *
 *     void* msg;                                             in `begin`, or any time later
 *     unsigned at;
 *     if (vmq_msg_allocate(link, sizeof block, &msg, &at) != 0) return;
 *     memcpy(vmq_tx_data_area(link) + at, block, sizeof block);
 *     vmq_msg_send(link, msg);
 *
 *     while (vmq_msg_receive(link, &msg) == 0) {             in `take`
 *         …
 *         vmq_msg_return(link, msg);                         a reply in the same place
 *     }
 *
 * Functions with a `signed` result return 0 or -errno; hyplink_vmq_error() says more about the last
 * failure in this thread, also of functions without a result: those ignore what is none of theirs.
 *
 * Where there is a kernel's interrupt context in the product there is a thread of the library here,
 * one a link: it calls sysconf_notify, receive_notify and return_notify, with all signals blocked
 * and perhaps when there is nothing new. In it nothing waits: an allocation that would is -EAGAIN.
 * link_on, link_off and link_off_completed are called by vmq_links_sysconf, in the thread that
 * calls that.
 *
 * Messages and buffers lie in memory that the other VM can write: copy, check, then use. They are
 * good until they are given back, also when the link is lost meanwhile. What both ends send must
 * fit: else the link stays off.
 *
 * Thread rule: any thread, vmq_links_sysconf, _finish and _start one at a time. The program reaches
 * its VM through the environment (HYPLINK_APP_FD). Link with libhyplink. Source: spec 001 4.3;
 * vlx-facts 5.2.
 */
#ifndef HYPLINK_COMPAT_VMQ_H
#define HYPLINK_COMPAT_VMQ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "hyplink/compat/nkddi.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HYPLINK_VMQ_API __attribute__((visibility("default")))
#else
#define HYPLINK_VMQ_API
#endif

typedef struct vmq_link_t vmq_link_t;   /**< one vlink: both directions */
typedef struct vmq_links_t vmq_links_t; /**< all vlinks of a name */

/** How a link begins in memory; read it through the functions below. */
typedef struct {
    void* priv; /**< the program's own, NULL at first */
    NkOsId local_osid;
    NkOsId peer_osid;
    char* rx_s_info;    /**< the own end's info; NULL: none */
    char* tx_s_info;    /**< the other end's */
    char* rx_data_area; /**< NULL until the link is on */
    char* tx_data_area;
    unsigned data_max; /**< of what is sent, rounded up to 64 bytes */
    unsigned msg_max;
    NkPhAddr ptx_data_area; /**< 0: the memory has no address in the VM's own map */
} vmq_link_public_t;

typedef struct {
    void* priv; /**< what vmq_links_init_ex was given */
} vmq_links_public_t;

/** One direction. */
typedef struct {
    unsigned msg_count;  /**< a power of two */
    unsigned msg_max;    /**< bytes of a message, rounded up to 64 */
    unsigned data_count; /**< buffers */
    unsigned data_max;   /**< bytes of each, rounded up to 64 */
} vmq_xx_config_t;

/** As the answer of get_tx_config and get_rx_config: leave this vlink out. */
#define VMQ_XX_CONFIG_IGNORE_VLINK ((vmq_xx_config_t*)1)

typedef struct {
    /** Both ends are there; once or more after vmq_links_start, one of these two always. */
    void (*link_on)(vmq_link_t* link);
    void (*link_off)(vmq_link_t* link);
    /** The link was lost, and everything that was held is back: it may come on again. Before
     * link_off if nothing was held. */
    void (*link_off_completed)(vmq_link_t* link);
    /** Mandatory: have vmq_links_sysconf called soon. */
    void (*sysconf_notify)(vmq_links_t* links);
    /** There may be something to receive. Not before link_on has returned, nor is the next one. */
    void (*receive_notify)(vmq_link_t* link);
    /** Messages may have come back, with replies or freed: vmq_return_msg_receive. Without it they
     * are free by themselves. */
    void (*return_notify)(vmq_link_t* link);
    /** Asked by vmq_links_init for each vlink when it was given none. NULL: it fails. */
    const vmq_xx_config_t* (*get_tx_config)(vmq_link_t* link, const char* tx_s_info);
    const vmq_xx_config_t* (*get_rx_config)(vmq_link_t* link, const char* rx_s_info);
    /** Never called: no VM sleeps here. */
    void (*resume_notify)(vmq_link_t* link);
} vmq_callbacks_t;

/* ---- links -----------------------------------------------------------------------------------*/

/** Take the ends of class `vmq` whose own info begins with `vlink_name`; with "vmq" all of them. In
 * a vlink that leads to the own VM the front end has the client's end. The callbacks must stay.
 * -EINVAL (no sysconf_notify, an impossible configuration, or none), -EBUSY (another application
 * has all there are), -ENOTCONN (not started by a VM). No such vlink is no error. */
HYPLINK_VMQ_API signed vmq_links_init_ex(vmq_links_t** links, const char* vlink_name,
                                         const vmq_callbacks_t* callbacks,
                                         const vmq_xx_config_t* tx_config,
                                         const vmq_xx_config_t* rx_config, void* priv,
                                         bool is_frontend);
/** From now on links come on; sysconf_notify is called at least once. -EALREADY, -EFAULT (no
 * thread). */
HYPLINK_VMQ_API signed vmq_links_start(vmq_links_t* links);
/** Let everything go: nothing is called any more when it returns, and links and messages are gone.
 * Not from a callback. NULL is fine. */
HYPLINK_VMQ_API void vmq_links_finish(vmq_links_t* links);
/** Call with each link, newest vlink first, until `func` returns true; did it? */
HYPLINK_VMQ_API bool vmq_links_iterate(vmq_links_t* links, bool (*func)(vmq_link_t*, void*),
                                       void* cookie);
/** Look at all links and say what has become of them. */
HYPLINK_VMQ_API void vmq_links_sysconf(vmq_links_t* links);
/** Nothing is allocated or sent any more; who waits gets -ECONNABORTED. Before vmq_links_finish. */
HYPLINK_VMQ_API void vmq_links_abort(vmq_links_t* links);

/* ---- messages --------------------------------------------------------------------------------*/

/** A message to be sent and, with `data_offset`, a buffer for `data_len` bytes (0: none). What was
 * sent with _async is flushed before it waits. -E2BIG (larger than data_max), -EAGAIN (the link is
 * not on; or none is free, and nonblocking), -ECONNABORTED (vmq_links_abort, or an index of the
 * peer was impossible), -EINTR (a signal handler ran). */
HYPLINK_VMQ_API signed vmq_msg_allocate_ex(vmq_link_t* link, unsigned data_len, void** msg,
                                           unsigned* data_offset, bool nonblocking);
/** Hand over and ring. On a link that is lost the message is just given back. */
HYPLINK_VMQ_API void vmq_msg_send(vmq_link_t* link, void* msg);
/** Hand over; it is told with the flush, or earlier. */
HYPLINK_VMQ_API void vmq_msg_send_async(vmq_link_t* link, void* msg);
HYPLINK_VMQ_API void vmq_msg_send_flush(vmq_link_t* link);
/** -EAGAIN (none), -ESTALE (the peer wrote impossible indices: the link is lost). */
HYPLINK_VMQ_API signed vmq_msg_receive(vmq_link_t* link, void** msg);
/** Give a received message back, in any order; the sender is rung only if it waits. */
HYPLINK_VMQ_API void vmq_msg_free(vmq_link_t* link, void* msg);
/** The same with a reply in it: the sender is rung. */
HYPLINK_VMQ_API void vmq_msg_return(vmq_link_t* link, void* msg);
/** The number of an own message: less than msg_count. */
HYPLINK_VMQ_API unsigned vmq_msg_slot(vmq_link_t* link, const void* msg);
/** Does a buffer of the other end begin there, in vmq_rx_data_area? */
HYPLINK_VMQ_API bool vmq_data_offset_ok(vmq_link_t* link, unsigned data_offset);
/** Buffers are freed by the sender, when the other end is done. */
HYPLINK_VMQ_API void vmq_data_free(vmq_link_t* link, unsigned data_offset);
/** An own message that came back. Errors as for vmq_msg_receive. */
HYPLINK_VMQ_API signed vmq_return_msg_receive(vmq_link_t* link, void** msg);
HYPLINK_VMQ_API void vmq_return_msg_free(vmq_link_t* link, void* msg);

/** Why the last failure in this thread; never NULL. */
HYPLINK_VMQ_API const char* hyplink_vmq_error(void);

/* ---- short forms -----------------------------------------------------------------------------*/

static inline signed vmq_msg_allocate(vmq_link_t* link, unsigned data_len, void** msg,
                                      unsigned* data_offset) {
    return vmq_msg_allocate_ex(link, data_len, msg, data_offset, false);
}
static inline signed vmq_links_init(vmq_links_t** links, const char* vlink_name,
                                    const vmq_callbacks_t* callbacks,
                                    const vmq_xx_config_t* tx_config,
                                    const vmq_xx_config_t* rx_config) {
    return vmq_links_init_ex(links, vlink_name, callbacks, tx_config, rx_config, NULL, false);
}

#define HYPLINK_VMQ_PUBLIC(link) ((const vmq_link_public_t*)(const void*)(link))
static inline NkOsId vmq_peer_osid(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->peer_osid;
}
static inline const char* vmq_link_rx_s_info(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->rx_s_info;
}
#define vmq_link_s_info vmq_link_rx_s_info
static inline const char* vmq_link_tx_s_info(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->tx_s_info;
}
static inline char* vmq_rx_data_area(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->rx_data_area;
}
static inline char* vmq_tx_data_area(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->tx_data_area;
}
static inline unsigned vmq_data_max(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->data_max;
}
static inline unsigned vmq_msg_max(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->msg_max;
}
static inline NkPhAddr vmq_ptx_data_area(const vmq_link_t* link) {
    return HYPLINK_VMQ_PUBLIC(link)->ptx_data_area;
}

#ifdef __cplusplus
}
#endif

#endif
