// What a peer can write is fetched once: a processor's watchpoint counts how often the code, as it
// was compiled, touches each word that is checked and then used. A second fetch could find another
// value than the one that was checked. memory.md 5, case 5.

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/rpq_admin.hpp"
#include "hyplink/guest/umem_area.hpp"
#include "hyplink/ring/pipe_port.hpp"
#include "hyplink/ring/record_reader.hpp"
#include "hyplink/ring/record_writer.hpp"
#include "hyplink/sys/fd.hpp"

using namespace hyplink;

namespace {

/// Counts what this thread does to one word, outside the kernel.
class Watch {
   public:
    Watch(const void* word, std::uint64_t bytes) {
        perf_event_attr what{};
        what.size = sizeof what;
        what.type = PERF_TYPE_BREAKPOINT;
        what.bp_type = HW_BREAKPOINT_RW;  // there is none for reading alone on every processor
        what.bp_addr = reinterpret_cast<std::uintptr_t>(word);
        what.bp_len = bytes;
        what.exclude_kernel = 1;
        what.exclude_hv = 1;
        fd_ = sys::Fd(static_cast<int>(::syscall(SYS_perf_event_open, &what, 0, -1, -1, 0)));
    }
    explicit operator bool() const { return static_cast<bool>(fd_); }
    std::uint64_t count() const {
        std::uint64_t count = 0;
        if (::read(fd_.get(), &count, sizeof count) != sizeof count) throw check::Stop{};
        return count;
    }

   private:
    sys::Fd fd_;
};

template <class Body>
std::uint64_t touches(const void* word, std::uint64_t bytes, Body&& body) {
#ifdef __SANITIZE_THREAD__
    SKIP("the sanitizer fetches each of them once more itself");
#endif
    const Watch watch(word, bytes);
    if (!watch) SKIP("this machine gives no watchpoints (perf_event_open)");
    const std::uint64_t before = watch.count();
    body();
    return watch.count() - before;
}
template <class Word, class Body>
std::uint64_t touches(const Word& word, Body&& body) {
    return touches(&word, sizeof word, std::forward<Body>(body));
}

/// A copy that the library makes may fetch a word twice, where its last piece begins before the one
/// before it ends; both lie in the copy before anything is checked.
template <class Word>
std::uint64_t touches_of_a_copy(const Word& word, const void* from, std::size_t bytes) {
    std::vector<std::byte> into(bytes);
    void* (*volatile copy)(void*, const void*, std::size_t) = &std::memcpy;
    return std::max<std::uint64_t>(1, touches(word, [&] { copy(into.data(), from, bytes); }));
}

}  // namespace

CHECK_CASE("a watchpoint counts every fetch of a word, and only of this one") {
    std::atomic<std::uint64_t> words[2] = {};
    std::uint64_t sum = 0;
    auto fetch = [&](std::atomic<std::uint64_t>& word) {
        sum += word.load(std::memory_order_relaxed);
    };
    EXPECT_EQ(touches(words[0], [&] { fetch(words[0]), fetch(words[0]), fetch(words[1]); }), 2U);
    EXPECT_EQ(touches(words[0], [&] { fetch(words[1]); }), 0U);
    EXPECT_EQ(sum, 0U);
}

CHECK_CASE("a ring's progress is fetched once a look, a record's header once") {
    std::vector<std::uint64_t> memory(512);
    std::atomic<std::uint64_t> head{0};
    std::atomic<std::uint64_t> tail{0};
    const rings::RingMemory ring{reinterpret_cast<std::byte*>(memory.data()), 4096, 100, &head,
                                 &tail};
    rings::RecordWriter writer;
    rings::RecordReader reader;
    writer.attach(ring);
    reader.attach(ring);
    REQUIRE(writer.make_room(64, 64) == rings::RecordWriter::Room::ok);
    for (const auto& [kind, out] : {std::pair{rings::kRecordPost, 0U}, {rings::kRecordCall, 16U}}) {
        REQUIRE(writer.reserve(1, 16, out, kind) != nullptr);
        REQUIRE(writer.commit());
    }
    writer.publish();
    std::uint64_t seen = 0;
    EXPECT_EQ(touches(head, [&] { seen += reader.look() ? 1U : 0U; }), 1U);
    const std::uint64_t* first = memory.data();
    const std::uint64_t* second = first + 4;
    for (const std::uint64_t* word : {first, first + 1, second, second + 1}) {
        rings::RecordReader again;
        again.attach(ring);
        REQUIRE(again.look());
        EXPECT_EQ(touches(*word,
                          [&] {
                              (void)again.read(2, [&](const rings::RecordView& record) {
                                  seen += record.in_bytes + record.out_bytes;
                                  return true;
                              });
                          }),
                  1U);
    }
    REQUIRE(reader.read(2, [](const rings::RecordView&) { return true; }) == 2);
    reader.release();
    EXPECT_EQ(touches(tail, [&] { seen += writer.look() ? 1U : 0U; }), 1U);
    EXPECT_EQ(seen, 2U + 4U * (16 + 16 + 16));
}

