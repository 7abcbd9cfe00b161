/// Whether a wait looks for its answer before it sleeps: whichever has brought answers of this kind
/// sooner lately.
///
/// On an idle machine a wake costs several times what the answer does; where the processors are
/// taken, looking keeps whoever answers from running. Which of them it is is found out by trying:
/// now and then a few waits do the other thing, the less often the longer that has been the worse.
/// A few, because all that take part find other processors then, which takes them a turn or two.
/// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace hyplink::sys {

class LookOrSleep {
   public:
    /// What the next wait does.
    bool looks() {
        const std::uint32_t turn = turn_++;
        if (looked_.count < kRun || slept_.count < kRun) return turn / kRun % 2 != 0;
        if (turn_ >= every_ + kRun) turn_ = 0;
        return better_ != (turn >= every_);
    }
    /// It looked, or did not, and had its answer after so many nanoseconds.
    void took(bool looked, std::int64_t nanoseconds) {
        (looked ? looked_ : slept_).put(nanoseconds);
        if (turn_ != 0) return;  // judged when all of them have tried
        // What burns a processor has to be clearly better.
        const bool better = looked_.middle * 10 < slept_.middle * 9;
        every_ = better != better_ ? kOften : std::min(every_ * 2, kSeldom);
        better_ = better;
    }

   private:
    /// The last few answers; the middle one counts, so one that something held up says nothing.
    struct Lately {
        std::array<std::int64_t, 3> last{};
        std::uint32_t count = 0;
        std::int64_t middle = 0;
        void put(std::int64_t one) {
            last[count++ % last.size()] = one;
            auto sorted = last;
            const auto some = std::min<std::ptrdiff_t>(count, std::ssize(last));
            const auto in_the_middle = sorted.begin() + some / 2;
            std::nth_element(sorted.begin(), in_the_middle, sorted.begin() + some);
            middle = *in_the_middle;
        }
    };
    static constexpr std::uint32_t kRun = 4;
    static constexpr std::uint32_t kOften = 16;
    static constexpr std::uint32_t kSeldom = 128;
    Lately looked_;
    Lately slept_;
    bool better_ = false;
    std::uint32_t turn_ = 0;
    std::uint32_t every_ = kOften;
};

}  // namespace hyplink::sys
