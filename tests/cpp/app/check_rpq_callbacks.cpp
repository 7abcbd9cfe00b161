// Callbacks, calls within them, and calls that are given up: two ends that behave.

#include <stdexcept>

#include "ring/rpq_pair.hpp"

using namespace test;
using rpq::Drop;
using rpq::RequestView;

namespace {

struct Seen {
    std::uint32_t proc;
    std::uint32_t value;
    bool is_call;
    bool operator==(const Seen&) const = default;
};

/// A client that notes what comes, and answers twice the value.
class Listener {
   public:
    std::vector<Seen> seen;
    explicit Listener(Pair& pair) {
        pair.client->on_callback([this](const RequestView& callback) {
            seen.push_back({callback.proc, value_of(callback.in), callback.is_call});
            if (!callback.is_call) return 0;
            const std::uint32_t twice = 2 * value_of(callback.in);
            std::memcpy(callback.out, &twice, 4);
            return static_cast<std::int32_t>(callback.proc);
        });
    }
};

Status emit(Pair& pair, std::uint32_t proc, std::uint32_t value, Drop drop = Drop::refuse,
            std::uint32_t keep = 0) {
    std::byte* block = HYPLINK_TRY(pair.server->callback_begin(proc, 8, drop, keep));
    std::memset(block, 0, 8);
    std::memcpy(block, &value, 4);
    return pair.server->callback_post();
}

/// Ask and wait; the answer's value, or -1 for any failure.
Result<std::int64_t> ask(Pair& pair, std::uint32_t proc, std::uint32_t value, Deadline deadline) {
    std::byte* block = HYPLINK_TRY(pair.server->callback_begin_call(proc, 8, 8));
    std::memcpy(block, &value, 4);
    const rpq::ReplyView reply = HYPLINK_TRY(pair.server->callback_call(deadline));
    if (reply.status != static_cast<std::int32_t>(proc)) return Errc::internal;
    return std::int64_t{value_of(reply.out)};
}

Result<std::uint32_t> call(Pair& pair, std::uint32_t proc, std::uint32_t value) {
    std::byte* block = HYPLINK_TRY(pair.client->begin_call(proc, 8, 8));
    std::memcpy(block, &value, 4);
    const rpq::ReplyView reply = HYPLINK_TRY(pair.client->call());
    if (reply.status != 0) return static_cast<Errc>(reply.status);
    return value_of(reply.out);
}

void answer_with(const RequestView& request, std::uint32_t value) {
    std::memcpy(request.out, &value, 4);
}

}  // namespace

CHECK_CASE("asynchronous callbacks arrive once, in order, when the client looks") {
    Pair pair;
    Listener listener(pair);
    for (std::uint32_t i = 0; i < 10; ++i) REQUIRE(emit(pair, 100 + i, i));
    EXPECT(listener.seen.empty());
    EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), 10);
    REQUIRE(EXPECT_EQ(listener.seen.size(), 10));
    for (std::uint32_t i = 0; i < 10; ++i) EXPECT(listener.seen[i] == (Seen{100 + i, i, false}));
    EXPECT_EQ(*pair.client->handle_callbacks(pair.runtime.in(0)), 0);
    EXPECT_EQ(pair.client->try_handle_callbacks().code(), Errc::would_block);
}

CHECK_CASE("callbacks sent before an answer are handled before the call returns") {
    Pair pair;
    Listener listener(pair);
    std::thread server([&] {
        for (int i = 0; i < 200; ++i) {
            auto requests = pair.server->receive(1, Deadline::never());
            for (std::uint32_t n = 0; n < 5; ++n)
                EXPECT(emit(pair, 7, value_of((*requests)[0].in) * 5 + n));
        }
        EXPECT(pair.server->acknowledge());
    });
    for (std::uint32_t i = 0; i < 200; ++i) {
        EXPECT(call(pair, 1, i));
        EXPECT_EQ(listener.seen.size(), 5 * (i + 1));
    }
    server.join();
    for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(listener.seen[i].value, i);
}

