// vEvent's ring: whole packets, what a full one says, and what a peer may write instead.

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/app/event/ring.hpp"

using namespace hyplink;
using namespace hyplink::vevent;

namespace {

Properties panel() {
    Properties made;
    for (std::uint16_t code = 1; code < 200; ++code) made.allow(EV_KEY, code);
    for (const int code : {ABS_X, ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_TRACKING_ID})
        made.allow(EV_ABS, static_cast<std::uint16_t>(code));
    made.abs[ABS_MT_SLOT].maximum = 3;
    made.allow(EV_SW, SW_LID);
    return made;
}

struct Pair {
    Hello hello;
    std::vector<std::uint64_t> back, front;
    RingMemory memory;
    State told, seen;
    Writer writer;
    Reader reader;

    explicit Pair(std::uint32_t ring) : front(8) {
        hello.ring = ring;
        hello.properties = panel();
        back.resize(RingMemory(hello).bytes / 8 + 8);
        memory = RingMemory(hello, reinterpret_cast<std::byte*>(back.data()),
                            reinterpret_cast<std::byte*>(front.data()));
        told = seen = State(hello.properties);
        writer.attach(memory, told);
        reader.attach(memory, hello.properties);
    }
    Writer::Wrote put(std::vector<InputEvent> packet) {
        packet.push_back(State::make(EV_SYN, SYN_REPORT, 0));
        return writer.put(packet, told);
    }
    std::vector<InputEvent> take(std::size_t most = 1000) {
        std::vector<InputEvent> out(most);
        out.resize(reader.take(out, seen));
        return out;
    }
};

InputEvent key(std::uint16_t code, int value) { return State::make(EV_KEY, code, value); }

/// What somebody who reads as evdev's documentation says believes of the keys.
struct Follower {
    std::vector<bool> down = std::vector<bool>(KEY_CNT);
    bool surprised = false;  ///< by a press of what is down, or a release of what is up
    bool skipping = false;
    void see(const InputEvent& event, const State& state) {
        if (event.is(EV_SYN, SYN_DROPPED)) {
            skipping = true;
            for (std::uint16_t code = 0; code < KEY_CNT; ++code)
                down[code] = state.on(EV_KEY, code);
        }
        if (event.is(EV_SYN, SYN_REPORT)) skipping = false;
        if (skipping || event.type != EV_KEY) return;
        surprised |= down[event.code] == (event.value != 0);
        down[event.code] = event.value != 0;
    }
    bool believes(const State& state) const {
        for (std::uint16_t code = 0; code < KEY_CNT; ++code)
            if (down[code] != state.on(EV_KEY, code)) return false;
        return true;
    }
};

}  // namespace

CHECK_CASE("packets come out as they went in, also when they are taken in parts") {
    Pair pair(16);
    EXPECT(pair.put({key(1, 1), key(2, 1)}) == Writer::Wrote::packet);
    EXPECT_EQ(pair.take(2).size(), 2U);
    EXPECT_EQ(pair.take(2).size(), 1U);
    EXPECT_EQ(pair.take(2).size(), 0U);
    EXPECT(pair.seen.on(EV_KEY, 2));
    EXPECT(pair.seen.words() == pair.told.words());
}

CHECK_CASE("a packet that does not fit is lost whole, and one mark stands for any number of them") {
    Pair pair(8);
    for (std::uint16_t code = 1; code <= 3; ++code)
        EXPECT(pair.put({key(code, 1)}) == Writer::Wrote::packet);
    EXPECT(pair.put({key(4, 1)}) == Writer::Wrote::mark);
    for (std::uint16_t code = 5; code <= 9; ++code)
        EXPECT(pair.put({key(code, 1)}) == Writer::Wrote::nothing);
    EXPECT_EQ(pair.writer.lost(), 6U);
    EXPECT_EQ(pair.reader.lost(), 6U);
    const auto got = pair.take();
    EXPECT_EQ(got.size(), 8U);
    EXPECT(got[6].is(EV_SYN, SYN_DROPPED) && got[7].is(EV_SYN, SYN_REPORT));
    EXPECT(pair.seen.on(EV_KEY, 9));
}

