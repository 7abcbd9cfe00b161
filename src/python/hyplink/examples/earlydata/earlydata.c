/*
 * Early data, the sample driver of a vlink: a page of shared memory and an interrupt each way.
 *
 *     earlydata [--rounds N] [--lives N] [--fd FD]
 *
 * Runs in either VM of the board "earlydata"; the descriptors say which side it is. Whenever the link comes up the
 * client sends N numbered requests and the server answers each. Either side may be killed and started again.
 * Reports one line per event on FD (default 1), and ends after N lives of the link (default: never).
 *
 * earlydata.py beside this file is the same in Python; the two talk to each other.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyplink/compat/nkddi.h"

enum { MAGIC = 0x594c5245, VERSION = 1, DATA = 224, MAX_LINKS = 8 };
enum { XIRQ_OF_SERVER = 0, XIRQ_OF_CLIENT = 1 }; /* ids of the links' cross interrupts */

/* One side's half of the shared memory: written by that side only. Little-endian, no padding. */
typedef struct {
    uint32_t magic;
    uint32_t version;
    uint32_t sequence; /* 0: nothing yet */
    uint32_t length;   /* of data */
    uint32_t checksum; /* of sequence, length and data */
    uint32_t reserved[3];
    uint8_t data[DATA];
} Half;

typedef struct {
    NkPhAddr plink;
    NkDevVlink *vlink;
    int server;
    NkOsId peer;
    Half *mine;
    const Half *theirs;
    NkXIrq own_xirq, peer_xirq;
    HyplinkVlink *handshake;
    uint32_t sequence; /* the last one sent */
} Link;

static Link links[MAX_LINKS];
static int link_count, out = 1;
static unsigned rounds = 10, lives = ~0u;

static void say(const char *format, ...) {
    char line[160];
    va_list values;
    va_start(values, format);
    const int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length > 0 && write(out, line, (size_t)length) < 0) exit(1);
}

static uint32_t mix(uint32_t sum, const void *bytes, size_t count) { /* FNV-1a */
    for (const uint8_t *byte = bytes; count-- > 0;) sum = (sum ^ *byte++) * 16777619u;
    return sum;
}

static uint32_t checksum(const Half *half) {
    uint32_t sum = mix(2166136261u, &half->sequence, sizeof half->sequence);
    sum = mix(sum, &half->length, sizeof half->length);
    return mix(sum, half->data, half->length);
}

static int usable(const Link *link) {
    return link->vlink->s_state == NK_DEV_VLINK_ON && link->vlink->c_state == NK_DEV_VLINK_ON;
}

static void send_text(Link *link, uint32_t sequence, const char *what) {
    Half *half = link->mine;
    half->length = (uint32_t)snprintf((char *)half->data, DATA, "%s %u of VM %d", what, sequence, nkops.nk_id_get());
    half->sequence = link->sequence = sequence;
    half->checksum = checksum(half);
    nkops.nk_xirq_trigger(link->peer_xirq, link->peer);
}

/* The peer has written. What it wrote is copied once, checked, then used. */
static void on_data(void *cookie, NkXIrq xirq) {
    Link *link = cookie;
    Half half;
    (void)xirq;
    hyplink_vlink_step(link->handshake); /* it may be heard before the SYSCONF that told of its coming up */
    if (!usable(link)) return;
    memcpy(&half, link->theirs, sizeof half);
    if (half.magic != MAGIC || half.version != VERSION || half.length > DATA || half.checksum != checksum(&half))
        return; /* not whole yet, or from before a restart: its interrupt comes again */
    if (link->server) {
        if (half.sequence == link->sequence + 1) send_text(link, half.sequence, "answer");
    } else if (half.sequence == link->sequence) {
        if (half.sequence < rounds)
            send_text(link, half.sequence + 1, "request");
        else
            say("exchanged %u, last \"%.*s\"\n", rounds, (int)half.length, (const char *)half.data);
    }
}

static int reset(void *cookie) {
    Link *link = cookie;
    memset(link->mine, 0, sizeof *link->mine);
    link->mine->magic = MAGIC;
    link->mine->version = VERSION;
    link->sequence = 0;
    return 0;
}

static void up(void *cookie) {
    Link *link = cookie;
    say("up\n");
    if (!link->server) send_text(link, 1, "request");
}

static void down(void *cookie) {
    (void)cookie;
    say("down\n");
    lives -= lives != ~0u;
}

static void on_sysconf(void *cookie, NkXIrq xirq) {
    (void)cookie, (void)xirq;
    for (int i = 0; i < link_count; ++i) hyplink_vlink_step(links[i].handshake);
}

static int open_link(Link *link, NkPhAddr plink) {
    static const HyplinkVlinkOps handshake = {reset, NULL, up, down};
    const NkPhSize size = 2 * sizeof(Half);
    link->plink = plink;
    link->vlink = nkops.nk_ptov(plink);
    link->server = link->vlink->s_id == nkops.nk_id_get();
    link->peer = link->server ? link->vlink->c_id : link->vlink->s_id;
    const NkPhAddr pmem = nkops.nk_pmem_alloc(plink, 0, size);
    Half *halves = pmem ? nkops.nk_mem_map(pmem, size) : NULL;
    const NkXIrq to_server = nkops.nk_pxirq_alloc(plink, XIRQ_OF_SERVER, link->vlink->s_id, 1);
    const NkXIrq to_client = nkops.nk_pxirq_alloc(plink, XIRQ_OF_CLIENT, link->vlink->c_id, 1);
    link->own_xirq = link->server ? to_server : to_client;
    link->peer_xirq = link->server ? to_client : to_server;
    if (!halves || !to_server || !to_client || !nkops.nk_xirq_attach(link->own_xirq, on_data, link)) return 0;
    link->mine = &halves[link->server ? 0 : 1];
    link->theirs = &halves[link->server ? 1 : 0];
    link->handshake = hyplink_vlink_open(plink, link->server, &handshake, link);
    return link->handshake != NULL;
}

int main(int count, char **words) {
    for (int i = 1; i + 1 < count; i += 2) {
        const unsigned value = (unsigned)strtoul(words[i + 1], NULL, 0);
        if (strcmp(words[i], "--rounds") == 0) rounds = value;
        if (strcmp(words[i], "--lives") == 0) lives = value;
        if (strcmp(words[i], "--fd") == 0) out = (int)value;
    }
    if (hyplink_nkddi_init() != 0) {
        fprintf(stderr, "earlydata: %s\n", hyplink_nkddi_error());
        return 1;
    }
    for (NkPhAddr plink = 0; link_count < MAX_LINKS && (plink = nkops.nk_vlink_lookup("vearlydata", plink)) != 0;) {
        if (!open_link(&links[link_count], plink)) {
            say("vlink: %s\n", hyplink_nkddi_error());
            return 1;
        }
        const Link *link = &links[link_count++];
        say("VM %d is the %s of VM %d\n", nkops.nk_id_get(), link->server ? "server" : "client", link->peer);
    }
    nkops.nk_xirq_attach(NK_XIRQ_SYSCONF, on_sysconf, NULL);
    on_sysconf(NULL, NK_XIRQ_SYSCONF);
    while (lives != 0 && hyplink_nkddi_dispatch(-1) >= 0) {
    }
    hyplink_nkddi_exit();
    return 0;
}
