/* A vRPC server of one name. It answers with the text backwards; some texts it obeys. */
#include <signal.h>
#include <string.h>

#include "hyplink/compat/vrpc.h"
#define SAID_ERROR_TEXT hyplink_vrpc_error
#include "../vrpq/said.h"

static int orders[2]; /* the handler tells main through a pipe */

static vrpc_size_t serve(void* cookie, vrpc_size_t size) {
    struct vrpc_t* vrpc = cookie;
    char* data = vrpc_data(vrpc);
    if (size == 3 && memcmp(data, "die", 3) == 0) raise(SIGKILL);
    if (size == 4 && memcmp(data, "hang", 4) == 0) {
        say("hangs");
        for (;;) pause();
    }
    if (size == 4 && memcmp(data, "much", 4) == 0) return vrpc_maxsize(vrpc) + 1;
    /* Closing waits for the answer to this. */
    if (size == 4 && memcmp(data, "stop", 4) == 0) EXPECT(write(orders[1], "s", 1) == 1);
    for (vrpc_size_t i = 0; i < size / 2; ++i) {
        const char last = data[size - 1 - i];
        data[size - 1 - i] = data[i];
        data[i] = last;
    }
    return size;
}

static void off(NkOsId peer) { say("off %d", peer); }

int main(int count, char** words) {
    char order;
    listen_to(count, words);
    struct vrpc_t* vrpc = vrpc_server_lookup(words[1], NULL);
    EXPECT(vrpc != NULL && pipe(orders) == 0);
    if (vrpc == NULL) return 1;
    vrpc_off_notifier(vrpc, off, NULL);
    EXPECT(vrpc_server_open(vrpc, serve, vrpc, 1) == 0);
    say("open");
    EXPECT(read(orders[0], &order, 1) == 1);
    vrpc_release(vrpc);
    say("ends");
    return said_wrong;
}