CHECK_CASE("a loss after the mark was taken, but not its report, has a mark of its own") {
    Pair pair(8);
    for (std::uint16_t code = 1; code <= 4; ++code) (void)pair.put({key(code, 1)});
    EXPECT_EQ(pair.take(7).size(), 7U);  // the mark, not its report
    EXPECT(pair.put({key(5, 1), key(6, 1), key(7, 1), key(8, 1), key(9, 1), key(10, 1)}) ==
           Writer::Wrote::mark);
    (void)pair.take();
    EXPECT(pair.seen.on(EV_KEY, 10));
}

CHECK_CASE("a reader that follows the rules believes the truth after any history") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 dice(seed);
        Pair pair(8U << dice() % 3);
        Follower follower;
        State truth = pair.told;
        for (int step = 0; step < 300; ++step) {
            if (dice() % 5 < 3) {
                std::vector<InputEvent> packet;
                for (unsigned i = 0; i <= dice() % 4; ++i) {
                    const auto code = static_cast<std::uint16_t>(1 + dice() % 20);
                    packet.push_back(key(code, truth.on(EV_KEY, code) ? 0 : 1));
                    truth.apply(packet.back());
                }
                (void)pair.put(packet);
            } else {
                for (const InputEvent& event : pair.take(1)) follower.see(event, pair.seen);
            }
        }
        for (auto got = pair.take(1); !got.empty(); got = pair.take(1))
            follower.see(got[0], pair.seen);
        EXPECT(pair.seen.words() == truth.words());
        EXPECT(follower.believes(truth) && !follower.surprised);
    }
}

CHECK_CASE("a reader that meets the writer within a packet keeps the mark back until its end") {
    Pair pair(8);
    for (std::uint16_t code = 1; code <= 4; ++code) (void)pair.put({key(code, 1)});
    EXPECT_EQ(pair.take(6).size(), 6U);
    const std::uint32_t even = pair.memory.epoch().load();
    pair.memory.epoch().store(even + 1);
    pair.memory.state(State::kKeysAt).store(0x55);  // half of the packet's changes
    EXPECT_EQ(pair.take().size(), 0U);
    EXPECT_EQ(pair.take().size(), 0U);
    EXPECT(pair.reader.fault().field == nullptr);
    EXPECT(!pair.seen.on(EV_KEY, 4));
    pair.memory.state(State::kKeysAt).store(pair.told.words()[State::kKeysAt]);
    pair.memory.epoch().store(even + 2);
    const auto got = pair.take();
    EXPECT_EQ(got.size(), 2U);
    EXPECT(got[0].is(EV_SYN, SYN_DROPPED) && got[1].is(EV_SYN, SYN_REPORT));
    EXPECT(pair.seen.words() == pair.told.words());
    EXPECT(pair.put({key(4, 0)}) == Writer::Wrote::packet);
    EXPECT_EQ(pair.take().size(), 2U);
    EXPECT(!pair.seen.on(EV_KEY, 4));
}

CHECK_CASE("the same with the two in threads of their own") {
    Pair pair(8);
    std::atomic<bool> over{false};
    Follower follower;
    std::uint64_t marks = 0;
    std::thread reading([&] {
        for (;;) {
            const bool last = over.load(std::memory_order_acquire);
            const auto got = pair.take(1);
            if (got.empty() && last) return;
            if (got.empty()) std::this_thread::yield();
            for (const InputEvent& event : got) {
                marks += event.is(EV_SYN, SYN_DROPPED);
                follower.see(event, pair.seen);
            }
        }
    });
    std::mt19937 dice(3);
    for (int step = 0; step < 300'000; ++step) {
        const auto code = static_cast<std::uint16_t>(1 + dice() % 20);
        (void)pair.put({key(code, pair.told.on(EV_KEY, code) ? 0 : 1)});
    }
    over.store(true, std::memory_order_release);
    reading.join();
    EXPECT(pair.seen.words() == pair.told.words());
    EXPECT(follower.believes(pair.told) && !follower.surprised);
    EXPECT(pair.writer.lost() == 0 || marks != 0);
}

