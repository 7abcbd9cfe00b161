// vEvent through its C++ face: one device, two readers, on threads, with a seed, on processes.

#include <cstdlib>
#include <vector>

#include "check.hpp"
#include "hyplink/app/event/back_end.hpp"
#include "hyplink/app/event/front_end.hpp"
#include "hyplink/backend/bench.hpp"

using namespace hyplink;
using namespace hyplink::vevent;

namespace {

hyp::BoardSpec board() {
    hyp::BoardSpec spec;
    spec.vms = {{2, "device"}, {3, "one"}, {4, "two"}};
    spec.links = {{"vevent", 0, 2, 3, "vkp", "", 0}, {"vevent", 1, 2, 4, "vkp", "", 0}};
    return spec;
}

BackEndOptions keyboard() {
    BackEndOptions made;
    made.name = "vkp";
    std::memcpy(made.properties.name, "panel", 6);
    for (std::uint16_t code = 1; code < 100; ++code) made.properties.allow(EV_KEY, code);
    made.properties.allow(EV_SW, SW_LID);
    made.ring = 16;
    return made;
}

void press(BackEnd& back, std::uint16_t code, int value) {
    EXPECT(back.emit(EV_KEY, code, value).has_value());
    EXPECT(back.sync().has_value());
}

/// What is there now, its reports left out.
std::vector<InputEvent> rest(FrontEnd& front) {
    std::vector<InputEvent> found;
    InputEvent events[5];
    for (auto count = front.try_read(events); count; count = front.try_read(events))
        for (std::size_t i = 0; i < *count; ++i)
            if (!events[i].is(EV_SYN, SYN_REPORT)) found.push_back(events[i]);
    return found;
}

bool is(const InputEvent& event, std::uint16_t code, int value) {
    return event.is(EV_KEY, code) && event.value == value;
}

void story(backend::BackendKind kind, std::uint64_t seed) {
    backend::BenchOptions how;
    how.kind = kind;
    how.seeded = seed != 0;
    how.seed = seed;
    if (const char* program = std::getenv("HYPLINK_VM")) how.vm_program = program;
    auto made = backend::Bench::make(board(), how);
    REQUIRE(made.has_value());
    backend::Bench& bench = **made;
    Runtime& runtime = bench.runtime();
    const auto soon = [&] { return runtime.in(60'000'000'000); };
    for (const VmId vm : {2U, 3U, 4U}) REQUIRE(bench.boot(vm, soon()).has_value());
    std::vector<std::shared_ptr<app::Application>> applications;
    for (const VmId vm : {2U, 3U, 4U}) {
        auto application = bench.attach(vm);
        REQUIRE(application.has_value());
        applications.push_back(*application);
    }
    {
        auto opened = BackEnd::open(applications[0], keyboard(), soon());
        REQUIRE(opened.has_value());
        BackEnd& back = **opened;
        auto first = FrontEnd::open(applications[1], {.name = "vkp", .node = {}}, soon());
        auto second = FrontEnd::open(applications[2], {.name = {}, .node = "input/event0"}, soon());
        REQUIRE(first.has_value() && second.has_value());
        FrontEnd& one = **first;
        FrontEnd& two = **second;
        EXPECT(one.try_read({}).code() == Errc::link_down);
        REQUIRE(one.wait_on(soon()).has_value() && two.wait_on(soon()).has_value());
        REQUIRE(back.wait_front(3, soon()).has_value() && back.wait_front(4, soon()).has_value());
        EXPECT_EQ(std::string(one.properties().name), "panel");

        press(back, KEY_A, 1);
        EXPECT_EQ(rest(one).size(), 1U);
        EXPECT_EQ(rest(two).size(), 1U);
        EXPECT(back.set_focus(Focus::vm(4)).has_value());
        const auto released = rest(one);
        EXPECT(released.size() == 1 && is(released[0], KEY_A, 0));
        press(back, KEY_B, 1);
        EXPECT(rest(one).empty());
        EXPECT(two.state().on(EV_KEY, KEY_A));
        for (int i = 0; i < 20; ++i) press(back, KEY_C, i % 2 == 0 ? 1 : 0);
        press(back, KEY_D, 1);
        const auto kept = rest(two);
        EXPECT(kept.back().is(EV_SYN, SYN_DROPPED));
        EXPECT(two.state().on(EV_KEY, KEY_D));
        EXPECT(back.lost(4) != 0 && back.lost(4) == two.lost() && back.lost(3) == 0);
        EXPECT(back.emit(EV_KEY, 500, 1).code() == Errc::bad_argument);
        EXPECT(back.set_focus(Focus::vm(9)).code() == Errc::not_found);

        EXPECT(bench.kill(2).has_value());
        InputEvent events[8];
        auto last = two.read(events, soon());
        REQUIRE(last.has_value());
        for (std::size_t i = 0; i < *last; ++i) EXPECT(events[i].value == 0);
        EXPECT(two.read(events, soon()).code() == Errc::peer_dead);
        EXPECT(two.state().releases().empty());
    }
    bench.close();
}

}  // namespace

CHECK_CASE("one device and two readers on threads") { story(backend::BackendKind::thread, 0); }
CHECK_CASE("the same with a seed") { story(backend::BackendKind::thread, 7); }
CHECK_CASE("the same on processes") { story(backend::BackendKind::process, 0); }
