/* Calls with each word until somebody answers, as a driver does: after EAGAIN it closes and opens. */
#include <string.h>

#include "hyplink/compat/vrpc.h"
#define SAID_ERROR_TEXT hyplink_vrpc_error
#include "../vrpq/said.h"

static void off(NkOsId peer) { say("off %d", peer); }

int main(int count, char** words) {
    listen_to(count, words);
    struct vrpc_t* vrpc = vrpc_client_lookup(words[1], NULL);
    EXPECT(vrpc != NULL);
    if (vrpc == NULL) return 1;
    char* const data = vrpc_data(vrpc);
    vrpc_off_notifier(vrpc, off, NULL);
    EXPECT(vrpc_client_open(vrpc, NULL, NULL) == 0);
    for (int at = 2; at < count - 2; ++at) {
        vrpc_size_t size = 0;
        memcpy(data, words[at], strlen(words[at]));
        while (size == 0) {
            size = (vrpc_size_t)strlen(words[at]);
            const int done = vrpc_call(vrpc, &size);
            if (done == 0) continue; /* with nothing: nobody serves */
            if (done != -EAGAIN) say("%s", strerror(-done));
            EXPECT(size == 0);
            vrpc_close(vrpc);
            /* The text is still there: it goes along with the next opening. */
            EXPECT(vrpc_client_open(vrpc, NULL, NULL) == 0 && vrpc_data(vrpc) == data);
        }
        say("%.*s", (int)size, data);
    }
    vrpc_close(vrpc);
    vrpc_release(vrpc);
    return said_wrong;
}