CHECK_CASE("a synchronous callback in a call's handler is served by the client that waits there") {
    for (const std::int64_t spin : {0, 30'000}) {
        Pair pair({.spin = spin});
        Listener listener(pair);
        std::thread server([&] {
            for (int i = 0; i < 300; ++i) {
                auto requests = pair.server->receive(1, Deadline::never());
                const auto twice = ask(pair, 4, value_of((*requests)[0].in), Deadline::never());
                EXPECT(twice);
                answer_with((*requests)[0], static_cast<std::uint32_t>(*twice) + 1);
            }
            EXPECT(pair.server->acknowledge());
        });
        for (std::uint32_t i = 0; i < 300; ++i) {
            auto answer = call(pair, 1, i);
            EXPECT(answer);
            EXPECT_EQ(*answer, 2 * i + 1);
        }
        server.join();
        EXPECT_EQ(listener.seen.size(), 300);
        EXPECT_EQ(pair.server->counters().callback_calls, 300);
    }
}

CHECK_CASE(
    "a call from inside a callback is served by the server that waits there, in either nest") {
    for (const bool within_call : {true, false}) {
        Pair pair;
        std::uint32_t inner = 0;
        pair.client->on_callback([&](const RequestView& callback) {
            EXPECT(pair.client->in_callback());
            EXPECT(pair.post(50, 1));  // comes before the nested call
            auto answer = call(pair, 60, value_of(callback.in));
            EXPECT(answer);
            inner = *answer;
            answer_with(callback, *answer + 1);
            return 4;
        });
        std::vector<std::uint32_t> served;
        pair.server->on_nested([&](const Request& request) {
            served.push_back(request.proc);
            if (request.is_call) answer_with(request, value_of(request.in) + 10);
            EXPECT_EQ(pair.server->receive(1).code(), Errc::deadlock);
            EXPECT_EQ(pair.server->try_receive(1).code(), Errc::deadlock);
            EXPECT_EQ(pair.server->acknowledge().code(), Errc::deadlock);
            EXPECT_EQ(pair.server->callback_begin_call(1, 8, 8).code(), Errc::deadlock);
            return 0;
        });
        std::thread server([&] {
            if (within_call) {
                auto requests = pair.server->receive(1, Deadline::never());
                const std::uint32_t value = value_of((*requests)[0].in);
                const auto answer = ask(pair, 4, value, Deadline::never());
                EXPECT(answer);
                EXPECT_EQ(value_of((*requests)[0].in), value);  // the outer request is untouched
                answer_with((*requests)[0], static_cast<std::uint32_t>(*answer) + 100);
                EXPECT(pair.server->acknowledge());
            } else {
                EXPECT_EQ(*ask(pair, 4, 7, Deadline::never()), 18);
            }
        });
        if (within_call) {
            auto answer = call(pair, 1, 7);
            EXPECT(answer);
            EXPECT_EQ(*answer, 118);
        } else {
            EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), 1);
        }
        server.join();
        EXPECT_EQ(inner, 17);
        EXPECT(served == (std::vector<std::uint32_t>{50, 60}));
        EXPECT_EQ(pair.client->pending(), 0);
        EXPECT(!pair.client->in_callback());
    }
}

CHECK_CASE("a third level says EDEADLK on both sides instead of waiting for ever") {
    Pair pair;
    Errc at_client = Errc::ok;
    pair.client->on_callback([&](const RequestView&) {
        at_client = pair.client->handle_callbacks(Deadline::never()).code();
        return call(pair, 60, 1) ? 0 : 1;
    });
    Errc at_server = Errc::ok;
    pair.server->on_nested([&](const Request&) {
        at_server = pair.server->callback_begin_call(9, 8, 8).code();
        return 0;
    });
    std::thread server([&] {
        EXPECT(pair.server->receive(1, Deadline::never()));
        EXPECT(pair.server->callback_begin_call(0, 8, 8));
        EXPECT_EQ(pair.server->callback_call(Deadline::never())->status, 0);
        EXPECT(pair.server->acknowledge());
    });
    EXPECT(call(pair, 1, 1));
    server.join();
    EXPECT_EQ(at_client, Errc::deadlock);
    EXPECT_EQ(at_server, Errc::deadlock);
}

