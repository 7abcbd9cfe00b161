// vEvent: an application that has a device and reads another one, beside a VM that says what it
// likes of its own device and writes anything anywhere: events, the state, positions, and what the
// two kernels tell each other.
#include "hyplink/app/event/back_end.hpp"
#include "hyplink/app/event/front_end.hpp"
#include "hyplink/guest/port_end.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "peers.hpp"

using namespace hyplink;
using namespace hyplink::vevent;
using fuzz::kNow;

namespace {

constexpr std::uint64_t kSides = 2 * sizeof(guest::PortSide);
constexpr const char* kNames[] = {"panel", "wheel"};  // the victim's device, the peer's

Properties device(std::int32_t touches) {
    Properties made;
    for (std::uint16_t code = 1; code < 60; ++code) made.allow(EV_KEY, code);
    for (const int code : {ABS_X, ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_TRACKING_ID})
        made.allow(EV_ABS, static_cast<std::uint16_t>(code));
    made.abs[ABS_MT_SLOT].maximum = touches;
    made.allow(EV_SW, SW_LID);
    return made;
}

class Victim {
   public:
    Victim(fuzz::Pair& pair, fuzz::Input& input) : pair_(pair), input_(input) {}

    void emits() {
        if (!back_) {
            const BackEndOptions options{
                .name = "panel", .properties = device(3), .ring = 16, .focus = {}};
            if (auto made = BackEnd::open(pair_.application, options, kNow))
                back_ = *std::move(made);
            return;
        }
        const std::uint8_t what = input_.byte();
        const auto value = static_cast<std::int32_t>(input_.byte());
        if (what < 8) return back_.reset();
        if (what < 16) return (void)back_->wait_front(fuzz::kClientVm, kNow);
        if (what < 32)
            FUZZ_CHECK(back_->set_focus(value % 3 == 0   ? Focus::nobody()
                                        : value % 3 == 1 ? Focus::everybody()
                                                         : Focus::vm(fuzz::kClientVm)));
        else if (what < 80)
            FUZZ_CHECK(back_->emit(EV_ABS, ABS_MT_SLOT, value % 8 - 2));
        else if (what < 112)
            FUZZ_CHECK(back_->emit(EV_ABS, ABS_MT_TRACKING_ID, value % 4 - 1));
        else if (what < 128)
            FUZZ_CHECK(back_->emit(EV_SW, SW_LID, value % 2));
        else
            FUZZ_CHECK(back_->emit(EV_KEY, static_cast<std::uint16_t>(1 + what % 59), value % 3));
        if (value < 160) FUZZ_CHECK(back_->sync());
        FUZZ_CHECK(back_->lost() == back_->lost(fuzz::kClientVm));
    }

    void reads() {
        if (!front_) {
            if (auto made = FrontEnd::open(pair_.application,
                                           {.name = "wheel", .node = {}, .peer = 0}, kNow))
                front_ = *std::move(made);
            return;
        }
        const std::uint8_t what = input_.byte();
        if (what < 8) return front_.reset();
        if (!front_->is_on() && what < 200) (void)front_->try_on();
        if (front_->link() == nullptr) return;  // nobody has ever been there
        FUZZ_CHECK(front_->properties().check());
        std::vector<InputEvent> room(1 + what % 80);
        const auto got = front_->try_read(room);
        (void)front_->lost();
        if (!got) {
            FUZZ_CHECK(got.code() != Errc::internal);
            return;
        }
        FUZZ_CHECK(*got != 0 && *got <= room.size());
        for (std::size_t i = 0; i < *got; ++i) {
            FUZZ_CHECK(front_->properties().has(room[i].type, room[i].code));
            FUZZ_CHECK(room[i].usec >= 0 && room[i].usec < 1'000'000 && room[i].sec >= 0);
        }
        // Whatever is believed of the device, all of it can be let go.
        FUZZ_CHECK(front_->state().releases().size() <=
                   KEY_CNT + 2 * front_->properties().touches());
    }

