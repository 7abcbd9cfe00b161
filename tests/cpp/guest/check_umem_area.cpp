// The two halves of a vUmem PDEV: what one kernel writes the other reads, and what a hostile one
// may write instead is refused with its field's name.

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/umem_area.hpp"

using namespace hyplink;
using namespace hyplink::guest::umem;

namespace {

constexpr std::uint64_t kHalf = 1024;

struct Half {
    alignas(64) std::byte memory[kHalf] = {};
    CallerEnd caller{memory, kHalf};
    CalledEnd called{memory, kHalf};

    Half() {
        caller.reset();
        called.reset();
    }
    Slot& slot() { return *reinterpret_cast<Slot*>(memory); }
    std::byte* data() { return memory + sizeof(Slot); }
    void ask(Command command = Command::alloc) {
        Request request{};
        request.command = static_cast<std::uint32_t>(command);
        caller.call(7, request);
    }
    /// One call and a good answer with that many chunks.
    void answered(std::size_t chunks) {
        ask();
        (void)called.poll();
        Answer head{};
        head.buffer = 1;
        called.answer(7, 0, head, std::vector<Chunk>(chunks, Chunk{4096, 4096}));
    }
};

bool names(const Error& error, const char* field) {
    return error.code() == Errc::corrupt && error.text().find(field) != std::string::npos;
}

}  // namespace

CHECK_CASE("a call reaches the other side once, its answer comes back once") {
    Half half;
    for (std::uint32_t round = 0; round < 3; ++round) {
        half.ask(Command::free);
        auto call = half.called.poll();
        REQUIRE(call && call->has_value());
        EXPECT_EQ((*call)->server, 7U);
        EXPECT(!half.called.poll()->has_value());
        EXPECT(!half.caller.poll()->has_value());
        Answer head{};
        head.buffer = round;
        half.called.answer(7, 12, head, {});
        auto reply = half.caller.poll();
        REQUIRE(reply && reply->has_value());
        EXPECT_EQ((*reply)->error, 12);
        EXPECT_EQ((*reply)->head.buffer, round);
        EXPECT(!half.caller.poll()->has_value());
        EXPECT(!half.called.poll()->has_value());
    }
}

CHECK_CASE("as many chunks as the half holds arrive, and the area says how many that are") {
    Half half;
    half.answered(chunks_in(2 * kHalf));
    auto reply = half.caller.poll();
    REQUIRE(reply && reply->has_value());
    EXPECT_EQ((*reply)->chunks.size(), (kHalf - sizeof(Slot) - sizeof(Answer)) / sizeof(Chunk));
}

CHECK_CASE("an answer longer than the half, or shorter than its head, is refused") {
    for (std::uint32_t bytes : {0U, 159U, 1024U - 127U, 0x7fffffffU, 0xffffffffU}) {
        Half half;
        half.answered(1);
        half.slot().called.bytes = bytes;
        auto reply = half.caller.poll();
        EXPECT(!reply && names(reply.error(), "answer size"));
    }
}

CHECK_CASE("a chunk list that lies about its length is refused") {
    for (std::uint32_t chunks : {0U, 2U, 1000U, 0xffffffffU}) {
        Half half;
        half.answered(1);
        reinterpret_cast<Answer*>(half.data())->chunks = chunks;
        auto reply = half.caller.poll();
        EXPECT(!reply && names(reply.error(), "number of chunks"));
    }
    Half half;
    half.answered(1);
    half.slot().called.bytes = sizeof(Answer) + 8;  // half a chunk
    EXPECT(names(half.caller.poll().error(), "number of chunks"));
}

CHECK_CASE("an answer to a call that was never made is refused, the last one's is waited past") {
    Half half;
    half.answered(0);
    REQUIRE(half.caller.poll()->has_value());
    half.ask();
    EXPECT(!half.caller.poll()->has_value());
    half.slot().called.number.store(77);
    EXPECT(names(half.caller.poll().error(), "answer number"));
}

CHECK_CASE("a call of the wrong size or with too long an argument is refused") {
    for (std::uint32_t bytes : {0U, 159U, 161U, 0xffffffffU}) {
        Half half;
        half.ask();
        half.slot().caller.bytes = bytes;
        EXPECT(names(half.called.poll().error(), "call size"));
    }
    for (std::uint32_t bytes : {129U, 0xffffffffU}) {
        Half half;
        half.ask();
        reinterpret_cast<Request*>(half.data())->opaque_bytes = bytes;
        EXPECT(names(half.called.poll().error(), "opaque"));
    }
}

CHECK_CASE("a second call before the answer is refused") {
    Half half;
    half.ask();
    REQUIRE(half.called.poll()->has_value());
    half.slot().caller.number.fetch_add(1);
    EXPECT(names(half.called.poll().error(), "call number"));
}

CHECK_CASE("whatever stands in the half, both ends return and stay in their memory") {
    std::mt19937_64 random(5);
    for (int round = 0; round < 20000; ++round) {
        Half half;
        half.ask();
        (void)half.called.poll();
        for (std::byte& byte : half.memory)
            if (random() % 4 == 0) byte = static_cast<std::byte>(random());
        if (round % 2 == 0) half.slot().called.number.store(1);
        if (auto reply = half.caller.poll(); reply && reply->has_value())
            EXPECT((*reply)->chunks.size() <= chunks_in(2 * kHalf));
        CalledEnd fresh(half.memory, kHalf);
        if (auto call = fresh.poll(); call && call->has_value())
            EXPECT((*call)->request.opaque_bytes <= kMaxOpaque);
    }
}
