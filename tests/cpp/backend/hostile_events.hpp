/// The honest side of vEvent beside a peer that has joined by hand and writes what it likes.
#pragma once

#include "backend/hostile_ends.hpp"
#include "backend/hostile_world.hpp"
#include "hyplink/app/event/back_end.hpp"
#include "hyplink/app/event/front_end.hpp"

namespace hostile {

/// A device with keys, a switch and numbered touches.
inline vevent::Properties panel() {
    vevent::Properties made;
    for (std::uint16_t code = 1; code < 100; ++code) made.allow(EV_KEY, code);
    for (const int code : {ABS_X, ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_TRACKING_ID})
        made.allow(EV_ABS, static_cast<std::uint16_t>(code));
    made.abs[ABS_MT_SLOT].maximum = 3;
    made.allow(EV_SW, SW_LID);
    return made;
}

constexpr std::uint32_t kEvents = 32;

/// The honest VM has the device.
struct EventBackMeeting final : Meeting {
    std::unique_ptr<vevent::BackEnd> mine;
    std::unique_ptr<Joined> theirs;

    explicit EventBackMeeting(World& world) {
        auto opened = vevent::BackEnd::open(
            world.honest, {.name = "panel", .properties = panel(), .ring = kEvents, .focus = {}},
            world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        both(
            [&] {
                theirs = std::make_unique<Joined>(
                    world,
                    port::Lookup{
                        .device = "vevent", .name = "panel", .role = guest::PortRole::client},
                    port::JoinOptions{.bytes = vevent::RingMemory::kFrontBytes});
            },
            [&] { EXPECT(mine->wait_front(kHostile, world.soon()).has_value()); });
        REQUIRE(theirs->port.membership != nullptr && mine->link(kHostile) != nullptr);
        // Its own word is one among the ring's hundreds, and the only one that is believed.
        shared = theirs->memory();
        shared.push_back({theirs->port.own, vevent::RingMemory::kFrontBytes});
        for (std::uint64_t taken = 0; taken < 80; taken += 2) crafted.push_back(taken);
    }
    Errc use(World&, std::mt19937& random) override {
        // Without waiting it is quick: many events a turn, so that some meet the other's writes.
        for (int turn = 0; turn < 64; ++turn) say(random);
        std::this_thread::yield();
        // A back end goes on; that it let go of this front end is what it says.
        gone = mine->link(kHostile) == nullptr;
        return gone ? Errc::corrupt : Errc::ok;
    }
    void say(std::mt19937& random) {
        const auto code = static_cast<std::uint16_t>(1 + random() % 99);
        const auto value = static_cast<std::int32_t>(random() % 2);
        switch (random() % 8) {
            case 0:
                EXPECT(mine->emit(EV_ABS, ABS_MT_SLOT, static_cast<std::int32_t>(random() % 6)));
                EXPECT(mine->emit(EV_ABS, ABS_MT_TRACKING_ID, value - 1));
                break;
            case 1:
                EXPECT(mine->emit(EV_SW, SW_LID, value));
                break;
            case 2:
                EXPECT(mine->set_focus(random() % 4 == 0 ? vevent::Focus::nobody()
                                                         : vevent::Focus::vm(kHostile)));
                break;
            default:
                EXPECT(mine->emit(EV_KEY, code, value));
        }
        if (random() % 4 != 0) EXPECT(mine->sync());
        EXPECT(mine->lost(kHostile) == mine->lost());
    }
};

/// The honest VM reads.
struct EventFrontMeeting final : Meeting {
    std::unique_ptr<vevent::FrontEnd> mine;
    std::unique_ptr<Joined> theirs;
    vevent::Hello hello;

