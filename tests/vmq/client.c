/* The client's end: threads that call, messages without calls, whatever the other end does. */
#include "node.h"
#include "../vrpc/ticks.h"

#define THREADS 6
static vipc_ctx_t ctx;
static unsigned back; /* messages that came back and were no calls' */

static void on(vmq_link_t* link) {
    vipc_ctx_init(&ctx, link);
    said_on(link);
}
static void off(vmq_link_t* link) {
    if (the_link != NULL) vipc_ctx_abort_calls(&ctx);
    said_off(link);
}
static void answered(vmq_link_t* link) {
    void* msg;
    while (vmq_return_msg_receive(link, &msg) == 0) {
        if (ctx.link != NULL && vipc_ctx_process_reply(&ctx, msg) == 0) continue;
        ++back;
        vmq_return_msg_free(link, msg);
    }
}
static void take(vmq_link_t* link) {
    void* msg;
    while (vmq_msg_receive(link, &msg) == 0) {
        say("own %u", (unsigned)((request_t*)msg)->value);
        vmq_msg_free(link, msg);
        order('o');
    }
}

static const vmq_callbacks_t callbacks = {
    on, off, said_completed, look, take, answered, NULL, NULL, NULL,
};

/* The answer's value; 0 when there is none. */
static nku32_f call(nku32_f op, nku32_f value, const char* text) {
    void* msg;
    unsigned offset;
    vmq_link_t* const link = ctx.link;
    const unsigned bytes = (unsigned)strlen(text);
    if (vmq_msg_allocate(link, bytes, &msg, bytes == 0 ? NULL : &offset) != 0) return 0;
    request_t* const request = msg;
    EXPECT(vmq_msg_slot(link, msg) < 8);
    request->op = op;
    request->value = value;
    request->bytes = bytes;
    request->offset = bytes == 0 ? 0 : offset;
    if (bytes != 0) memcpy(vmq_tx_data_area(link) + offset, text, bytes);
    nku64_f* const reply = vipc_ctx_call(&ctx, msg);
    nku32_f answer = 0;
    if (reply != NULL) {
        answer = ((request_t*)(void*)reply)->value;
        if (bytes != 0) say("%.*s", (int)bytes, vmq_tx_data_area(link) + offset);
        vmq_return_msg_free(link, reply);
    }
    if (bytes != 0) vmq_data_free(link, offset);
    return answer;
}

static void post(nku32_f op, nku32_f value, void (*send)(vmq_link_t*, void*)) {
    void* msg;
    if (vmq_msg_allocate(the_link, 0, &msg, NULL) != 0) return;
    ((request_t*)msg)->op = op;
    ((request_t*)msg)->value = value;
    send(the_link, msg);
}

static void* caller(void* number) {
    const nku32_f first = *(nku32_f*)number * 1000;
    for (nku32_f i = 1; i <= 200; ++i) EXPECT(call('a', first + i, "") == first + i + 1);
    return NULL;
}