CHECK_CASE("a reader that says it has taken what was not written is found out") {
    for (const std::uint32_t lie : {3U, 99U, 1U << 31, ~0U}) {
        Pair pair(8);
        (void)pair.put({key(1, 1)});
        pair.memory.tail().store(lie);
        EXPECT(pair.put({key(2, 1)}) == Writer::Wrote::fault);
        EXPECT_EQ(std::string(pair.writer.fault().field), "c_idx");
    }
    Pair pair(8);
    (void)pair.put({key(1, 1)});
    (void)pair.take();
    (void)pair.put({key(1, 0)});
    pair.memory.tail().store(1);  // back again
    EXPECT(pair.put({key(2, 1)}) == Writer::Wrote::fault);
}

CHECK_CASE("a writer that writes what cannot be is found out") {
    const auto lie = [](auto&& spoil) {
        Pair pair(8);
        (void)pair.put({key(1, 1)});
        spoil(pair);
        EXPECT_EQ(pair.take().size(), 0U);
        return std::string(pair.reader.fault().field);
    };
    EXPECT_EQ(lie([](Pair& pair) { pair.memory.head().store(9); }), "p_idx");
    EXPECT_EQ(lie([](Pair& pair) { pair.memory.head().store(~0U); }), "p_idx");
    const auto event = [&](InputEvent other) {
        return lie([&](Pair& pair) { std::memcpy(pair.memory.event(0), &other, sizeof other); });
    };
    EXPECT_EQ(event(key(500, 1)), "event");
    EXPECT_EQ(event(State::make(EV_REL, REL_X, 1)), "event");
    EXPECT_EQ(event(State::make(0xffff, 0xffff, 1)), "event");
    EXPECT_EQ(event(State::make(EV_SYN, 7, 1)), "event");
    InputEvent late = key(1, 1);
    late.usec = 1'000'000;
    EXPECT_EQ(event(late), "time");
    late.usec = -1;
    EXPECT_EQ(event(late), "time");
}

CHECK_CASE("whatever stands in shared memory, neither side leaves it") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937 dice(seed);
        Pair pair(8U << dice() % 4);
        const bool back_lies = dice() % 2 == 0;
        auto& lies = back_lies ? pair.back : pair.front;
        for (int step = 0; step < 60; ++step) {
            if (dice() % 3 == 0) {
                auto* words = reinterpret_cast<std::uint32_t*>(lies.data());
                const std::size_t count = back_lies ? pair.memory.bytes / 4 : 1;
                words[dice() % count] =
                    static_cast<std::uint32_t>(dice() % 2 == 0 ? dice() : dice() % 20);
            }
            const auto code = static_cast<std::uint16_t>(1 + dice() % 20);
            (void)pair.put({key(code, 1), State::make(EV_ABS, ABS_MT_SLOT, 2),
                            State::make(EV_ABS, ABS_MT_POSITION_X, 3)});
            const auto got = pair.take(1 + dice() % 5);
            EXPECT(std::all_of(got.begin(), got.end(), [&](const InputEvent& event) {
                return pair.hello.properties.has(event.type, event.code);
            }));
            (void)pair.seen.releases();
        }
    }
}

CHECK_CASE("a device that a peer describes is checked") {
    Hello hello;
    hello.properties = panel();
    EXPECT(Hello::from_words(hello.to_words()).code() == Errc::ok);
    EXPECT(Hello::from_words("").code() == Errc::protocol);
    hello.ring = 12;
    EXPECT(Hello::from_words(hello.to_words()).code() == Errc::bad_argument);
    hello.ring = 16;
    std::memset(hello.properties.name, 'x', sizeof hello.properties.name);
    EXPECT(Hello::from_words(hello.to_words()).code() == Errc::bad_argument);
    hello.properties = panel();
    hello.properties.abs[ABS_MT_SLOT].maximum = 64;
    EXPECT(Hello::from_words(hello.to_words()).code() == Errc::bad_argument);
    std::mt19937 dice(1);
    for (int round = 0; round < 20'000; ++round) {
        std::string words = hello.to_words();
        for (char& c : words)
            if (dice() % 8 == 0) c = static_cast<char>(dice());
        std::memcpy(words.data(), &Hello::kMagic, 4);
        if (const auto heard = Hello::from_words(words)) (void)State(heard->properties).releases();
    }
}
