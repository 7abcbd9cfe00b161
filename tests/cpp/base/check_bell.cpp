// Every interleaving of the bell's protocol, in a model of sequentially consistent steps.
//
// Owner: look at the count; look at the state; arm; look at the count again; sleep until woken or
// the count differs.
//
// Ringer, several times: change the state; count; look whether armed; take that off; count once
// more; wake.
//
// Each of these is one step. The model walks all orders; it stands for bell.hpp as long as the
// steps stay in this order.

#include <set>
#include <tuple>

#include "check.hpp"
#include "hyplink/base/bell.hpp"

namespace {

struct World {
    int rung = 0, armed = 0, state = 0;
    int owner = 0, seen = 0;
    bool asleep = false;
    int ringer[2] = {0, 0};
    int rings[2] = {0, 0};
    int saw[2] = {0, 0};

    auto key() const {
        return std::tuple(rung, armed, state, owner, seen, asleep, ringer[0], ringer[1], rings[0],
                          rings[1], saw[0], saw[1]);
    }
};

/// Variants of the protocol: the real one, and broken ones that the walk must see through.
struct Rules {
    bool look_again = true;    ///< the owner looks at the count between arm and sleep
    bool count_first = true;   ///< the ringer counts before it looks whether the owner is armed
    bool futex_checks = true;  ///< the sleep itself compares the count once more
    bool count_twice = true;   ///< whoever took the arming off counts again before it wakes
};

struct Walk {
    Rules rules;
    int ringers;
    int each;  ///< rings of each
    std::set<decltype(World{}.key())> visited{};
    int stuck = 0;

    bool owner_step(World& w) const {
        switch (w.owner) {
            case 0:
                w.seen = w.rung;
                w.owner = 1;
                return true;
            case 1:
                w.owner = w.state == ringers * each ? 9 : 2;
                return true;  // 9: it saw everything
            case 2:
                w.armed = 1;
                w.owner = 3;
                return true;
            case 3:
                w.owner = rules.look_again && w.rung != w.seen ? 5 : 4;
                return true;
            case 4:
                if (w.asleep) return false;  // until a ringer wakes it
                if (rules.futex_checks && w.rung != w.seen)
                    w.owner = 5;
                else
                    w.asleep = true;
                return true;
            case 5:
                w.armed = 0;
                w.owner = 0;
                return true;
            default:
                return false;
        }
    }
    bool ringer_step(World& w, int i) const {
        int& at = w.ringer[i];
        const int count = rules.count_first ? 1 : 2;
        bool done = false;
        if (w.rings[i] == each) return false;
        if (at == 0) {
            ++w.state;
        } else if (at == count) {
            ++w.rung;
        } else if (at < 3) {
            w.saw[i] = w.armed;
        } else if (at == 3) {
            done = w.saw[i] == 0 || w.armed == 0;
            w.armed = done ? w.armed : 0;
        } else if (at == 4) {
            if (rules.count_twice) ++w.rung;
        } else {
            if (w.asleep) {
                w.asleep = false;
                w.owner = 5;
            }
            done = true;
        }
        ++at;
        if (done) {
            at = w.saw[i] = 0;
            ++w.rings[i];
        }
        return true;
    }
    void go(const World& w) {
        if (!visited.insert(w.key()).second) return;
        bool moved = false;
        World next = w;
        if (owner_step(next)) {
            moved = true;
            go(next);
        }
        for (int i = 0; i < ringers; ++i) {
            next = w;
            if (ringer_step(next, i)) {
                moved = true;
                go(next);
            }
        }
        if (!moved && w.owner != 9) ++stuck;
    }
};

int stuck(Rules rules, int ringers, int each) {
    Walk walk{rules, ringers, each};
    walk.go(World{});
    EXPECT(walk.visited.size() > 50);
    return walk.stuck;
}

}  // namespace

CHECK_CASE(
    "no ring is lost between look and sleep, whatever the interleaving of one or two ringers") {
    EXPECT_EQ(stuck({}, 1, 1), 0);
    EXPECT_EQ(stuck({}, 1, 4), 0);
    EXPECT_EQ(stuck({}, 2, 1), 0);
    EXPECT_EQ(stuck({}, 2, 2), 0);
}

CHECK_CASE(
    "a slow ringer that takes off a later arming would lose the next ring if it counted once "
    "only") {
    EXPECT(stuck({.count_twice = false}, 1, 2) > 0);
    EXPECT(stuck({.count_twice = false}, 2, 1) > 0);
}

CHECK_CASE(
    "the kernel's own comparison alone would do too; without any second look a ring is lost") {
    EXPECT_EQ(stuck({.look_again = false}, 2, 2), 0);
    EXPECT(stuck({.look_again = false, .futex_checks = false}, 2, 1) > 0);
}

CHECK_CASE("a ringer that looked before it counted would lose a wake") {
    EXPECT(stuck({.count_first = false}, 1, 1) > 0);
}

CHECK_CASE("a ring of an awake owner wakes nobody; of a sleeping one exactly one ringer") {
    hyplink::BellWords bell{};
    EXPECT_EQ(hyplink::bell_ring(bell), hyplink::kBellAwake);
    hyplink::bell_arm(bell, hyplink::kBellHook);
    EXPECT_EQ(hyplink::bell_ring(bell), hyplink::kBellHook);
    EXPECT_EQ(hyplink::bell_ring(bell), hyplink::kBellAwake);
    EXPECT_EQ(hyplink::bell_seen(bell), 4);  // one of the three counted twice
}