   private:
    fuzz::Pair& pair_;
    fuzz::Input& input_;
    std::unique_ptr<BackEnd> back_;
    std::unique_ptr<FrontEnd> front_;
};

/// What the peer's application says to its kernel, mostly as the library would.
void join(fuzz::Pair& pair, fuzz::Input& input, std::uint32_t (&ends)[2]) {
    const std::uint32_t which = input.byte() % 2;
    std::uint32_t& end = ends[which];
    if (end == 0) {
        const std::uint32_t opened = pair.writer.ask(guest::Sys::open, 0, {}, "vevent");
        end = pair.writer.ask(guest::Sys::port_lookup, opened, {2, 0, 0}, kNames[which]);
        pair.writer.close(opened);
        if (end == 0) return;
    }
    const std::uint8_t how = input.byte();
    if (how < 24) return pair.writer.close(std::exchange(end, 0));
    std::string words;
    std::uint64_t bytes = RingMemory::kFrontBytes;
    if (which == 1) {
        Hello hello;
        hello.ring = 8U << input.byte() % 4;
        hello.properties = device(static_cast<std::int32_t>(input.byte() % 66) - 1);
        words = hello.to_words();
        if (how < 96)
            words[input.below(static_cast<std::uint32_t>(words.size()))] ^=
                static_cast<char>(1 + input.byte() % 255);
        bytes = hello.check() ? RingMemory(hello).bytes : std::uint64_t{4096};
    }
    if (how < 40) words = input.text(140);
    if (how >= 40 && how < 56) bytes = input.number();
    pair.writer.ask(guest::Sys::port_join, end, {bytes, how % 2 == 0 ? 2U : 0U}, words);
}

/// An event as it may be, or its number of events, into the newest of the peer's ports.
void publish(fuzz::Pair& pair, fuzz::Input& input) {
    constexpr std::uint16_t kEvents[][2] = {
        {EV_KEY, 5},           {EV_KEY, 6}, {EV_SYN, SYN_REPORT},        {EV_SYN, SYN_DROPPED},
        {EV_ABS, ABS_MT_SLOT}, {EV_SW, 0},  {EV_ABS, ABS_MT_TRACKING_ID}};
    if (pair.writer.regions.empty()) return;
    const auto bytes = pair.writer.regions.back()->bytes();
    Hello hello;
    hello.ring = 8U << input.byte() % 4;
    hello.properties = device(3);
    const std::size_t at = rpq::kRingAt;
    const RingMemory ring(hello, bytes.data() + at);
    if (at + ring.bytes > bytes.size()) return;
    const std::uint8_t what = input.byte();
    InputEvent event;
    event.type = kEvents[what % std::size(kEvents)][0];
    event.code = kEvents[what % std::size(kEvents)][1];
    event.value = static_cast<std::int32_t>(input.byte()) % 5 - 1;
    const std::uint32_t head = ring.head().load();
    std::memcpy(ring.event(head), &event, sizeof event);
    ring.head().store(head + 1);
}

}  // namespace

void fuzz::one(Input& input) {
    Pair pair({{"vevent", 0, kServerVm, kClientVm, "panel", "", 1 << 20},
               {"vevent", 1, kClientVm, kServerVm, "wheel", "", 1 << 20}},
              {{0, kSides, true}, {1, kSides, true}});
    std::uint32_t ends[2] = {};
    Victim victim(pair, input);
    for (int step = 0; step < 160 && !input.empty(); ++step) {
        const std::uint8_t what = input.byte();
        if (what < 40) {
            join(pair, input, ends);
        } else if (what < 60) {
            pair.disturb_port(input, 2048);
        } else if (what < 100) {
            publish(pair, input);
        } else if (what < 112) {
            pair.disturb_kernel(input);
        } else if (what < 115) {
            pair.writer.start_again(what % 2 == 0);
            for (std::uint32_t& end : ends) end = 0;
        } else if (what < 180) {
            victim.emits();
        } else {
            victim.reads();
        }
    }
}