    explicit EventFrontMeeting(World& world) {
        auto opened = vevent::FrontEnd::open(
            world.honest, {.name = "wheel", .node = {}, .peer = kHostile}, world.soon());
        REQUIRE(opened.has_value());
        mine = *std::move(opened);
        hello.ring = kEvents;
        hello.properties = panel();
        hello.properties.types[0] |= 1;  // EV_SYN
        port::JoinOptions options;
        options.bytes = vevent::RingMemory(hello).bytes;
        options.words = hello.to_words();
        both(
            [&] {
                theirs = std::make_unique<Joined>(
                    world,
                    port::Lookup{
                        .device = "vevent", .name = "wheel", .role = guest::PortRole::server},
                    options);
            },
            [&] { EXPECT(mine->wait_on(world.soon()).has_value()); });
        REQUIRE(theirs->port.membership != nullptr && mine->is_on());
        shared = theirs->memory();
        shared.push_back({theirs->port.own, vevent::RingMemory::kStateAt});  // its counts, often
    }
    bool craft(std::mt19937_64& random) const override {
        constexpr std::uint64_t kTypes[] = {EV_KEY, EV_KEY, EV_ABS, EV_ABS, EV_SYN, EV_SW};
        constexpr std::uint64_t kAxes[] = {ABS_MT_SLOT, ABS_MT_TRACKING_ID, ABS_X};
        std::byte* const at = theirs->port.own;
        switch (random() % 4) {
            case 0: {  // events up to as many as the ring has; some are lost
                const std::uint64_t lost = read_word(at + vevent::RingMemory::kLostAt);
                write_word(at + vevent::RingMemory::kLostAt, lost + 1);
                const std::uint64_t taken = read_word(theirs->port.peer);
                write_word(at, static_cast<std::uint32_t>(taken + kEvents - random() % 4));
                break;
            }
            case 1:  // the state is being changed, or was
                write_word(at + vevent::RingMemory::kEpochAt, random() % 4);
                break;
            default: {
                const vevent::RingMemory ring(hello, at, nullptr);
                std::byte* const event = ring.event(static_cast<std::uint32_t>(random()));
                const std::uint64_t type = kTypes[random() % std::size(kTypes)];
                const std::uint64_t code = type == EV_KEY   ? 1 + random() % 99
                                           : type == EV_SW  ? std::uint64_t{SW_LID}
                                           : type == EV_ABS ? kAxes[random() % std::size(kAxes)]
                                           : random() % 2   ? std::uint64_t{SYN_REPORT}
                                                            : std::uint64_t{SYN_DROPPED};
                write_word(event, random() % 4);
                write_word(event + 8, random() % 1'000'000);
                write_word(event + 16, type | code << 16 | (random() % 8 - 2) << 32);
            }
        }
        return true;
    }
    Errc use(World& world, std::mt19937& random) override {
        std::array<vevent::InputEvent, 2 * kEvents> room;
        vevent::InputEvent untouched;
        untouched.sec = -7;
        room.fill(untouched);
        const std::size_t most = 1 + random() % (room.size() - 1);
        const auto got = mine->read(std::span(room.data(), most), world.moment());
        (void)mine->lost();
        (void)mine->state().releases();
        const std::size_t count = got ? *got : 0;
        EXPECT(count <= most);
        for (std::size_t i = 0; i < count; ++i) {
            EXPECT(mine->properties().has(room[i].type, room[i].code));
            EXPECT(room[i].usec >= 0 && room[i].usec < 1'000'000);
        }
        for (std::size_t i = most; i < room.size(); ++i) EXPECT(room[i] == untouched);
        gone = got.code() == Errc::corrupt;
        return outcome(got);
    }
};

inline void events_work(World& world, const std::string& name, bool has_device) {
    auto back = vevent::BackEnd::open(
        has_device ? world.honest : world.hostile,
        {.name = name, .properties = panel(), .ring = kEvents, .focus = {}}, world.soon());
    auto front = vevent::FrontEnd::open(has_device ? world.hostile : world.honest,
                                        {.name = name, .node = {}, .peer = 0}, world.soon());
    REQUIRE(back.has_value() && front.has_value());
    both([&] { EXPECT((*back)->wait_front(has_device ? kHostile : kHonest, world.soon())); },
         [&] { EXPECT((*front)->wait_on(world.soon())); });
    EXPECT((*back)->emit(EV_KEY, KEY_A, 1) && (*back)->sync());
    std::array<vevent::InputEvent, 4> events;
    const auto got = (*front)->read(events, world.soon());
    REQUIRE(got.has_value());
    EXPECT(*got == 2 && events[0].is(EV_KEY, KEY_A) && events[0].value == 1);
}

}  // namespace hostile