CHECK_CASE(
    "without a dispatcher a nested call ends the callback with EDEADLK and is served later") {
    Pair pair;
    Errc inner = Errc::internal;
    pair.client->on_callback([&](const RequestView&) {
        inner = call(pair, 60, 1).code();
        return 0;
    });
    std::thread server([&] {
        EXPECT(pair.server->receive(1, Deadline::never()));
        EXPECT(pair.server->callback_begin_call(5, 8, 8));
        EXPECT_EQ(pair.server->callback_call(Deadline::never()).code(), Errc::deadlock);
        auto requests = pair.server->receive(1, Deadline::never());  // answers the outer call
        EXPECT_EQ((*requests)[0].proc, 60);
        EXPECT_EQ(pair.server->callback_begin_call(5, 8, 8).code(), Errc::deadlock);
        EXPECT(pair.server->acknowledge());
    });
    EXPECT(call(pair, 1, 1));
    server.join();
    EXPECT_EQ(inner, Errc::ok);
}

CHECK_CASE("the two answers of a nest never meet: the outer one may come first") {
    Pair pair;
    pair.client->on_callback([&](const RequestView&) {
        auto answer = call(pair, 60, 5);
        EXPECT(answer);
        EXPECT_EQ(*answer, 6);
        return 0;
    });
    std::thread server([&] {
        auto outer = pair.server->receive(1, Deadline::never());
        EXPECT(emit(pair, 1, 1));
        answer_with((*outer)[0], 77);
        auto inner = pair.server->receive(1, Deadline::never());  // acknowledges the outer
        answer_with((*inner)[0], value_of((*inner)[0].in) + 1);
        EXPECT(pair.server->acknowledge());
    });
    auto answer = call(pair, 1, 1);
    EXPECT(answer);
    EXPECT_EQ(*answer, 77);
    server.join();
}

CHECK_CASE("what a handler posts never overwrites the answer of the call around it") {
    Pair pair;
    std::atomic<bool> done{false};
    pair.client->on_callback([&](const RequestView&) {
        // Without the hold these would go round the ring and over the answer.
        for (std::uint32_t i = 0; i < 300; ++i) {
            auto block = pair.client->begin(50, 8, pair.runtime.in(2'000'000));
            if (!block) break;
            std::memset(*block, 0xee, 8);
            EXPECT(pair.client->post_and_notify());
        }
        done.store(true);
        return 0;
    });
    std::thread server([&] {
        auto outer = pair.server->receive(1, Deadline::never());
        EXPECT(emit(pair, 1, 1));
        answer_with((*outer)[0], 77);
        while (!done.load()) static_cast<void>(pair.server->receive(64, pair.runtime.in(100'000)));
    });
    auto answer = call(pair, 1, 1);
    EXPECT(answer);
    EXPECT_EQ(*answer, 77);
    server.join();
}

CHECK_CASE("a handler that fills the ring inside a synchronous callback is told ENOBUFS at once") {
    Pair pair;
    Errc last = Errc::ok;
    pair.client->on_callback([&](const RequestView&) {
        for (;;) {
            auto block = pair.client->begin(50, 8, Deadline::never());
            last = block.code();
            if (!block) return 4;
            EXPECT(pair.client->post());
        }
    });
    std::thread server([&] {
        EXPECT(pair.server->receive(1, Deadline::never()));
        EXPECT(ask(pair, 4, 1, Deadline::never()));
        EXPECT(pair.server->acknowledge());
    });
    EXPECT(call(pair, 1, 1));
    server.join();
    EXPECT_EQ(last, Errc::ring_full);
}

CHECK_CASE("a client that never looks cannot stall the server: refuse, drop newest, drop oldest") {
    Pair pair;
    Listener listener(pair);
    std::uint32_t fit = 0;
    while (emit(pair, 1, fit)) ++fit;
    EXPECT(fit > 10);
    EXPECT_EQ(emit(pair, 1, 0).code(), Errc::would_block);
    for (std::uint32_t i = 0; i < 20; ++i) REQUIRE(emit(pair, 2, i, Drop::newest, 3));
    for (std::uint32_t i = 0; i < 20; ++i) REQUIRE(emit(pair, 3, i, Drop::oldest, 3));
    EXPECT_EQ(pair.server->callbacks_kept(), 6);
    EXPECT_EQ(pair.server->counters().callbacks_dropped, 34);
    EXPECT_EQ(emit(pair, 1, 0).code(), Errc::would_block);  // it would overtake what was kept
    EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), fit);
    EXPECT(pair.server->acknowledge());  // any operation sends what was kept back
    EXPECT_EQ(pair.server->callbacks_kept(), 0);
    listener.seen.clear();
    EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), 6);
    const std::vector<Seen> kept{{2, 0, false},  {2, 1, false},  {2, 2, false},
                                 {3, 17, false}, {3, 18, false}, {3, 19, false}};
    EXPECT(listener.seen == kept);
}