static void many(void) {
    pthread_t threads[THREADS];
    nku32_f numbers[THREADS];
    for (nku32_f i = 0; i < THREADS; ++i) {
        numbers[i] = i;
        EXPECT(pthread_create(&threads[i], NULL, caller, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; ++i) EXPECT(pthread_join(threads[i], NULL) == 0);
}

/* Calls that wait when the other end dies, in threads of their own. */
static void* waiter(void* op) {
    EXPECT(call(*(nku32_f*)op, 1, "") == 0);
    order('w');
    return NULL;
}

static void await_on(vmq_links_t* links) {
    while (the_link == NULL) {
        char what;
        EXPECT(read(orders[0], &what, 1) == 1 && what == 's');
        vmq_links_sysconf(links);
    }
}

/* All messages but those that are answered late, so that the next one has to be waited for. */
static void take_all(void) {
    for (int i = 0; i < 8; ++i) post('k', 0, vmq_msg_send);
}

static void* blocked(void* nothing) {
    void* msg;
    EXPECT(vmq_msg_allocate(the_link, 0, &msg, NULL) == -ECONNABORTED);
    return nothing;
}

static bool count_links(vmq_link_t* link, void* cookie) {
    ++*(unsigned*)cookie;
    EXPECT(vmq_link_s_info(link) != NULL && strncmp(vmq_link_s_info(link), "disk", 4) == 0);
    return false;
}

static void obey(const char* word, vmq_links_t* links) {
    void* msg;
    unsigned links_there = 0;
    if (strcmp(word, "many") == 0) {
        many();
    } else if (strcmp(word, "text") == 0) {
        EXPECT(call('a', 1, "from the C client") == 2);
    } else if (strcmp(word, "posts") == 0) {
        for (nku32_f i = 0; i < 50; ++i) post('f', i, i % 3 == 0 ? vmq_msg_send : vmq_msg_send_async);
        vmq_msg_send_flush(the_link);
        EXPECT(call('a', 7, "") == 8);
        EXPECT(vmq_links_iterate(links, count_links, &links_there) == false && links_there == 1);
        say("back %u", back); /* all but what was freed last, for which nobody waits */
    } else if (strcmp(word, "own") == 0) {
        post('m', 42, vmq_msg_send);
        EXPECT(await(links) == 'o');
    } else if (strcmp(word, "limits") == 0) {
        unsigned offset = 0;
        void* all[8];
        EXPECT(vmq_msg_allocate(the_link, 257, &msg, &offset) == -E2BIG);
        for (int i = 0; i < 8; ++i)
            EXPECT(vmq_msg_allocate(the_link, 0, &all[i], NULL) == 0);
        EXPECT(vmq_msg_allocate_ex(the_link, 0, &msg, NULL, true) == -EAGAIN);
        vmq_msg_send(the_link, &offset); /* none of its messages */
        EXPECT(strstr(hyplink_vmq_error(), "not a message") != NULL);
        for (int i = 0; i < 8; ++i) {
            memset(all[i], 0, sizeof(request_t));
            ((request_t*)all[i])->op = 'f';
            vmq_msg_send(the_link, all[i]);
        }
        vmq_data_free(the_link, 0); /* none is in use */
        EXPECT(strstr(hyplink_vmq_error(), "no buffer") != NULL);
    } else if (strcmp(word, "signal") == 0) {
        take_all();
        tick(1);
        EXPECT(vmq_msg_allocate(the_link, 0, &msg, NULL) == -EINTR);
        tick(0);
        say("interrupted");
        EXPECT(vmq_msg_allocate(the_link, 0, &msg, NULL) == 0); /* when the other end answers */
        vmq_msg_send(the_link, memset(msg, 0, sizeof(request_t)));
    } else if (strcmp(word, "abort") == 0) {
        pthread_t thread;
        take_all();
        EXPECT(pthread_create(&thread, NULL, blocked, NULL) == 0);
        vmq_links_abort(links);
        EXPECT(pthread_join(thread, NULL) == 0);
    } else if (strcmp(word, "cookie") == 0) {
        EXPECT(call('c', 1, "") == 0);
        EXPECT(call('a', 1, "") == 2);
    } else if (strcmp(word, "quit") == 0) {
        post('q', 0, vmq_msg_send);
    } else { /* "die": calls and a message are under way when the other end dies */
        pthread_t waiting[2];
        nku32_f ops[2] = {'k', 'd'};
        EXPECT(vmq_msg_allocate(the_link, 0, &msg, NULL) == 0); /* this end holds one, too */
        for (int i = 0; i < 2; ++i) EXPECT(pthread_create(&waiting[i], NULL, waiter, &ops[i]) == 0);
        vmq_link_t* const link = the_link;
        for (int ended = 0; ended < 2;)
            if (await(links) == 'w') ++ended;
        for (int i = 0; i < 2; ++i) EXPECT(pthread_join(waiting[i], NULL) == 0);
        while (the_link != NULL) {
            char what;
            EXPECT(read(orders[0], &what, 1) == 1);
            vmq_links_sysconf(links);
        }
        void* none;
        EXPECT(vmq_msg_allocate(link, 0, &none, NULL) == -EAGAIN);
        say("holds");
        vmq_msg_send(link, msg); /* which gives it back */
        await_on(links);
    }
}

int main(int count, char** words) {
    vmq_links_t* links;
    listen_to(count, words);
    EXPECT(pipe(orders) == 0);
    const signed made = vmq_links_init(&links, words[1], &callbacks, &requests, &answers);
    if (made != 0) return say("init %d", made), 1;
    EXPECT(vmq_links_start(links) == 0 && vmq_links_start(links) == -EALREADY);
    await_on(links);
    for (int at = 2; at < count - 2; ++at) {
        obey(words[at], links);
        say("did %s", words[at]);
    }
    vmq_links_abort(links);
    vmq_links_finish(links);
    say("ends");
    return said_wrong;
}
