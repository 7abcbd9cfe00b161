// Whether a wait looks or sleeps first, by what each has brought.

#include "check.hpp"
#include "hyplink/sys/look_or_sleep.hpp"

using hyplink::sys::LookOrSleep;

namespace {

/// How many of so many waits look, where looking and sleeping take so long.
int lookers(LookOrSleep& way, int waits, std::int64_t looking, std::int64_t sleeping) {
    int count = 0;
    for (int wait = 0; wait < waits; ++wait) {
        const bool looks = way.looks();
        count += looks ? 1 : 0;
        way.took(looks, looks ? looking : sleeping);
    }
    return count;
}

}  // namespace

CHECK_CASE("where wakes are slow, waits look") {
    LookOrSleep way;
    EXPECT(lookers(way, 1'000, 8'000, 50'000) > 950);
}

CHECK_CASE("where looking keeps others from running, waits sleep, and try seldom") {
    LookOrSleep way;
    EXPECT(lookers(way, 10'000, 80'000, 20'000) < 400);
}

CHECK_CASE("what is not clearly better is not worth a processor") {
    LookOrSleep way;
    EXPECT(lookers(way, 10'000, 19'000, 20'000) < 400);
}

CHECK_CASE("waits change when the machine does") {
    LookOrSleep way;
    (void)lookers(way, 10'000, 80'000, 20'000);
    (void)lookers(way, 2'000, 8'000, 50'000);
    EXPECT(lookers(way, 1'000, 8'000, 50'000) > 950);
    (void)lookers(way, 2'000, 80'000, 20'000);
    EXPECT(lookers(way, 1'000, 80'000, 20'000) < 50);
}

CHECK_CASE("a machine that has changed is known within 150 waits") {
    LookOrSleep way;
    (void)lookers(way, 1'000, 80'000, 20'000);
    (void)lookers(way, 150, 8'000, 50'000);
    EXPECT(lookers(way, 32, 8'000, 50'000) > 20);
}

CHECK_CASE("what gets better in the second turn only is found out") {
    LookOrSleep way;
    int in_a_row = 0;
    int looked = 0;
    for (int wait = 0; wait < 2'000; ++wait) {
        const bool looks = way.looks();
        in_a_row = looks ? in_a_row + 1 : 0;
        looked += looks ? 1 : 0;
        way.took(looks, !looks ? 50'000 : in_a_row < 2 ? 70'000 : 40'000);
    }
    EXPECT(looked > 1'800);
}

CHECK_CASE("one answer that was held up changes little") {
    LookOrSleep way;
    (void)lookers(way, 1'000, 8'000, 50'000);
    way.took(true, 900'000'000);
    EXPECT(lookers(way, 1'000, 8'000, 50'000) > 900);
}