CHECK_CASE("a server asleep in receive sends what it kept back as soon as there is room") {
    Pair pair;
    Listener listener(pair);
    std::uint32_t sent = 0;
    while (emit(pair, 1, sent)) ++sent;
    for (std::uint32_t i = 0; i < 400; ++i, ++sent)
        REQUIRE(emit(pair, 1, sent, Drop::oldest, 1000));
    std::thread server([&] { EXPECT(pair.server->receive(1, Deadline::never())); });
    while (listener.seen.size() < sent) EXPECT(pair.client->handle_callbacks(Deadline::never()));
    REQUIRE(pair.post(1, 1));
    REQUIRE(pair.client->notify());
    server.join();
    for (std::uint32_t i = 0; i < sent; ++i) EXPECT_EQ(listener.seen[i].value, i);
}

CHECK_CASE("a synchronous callback waits for room behind what was kept back") {
    Pair pair;
    Listener listener(pair);
    std::uint32_t sent = 0;
    while (emit(pair, 1, sent)) ++sent;
    REQUIRE(emit(pair, 1, sent++, Drop::oldest, 1000));
    EXPECT_EQ(pair.server->callback_begin_call(4, 8, 8, pair.runtime.in(1000)).code(),
              Errc::timed_out);
    std::thread server([&] { EXPECT_EQ(*ask(pair, 4, 21, Deadline::never()), 42); });
    while (listener.seen.size() < sent + 1)
        EXPECT(pair.client->handle_callbacks(Deadline::never()));
    server.join();
    EXPECT(listener.seen.back() == (Seen{4, 21, true}));
}

CHECK_CASE("a callback that is too long names the limit") {
    Pair pair;
    const std::uint32_t most = pair.server->callback_block_max();
    auto refused = pair.server->callback_begin(1, most + 1);
    EXPECT_EQ(refused.code(), Errc::too_long);
    EXPECT(refused.error().text().find(std::to_string(most)) != std::string::npos);
    EXPECT_EQ(pair.server->callback_begin_call(1, 8, most).code(), Errc::too_long);
    EXPECT_EQ(pair.server->callback_begin_call(1, 0xffffffff, 0xffffffff).code(), Errc::too_long);
    EXPECT(pair.server->callback_begin(1, most));
    EXPECT(pair.server->callback_post());
}

CHECK_CASE("post without begin, call without begin and a second call while one waits are refused") {
    Pair pair;
    EXPECT_EQ(pair.server->callback_post().code(), Errc::bad_argument);
    EXPECT_EQ(pair.server->callback_call().code(), Errc::bad_argument);
    REQUIRE(pair.server->callback_begin(1, 8));
    EXPECT_EQ(ask(pair, 1, 1, pair.runtime.in(0)).code(), Errc::timed_out);
    EXPECT_EQ(pair.server->callback_post().code(), Errc::bad_argument);  // overwritten
    REQUIRE(pair.server->callback_begin_call(1, 8, 8));
    REQUIRE(pair.server->callback_begin(1, 8));
    EXPECT_EQ(pair.server->callback_call().code(), Errc::bad_argument);  // overwritten
}

CHECK_CASE("nobody to handle callbacks: synchronous ones say EOPNOTSUPP, the others are counted") {
    Pair pair;
    REQUIRE(emit(pair, 1, 1));
    std::thread server([&] {
        EXPECT(pair.server->callback_begin_call(1, 8, 8));
        EXPECT_EQ(pair.server->callback_call(Deadline::never())->status, EOPNOTSUPP);
    });
    for (std::uint32_t handled = 0; handled < 2;)
        handled += *pair.client->handle_callbacks(Deadline::never());
    server.join();
    EXPECT_EQ(pair.client->counters().callbacks_dropped, 2);
}