CHECK_CASE("how far a pipe's other end has come is fetched once") {
    alignas(64) std::byte port[pipe::kDataAt + 64] = {};
    std::atomic<std::uint64_t> own{0};
    pipe::RingEnd reader(port, 64, &own, Role::server);
    pipe::port_count(port, Role::client).store(10);
    std::uint64_t there = 0;
    EXPECT_EQ(touches(pipe::port_count(port, Role::client), [&] { there = reader.amount().bytes; }),
              1U);
    EXPECT_EQ(there, 10U);
}

CHECK_CASE("indexes and sizes of vRPQ's administration are fetched once") {
    alignas(64) std::byte memory[guest::AdminRing::kBytes] = {};
    auto& area = *reinterpret_cast<guest::AdminArea*>(memory);
    guest::AdminRing client(memory, Role::client);
    guest::AdminRing server(memory, Role::server);
    const auto way = static_cast<std::uint32_t>(Role::client);
    const guest::AdminSlot& slot = area.slots[way][0];
    auto send = [&] {
        guest::AdminMessage message;
        message.kind = guest::AdminKind::session_create;
        message.info = "info";
        return static_cast<bool>(client.try_send(message));
    };
    auto receive = [&] {
        const auto got = server.try_receive();
        return got && got->has_value() && (*got)->info == "info";
    };
    bool good = true;
    EXPECT_EQ(touches(area.directions[way].tail, [&] { good = send(); }), 1U);
    EXPECT(good);
    EXPECT_EQ(touches(area.directions[way].head, [&] { good = receive(); }), 1U);
    EXPECT(good);
    for (const std::uint32_t* word : {&slot.info_bytes, &slot.kind, &slot.session, &slot.port}) {
        guest::AdminRing(memory, Role::server).reset();
        guest::AdminRing(memory, Role::client).reset();
        client = guest::AdminRing(memory, Role::client);
        server = guest::AdminRing(memory, Role::server);
        REQUIRE(send());
        EXPECT(touches(*word, [&] { good = receive(); }) <=
               touches_of_a_copy(*word, &slot, sizeof slot));
        EXPECT(good);
    }
}

CHECK_CASE("numbers and sizes of vUmem's messages are fetched once") {
    using namespace guest::umem;
    constexpr std::uint64_t kHalf = 1024;
    alignas(64) std::byte memory[kHalf] = {};
    auto& slot = *reinterpret_cast<Slot*>(memory);
    auto& request = *reinterpret_cast<Request*>(memory + sizeof(Slot));
    auto& answer = *reinterpret_cast<Answer*>(memory + sizeof(Slot));
    CallerEnd caller;
    CalledEnd called;
    auto ask = [&] {
        caller = CallerEnd(memory, kHalf);
        called = CalledEnd(memory, kHalf);
        caller.reset();
        called.reset();
        Request what{};
        what.command = static_cast<std::uint32_t>(Command::alloc);
        what.opaque_bytes = 5;
        caller.call(7, what);
    };
    bool good = true;
    auto receive = [&] {
        const auto call = called.poll();
        good = call && call->has_value() && (*call)->request.opaque_bytes == 5;
    };
    auto take = [&] {
        const auto reply = caller.poll();
        good = reply && reply->has_value() && (*reply)->chunks.size() == 2;
    };
    auto respond = [&] {
        ask();
        receive();
        Answer head{};
        head.buffer = 1;
        called.answer(7, 0, head, std::vector<Chunk>(2, Chunk{4096, 4096}));
    };
    auto once = [&](const auto& word, auto&& before, auto&& body, std::uint64_t most) {
        before();
        const std::uint64_t found = touches(word, body);
        EXPECT(found >= 1 && found <= most && good);
    };
    const std::uint64_t request_copy =
        touches_of_a_copy(request.opaque_bytes, &request, sizeof request);
    once(slot.caller.number, ask, receive, 1);
    once(slot.caller.server, ask, receive, 1);
    once(slot.caller.bytes, ask, receive, 1);
    once(request.opaque_bytes, ask, receive, request_copy);
    const std::uint64_t answer_copy = touches_of_a_copy(answer.chunks, &answer, sizeof answer);
    once(slot.called.number, respond, take, 1);
    once(slot.called.error, respond, take, 1);
    once(slot.called.bytes, respond, take, 1);
    once(answer.chunks, respond, take, answer_copy);
    once(answer.bytes, respond, take, touches_of_a_copy(answer.bytes, &answer, sizeof answer));
}
