/* What both C ends of these tests have in common: the message, and a main thread that hears of links. */
#ifndef NODE_H
#define NODE_H

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "hyplink/compat/vipc.h"
#define SAID_ERROR_TEXT hyplink_vmq_error
#include "../vrpq/said.h"

typedef struct {
    nku64_f cookie;
    nku32_f op; /* a letter */
    nku32_f value;
    nku32_f offset; /* of a buffer, with so many bytes */
    nku32_f bytes;
} request_t;

static const vmq_xx_config_t requests = {8, sizeof(request_t), 4, 256};
static const vmq_xx_config_t answers = {4, sizeof(request_t), 0, 0};

static int orders[2];
static vmq_link_t* the_link __attribute__((unused)); /* that is on */

static void order(char what) { EXPECT(write(orders[1], &what, 1) == 1); }
__attribute__((unused)) static void look(vmq_links_t* links) {
    (void)links;
    order('s');
}
__attribute__((unused)) static void said_on(vmq_link_t* link) {
    EXPECT(vmq_rx_data_area(link) != NULL && vmq_tx_data_area(link) != NULL);
    the_link = link;
    say("on %d", vmq_peer_osid(link));
}
__attribute__((unused)) static void said_off(vmq_link_t* link) {
    if (the_link == NULL) return; /* it has not been on yet */
    the_link = NULL;
    say("off %d", vmq_peer_osid(link));
}
__attribute__((unused)) static void said_completed(vmq_link_t* link) { say("completed %d", vmq_peer_osid(link)); }

/* The next order that is not to look at the links. */
__attribute__((unused)) static char await(vmq_links_t* links) {
    char what = 0;
    while (read(orders[0], &what, 1) == 1 && what == 's') vmq_links_sysconf(links);
    return what;
}

#endif