CHECK_CASE("a callback that timed out is dropped, a late answer too, and the next gets its own") {
    Pair pair;
    Listener listener(pair);
    EXPECT_EQ(ask(pair, 1, 1, pair.runtime.in(0)).code(), Errc::timed_out);
    EXPECT_EQ(ask(pair, 2, 2, pair.runtime.in(0)).code(), Errc::timed_out);
    std::thread server([&] { EXPECT_EQ(*ask(pair, 3, 3, Deadline::never()), 6); });
    while (listener.seen.empty()) EXPECT(pair.client->handle_callbacks(Deadline::never()));
    server.join();
    EXPECT_EQ(listener.seen.size(), 1);  // those given up before they were picked up never ran
    // Given up while it is handled.
    pair.client->on_callback([&](const RequestView&) {
        pair.server->callback_forget();
        return 9;
    });
    REQUIRE(pair.server->callback_begin_call(1, 8, 8));
    EXPECT_EQ(pair.server->callback_call(pair.runtime.in(0)).code(), Errc::timed_out);
    EXPECT_EQ(*pair.client->handle_callbacks(pair.runtime.in(0)), 1);
}

CHECK_CASE("a handler that throws answers ENOTRECOVERABLE, and what it threw comes out") {
    Pair pair;
    pair.client->on_callback([&](const RequestView& callback) -> std::int32_t {
        if (callback.proc == 3) throw std::runtime_error("mine");
        return 0;
    });
    REQUIRE(emit(pair, 1, 1));
    REQUIRE(emit(pair, 3, 1));
    REQUIRE(emit(pair, 1, 1));
    bool thrown = false;
    try {
        static_cast<void>(pair.client->handle_callbacks(Deadline::never()));
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    EXPECT(thrown);
    EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), 1);  // the rest is still there
    std::thread server([&] {
        EXPECT(pair.server->callback_begin_call(3, 8, 8));
        EXPECT_EQ(pair.server->callback_call(Deadline::never())->status, ENOTRECOVERABLE);
    });
    thrown = false;
    try {
        static_cast<void>(pair.client->handle_callbacks(Deadline::never()));
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    EXPECT(thrown);
    server.join();
}

CHECK_CASE("a handler may replace itself while it runs") {
    Pair pair;
    int second = 0;
    pair.client->on_callback([&](const RequestView&) {
        pair.client->on_callback([&](const RequestView&) { return ++second; });
        return 0;
    });
    for (int i = 0; i < 3; ++i) REQUIRE(emit(pair, 1, 1));
    EXPECT_EQ(*pair.client->handle_callbacks(Deadline::never()), 3);
    EXPECT_EQ(second, 2);
}

// ---- calls that are given up

CHECK_CASE("a call given up before it is picked up is never executed, and costs no room for long") {
    Pair pair({.max_requests = 2});
    pair.begin_call(1, 8, 8);
    EXPECT_EQ(pair.client->call(pair.runtime.in(0)).code(), Errc::timed_out);
    pair.begin_call(2, 8, 8);
    REQUIRE(pair.client->call_start());
    pair.client->call_forget();
    EXPECT_EQ(pair.client->try_begin(3, 8).code(), Errc::would_block);
    EXPECT_EQ(pair.server->try_receive(8).code(), Errc::would_block);
    EXPECT(pair.post(3, 3));  // the room came back although nothing was delivered
    REQUIRE(pair.client->notify());
    pair.begin_call(4, 8, 8);
    REQUIRE(pair.client->call_start());
    auto requests = pair.server->try_receive(8);
    REQUIRE(requests);
    REQUIRE(EXPECT_EQ(requests->size(), 2));
    EXPECT_EQ((*requests)[0].proc, 3);
    EXPECT_EQ((*requests)[1].proc, 4);
    EXPECT(!pair.server->call_given_up());
    EXPECT_EQ(pair.server->counters().calls, 1);
}

