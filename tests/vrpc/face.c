/* Every function of vrpc.h beside those that the client and the server use: ends, refusals, signals. */
#include <string.h>

#include "hyplink/compat/vrpc.h"
#define SAID_ERROR_TEXT hyplink_vrpc_error
#include "../vrpq/said.h"
#include "ticks.h"

static int readiness[2];
static void ready(void* cookie) { EXPECT(write(readiness[1], cookie, 1) == 1); }
static vrpc_size_t unused(void* cookie, vrpc_size_t size) { return cookie == NULL ? size : 0; }

static void ends(void) {
    struct vrpc_t* const newest = vrpc_server_lookup("clock", NULL);
    struct vrpc_t* const other = vrpc_server_lookup("clock", newest);
    EXPECT(newest != NULL && other != NULL && newest != other);
    EXPECT(strcmp(vrpc_info(newest), "4K") == 0 && vrpc_info(other) == NULL);
    EXPECT(vrpc_maxsize(newest) == 4096 - 12 && vrpc_maxsize(other) == 1024 - 12);
    EXPECT(vrpc_server_lookup("clock", other) == NULL);
    EXPECT(vrpc_server_lookup("clock", NULL) == NULL); /* both are taken */
    vrpc_release(newest);
    EXPECT(vrpc_server_lookup("clock2,", NULL) == newest);
    EXPECT(vrpc_server_lookup("watch", NULL) == NULL && hyplink_vrpc_error()[0] != '\0');
    EXPECT(vrpc_peer_id(newest) == 3);
    NkDevVlink* const link = vrpc_vlink(newest);
    EXPECT(link != NULL && vrpc_plink(newest) == nkops.nk_vtop(link));
    EXPECT(link->s_id == 2 && link->c_id == 3 && strcmp(link->name, "vrpc") == 0);
    EXPECT(strcmp((const char*)nkops.nk_ptov(link->s_info), "clock2,4K") == 0);
    hyplink_nkddi_exit();
    struct vrpc_t* const unnamed = vrpc_client_lookup(NULL, NULL);
    EXPECT(unnamed != NULL && strcmp(vrpc_info(unnamed), "2K") == 0);
    EXPECT(vrpc_client_lookup(NULL, unnamed) == NULL);
    EXPECT(vrpc_server_open(unnamed, unused, NULL, 0) == -EINVAL);
    EXPECT(vrpc_client_open(newest, NULL, NULL) == -EINVAL);
    EXPECT(vrpc_server_open(newest, NULL, NULL, 0) == -EINVAL);
    EXPECT(vrpc_server_open(newest, unused, NULL, 0) == 0);
    EXPECT(vrpc_server_open(newest, unused, NULL, 0) == -EBUSY);
    vrpc_close(newest); /* its thread waits for a client */
    vrpc_close(newest);
    EXPECT(vrpc_server_open(newest, unused, NULL, 0) == 0);
    vrpc_release(newest);
    vrpc_release(other);
    vrpc_release(unnamed);
}

static void calls(void) {
    char word = 0;
    vrpc_size_t size = 4;
    struct vrpc_t* const vrpc = vrpc_client_lookup("", NULL);
    char* const data = vrpc_data(vrpc);
    EXPECT(vrpc_maxsize(vrpc) == 2048 - 12);
    memcpy(data, "left", 4);
    EXPECT(vrpc_call(vrpc, &size) == -EAGAIN && size == 0);
    EXPECT(pipe(readiness) == 0 && vrpc_client_open(vrpc, ready, "r") == 0);
    EXPECT(read(readiness[0], &word, 1) == 1 && word == 'r');
    EXPECT(vrpc_client_open(vrpc, NULL, NULL) == -EBUSY);
    size = 4; /* what was written before it was open goes along */
    EXPECT(vrpc_call(vrpc, &size) == 0 && size == 4 && memcmp(data, "tfel", 4) == 0);
    vrpc_close(vrpc);
    EXPECT(vrpc_data(vrpc) == (void*)data && memcmp(data, "tfel", 4) == 0);
    EXPECT(vrpc_client_open(vrpc, NULL, NULL) == 0);
    size = 2048 - 11;
    EXPECT(vrpc_call(vrpc, &size) == -EMSGSIZE && size == 0);
    size = 2048 - 12;
    EXPECT(vrpc_call(vrpc, &size) == 0 && size == 2048 - 12);

    tick(1);
    memcpy(data, "wait", size = 4);
    EXPECT(vrpc_call(vrpc, &size) == -EINTR && size == 0);
    tick(0);
    size = 4;
    EXPECT(vrpc_call(vrpc, &size) == -EBUSY);
    say("was interrupted");
    do { /* until the server has answered the call that was given up: the data are its own till then */
        size = 0;
    } while (vrpc_call(vrpc, &size) == -EBUSY);
    memcpy(data, "then", size = 4);
    EXPECT(vrpc_call(vrpc, &size) == 0);
    EXPECT(size == 4 && memcmp(data, "neht", 4) == 0);
    ticks_until_said = 6;
    tick(1);
    memcpy(data, "long", size = 4);
    EXPECT(vrpc_call_non_interruptible(vrpc, &size) == 0);
    EXPECT(size == 4 && memcmp(data, "gnol", 4) == 0);
    tick(0);
    vrpc_release(vrpc);
}

int main(int count, char** words) {
    listen_to(count, words);
    if (strcmp(words[1], "ends") == 0)
        ends();
    else
        calls();
    say(said_wrong ? "wrong" : "ok");
    return said_wrong;
}
