/// Whether a wait looks for its answer before it sleeps: whichever has brought answers of this kind
/// sooner lately.
///
/// On an idle machine a wake costs several times what the answer does; where the processors are
/// taken, looking keeps whoever answers from running. Which of them it is is found out by trying:
/// now and then a wait does the other thing, the less often the longer that has been the worse.
/// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hyplink::sys {

class LookOrSleep {
   public:
    /// What the next wait does.
    bool looks() {
        const bool tries = ++turn_ >= every_;
        if (tries) turn_ = 0;
        return better() != tries;
    }
    /// It looked, or did not, and had its answer after so many nanoseconds.
    void took(bool looked, std::int64_t nanoseconds) {
        const bool before = better();
        // One that something held up says little.
        const std::int64_t one = std::clamp(nanoseconds, std::int64_t{1}, kMost);
        std::int64_t& mean = looked ? looked_ : slept_;
        const bool other = looked != before;
        mean = mean == 0 ? one : mean + (one - mean) / (other ? 2 : kWeight);
        if (better() != before)
            every_ = kOften;
        else if (other)
            every_ = std::min(every_ * 2, kSeldom);
    }

   private:
    /// Both are tried first; what burns a processor has to be clearly better.
    bool better() const { return looked_ == 0 || (slept_ != 0 && looked_ * 5 < slept_ * 4); }

    static constexpr std::int64_t kMost = 1'000'000;
    static constexpr std::int64_t kWeight = 8;
    static constexpr std::uint32_t kOften = 8;
    static constexpr std::uint32_t kSeldom = 256;
    std::int64_t looked_ = 0;  // mean of late; 0: never
    std::int64_t slept_ = 0;
    std::uint32_t turn_ = 0;
    std::uint32_t every_ = kOften;
};

}  // namespace hyplink::sys