CHECK_CASE(
    "however few requests a receive takes, what lies behind given-up calls is found at once") {
    Pair pair;
    for (int i = 0; i < 5; ++i) {
        pair.begin_call(1, 8, 8);
        EXPECT_EQ(pair.client->call(pair.runtime.in(0)).code(), Errc::timed_out);
    }
    EXPECT(pair.post(3, 3));
    REQUIRE(pair.client->notify());
    auto requests = pair.server->try_receive(1);
    REQUIRE(requests);
    REQUIRE(EXPECT_EQ(requests->size(), 1));
    EXPECT_EQ((*requests)[0].proc, 3);
}

CHECK_CASE("a call given up while it is handled: the server can know, and its answer is dropped") {
    Pair pair;
    pair.begin_call(1, 8, 8);
    REQUIRE(pair.client->call_start());
    REQUIRE(pair.server->try_receive(8));
    EXPECT(!pair.server->call_given_up());
    EXPECT_EQ(pair.client->call(pair.runtime.in(0)).code(), Errc::timed_out);
    EXPECT(pair.server->call_given_up());
    pair.begin_call(2, 8, 8);
    REQUIRE(pair.client->call_start());
    REQUIRE(pair.server->try_receive(8));
    EXPECT_EQ(pair.client->try_reply().code(), Errc::would_block);
    EXPECT(pair.server->acknowledge());
    EXPECT(pair.client->try_reply());
}

CHECK_CASE("a call that is answered when its time is over is delivered") {
    Pair pair;
    pair.begin_call(1, 8, 8);
    REQUIRE(pair.client->call_start());
    REQUIRE(pair.server->try_receive(8));
    REQUIRE(pair.server->acknowledge());
    EXPECT(pair.client->call(Deadline{0}));
}

// ---- versions

CHECK_CASE("the same major goes together unless the minor is the same and the hash is not") {
    const auto said = [](std::uint16_t group, std::uint16_t major, std::uint16_t minor,
                         std::uint64_t hash) {
        const rpq::Group entry{group, major, minor, hash};
        return rpq::hello_bytes(std::span(&entry, 1), "user");
    };
    const std::string own = said(2, 1, 3, 7);
    EXPECT(!rpq::hello_refusal(own, said(2, 1, 3, 7)));
    EXPECT(!rpq::hello_refusal(own, said(2, 1, 2, 8)));
    EXPECT(!rpq::hello_refusal(own, said(2, 1, 4, 8)));
    EXPECT(!rpq::hello_refusal(own, said(9, 5, 0, 8)));  // nothing that both know
    EXPECT(!rpq::hello_refusal(own, "nothing"));
    EXPECT(!rpq::hello_refusal(own, ""));
    EXPECT(rpq::hello_refusal(own, said(2, 1, 3, 8)));
    EXPECT(rpq::hello_refusal(own, said(2, 2, 3, 7)));
    for (std::size_t cut = 4; cut < 24; ++cut)
        EXPECT(rpq::hello_refusal(own, own.substr(0, cut))->unreadable());
    std::string newer = own;
    newer[4] = 2;
    EXPECT(rpq::hello_refusal(own, newer)->unreadable());
}

CHECK_CASE("a refused client sees EPROTONOSUPPORT at its next operation, with both versions") {
    for (const int operation : {0, 1, 2, 3, 4}) {
        Pair pair;
        if (operation == 0) pair.begin_call(1, 8, 8);
        pair.server->refuse({{2, 1, 4, 7}, {2, 3, 9, 7}});
        EXPECT_EQ(pair.server->receive(1, Deadline::never()).code(), Errc::version);
        if (operation != 0) pair.set(Role::client, ChannelState::peer_closed);
        const Error error = [&]() -> Error {
            switch (operation) {
                case 0:
                    return pair.client->call().error().copy();
                case 1:
                    return pair.client->begin(1, 8).error().copy();
                case 2:
                    return pair.client->notify().error().copy();
                case 3:
                    return pair.client->begin_call(1, 8, 8).error().copy();
                default:
                    return pair.client->handle_callbacks().error().copy();
            }
        }();
        EXPECT_EQ(error.code(), Errc::version);
        EXPECT(error.text().find("1.4") != std::string::npos);
        EXPECT(error.text().find("3.9") != std::string::npos);
    }
}
