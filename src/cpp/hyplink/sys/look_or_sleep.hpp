/// Whether a wait looks for its answer before it sleeps: whichever has brought answers of this kind
/// sooner lately.
///
/// On an idle machine a wake costs several times what the answer does; where the processors are
/// taken, looking keeps whoever answers from running. Which of them it is is found out by trying:
/// now and then a wait does the other thing, the less often the longer that has been the worse.
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
        ++turn_;
        if (looked_.count < kEnough || slept_.count < kEnough) return turn_ % 2 == 0;
        const bool tries = turn_ >= every_;
        if (tries) turn_ = 0;
        return better() != tries;
    }
    /// It looked, or did not, and had its answer after so many nanoseconds.
    void took(bool looked, std::int64_t nanoseconds) {
        const bool before = better();
        (looked ? looked_ : slept_).put(nanoseconds);
        if (better() != before)
            every_ = kOften;
        else if (looked != before)
            every_ = std::min(every_ * 2, kSeldom);
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
    /// What burns a processor has to be clearly better.
    bool better() const { return looked_.middle * 5 < slept_.middle * 4; }

    static constexpr std::uint32_t kEnough = 2;
    static constexpr std::uint32_t kOften = 8;
    static constexpr std::uint32_t kSeldom = 32;
    Lately looked_;
    Lately slept_;
    std::uint32_t turn_ = 0;
    std::uint32_t every_ = kOften;
};

}  // namespace hyplink::sys
