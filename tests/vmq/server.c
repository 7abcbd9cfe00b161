/* The server's end of a vMQ: it answers what comes, and obeys some letters. */
#include "node.h"

static void* kept[8];
static unsigned keeps;

static void take(vmq_link_t* link) {
    void* msg;
    signed got;
    while ((got = vmq_msg_receive(link, &msg)) == 0) {
        request_t request;
        memcpy(&request, msg, sizeof request); /* once, then it is checked */
        request_t* const reply = msg;
        switch (request.op) {
            case 'a': /* add one; and turn the buffer round */
                reply->value = request.value + 1;
                if (request.bytes > vmq_data_max(link) && request.bytes > 256) request.bytes = 0;
                if (request.bytes != 0 && vmq_data_offset_ok(link, request.offset)) {
                    char* const data = vmq_rx_data_area(link) + request.offset;
                    for (nku32_f i = 0; i < request.bytes / 2; ++i) {
                        const char last = data[request.bytes - 1 - i];
                        data[request.bytes - 1 - i] = data[i];
                        data[i] = last;
                    }
                }
                vmq_msg_return(link, msg);
                break;
            case 'f':
                vmq_msg_free(link, msg);
                break;
            case 'k': /* keep it, until an 'r' has all answered, last first */
                kept[keeps++] = msg;
                say("kept %u", keeps);
                break;
            case 'r':
                vmq_msg_free(link, msg);
                while (keeps != 0) {
                    request_t* const late = kept[--keeps];
                    late->value += 100;
                    vmq_msg_return(link, late);
                }
                break;
            case 'c': /* an answer that bears a wrong cookie */
                reply->cookie ^= 1;
                vmq_msg_return(link, msg);
                break;
            case 'm': { /* a message of its own */
                void* own;
                vmq_msg_free(link, msg);
                const signed made = vmq_msg_allocate(link, 0, &own, NULL);
                if (made != 0) say("no message %d", made);
                if (made != 0) break;
                memcpy(own, &request, sizeof request);
                vmq_msg_send(link, own);
                break;
            }
            case 'd':
                raise(SIGKILL);
                break;
            case 'q':
                vmq_msg_free(link, msg);
                order('q');
                break;
            default:
                say("op %u", (unsigned)request.op);
                vmq_msg_free(link, msg);
        }
    }
    if (got == -ESTALE) say("stale");
}

static void off(vmq_link_t* link) {
    said_off(link);
    while (keeps != 0) vmq_msg_free(link, kept[--keeps]);
}

static const vmq_callbacks_t callbacks = {
    said_on, off, said_completed, look, take, NULL, NULL, NULL, NULL,
};

int main(int count, char** words) {
    vmq_links_t* links;
    listen_to(count, words);
    EXPECT(pipe(orders) == 0);
    const signed made = vmq_links_init(&links, words[1], &callbacks, &answers, &requests);
    if (made != 0) return say("init %d", made), 1;
    EXPECT(vmq_links_start(links) == 0);
    EXPECT(await(links) == 'q');
    vmq_links_abort(links);
    vmq_links_finish(links);
    say("ends");
    return said_wrong;
}
