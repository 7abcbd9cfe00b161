// A client's call, in whose midst its server does several things: after each instruction in turn.

#include "ring/rpq_pair.hpp"

using namespace test;

// Sanitizers make ten instructions of each, and keep signals back.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr unsigned long long kTrapFlag = 0x100;

/// Steps through what it is told to run, and lets the server act after the n-th instruction from
/// the one that published the request.
class Steps {
   public:
    explicit Steps(Pair& pair) : pair_(&pair) {
        here_ = this;
        struct sigaction action{};
        action.sa_handler = [](int) { here_->step(); };
        ::sigaction(SIGTRAP, &action, &before_);
    }
    ~Steps() { ::sigaction(SIGTRAP, &before_, nullptr); }
    Steps(const Steps&) = delete;
    Steps& operator=(const Steps&) = delete;

    /// Whether the n-th instruction was reached.
    bool run(std::uint32_t nth, const auto& body) {
        left_ = nth;
        taken_ = acted_ = false;
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | kTrapFlag);
        body();
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~kTrapFlag);
        return acted_;
    }

   private:
    void step() {
        if (acted_) return;
        if (!taken_) taken_ = static_cast<bool>(pair_->server->receive(1, pair_->runtime.in(0)));
        if (!taken_ || left_-- != 0) return;
        acted_ = true;
        const bool sent = pair_->server->callback_begin(1, 8, rpq::Drop::refuse, 0) &&
                          pair_->server->callback_post() && pair_->server->acknowledge();
        if (!sent) std::abort();
    }

    static inline Steps* here_ = nullptr;
    Pair* pair_;
    struct sigaction before_{};
    std::uint32_t left_ = 0;
    bool taken_ = false, acted_ = false;
};

}  // namespace

/// How many callbacks a client has handled.
class Handled {
   public:
    explicit Handled(Pair& pair) {
        pair.client->on_callback([this](const rpq::RequestView&) {
            ++count;
            return 0;
        });
    }
    std::uint32_t count = 0;
};

CHECK_CASE("a callback that was sent before an answer is handled before the call returns") {
    Pair pair;
    const Handled handled(pair);
    Steps steps(pair);
    std::uint32_t nth = 0;
    for (Errc outcome = Errc::ok;; ++nth) {
        REQUIRE(pair.client->begin_call(1, 8, 8));
        const bool reached =
            steps.run(nth, [&] { outcome = pair.client->call(pair.runtime.in(1'000'000)).code(); });
        if (!reached || outcome == Errc::timed_out) break;  // the call was over before that
        EXPECT_EQ(outcome, Errc::ok);
        REQUIRE(EXPECT_EQ(handled.count, nth + 1));
    }
    EXPECT(nth > 50);
}

CHECK_CASE("a callback that was sent before an answer is handled before a look finds the answer") {
    Pair pair;
    const Handled handled(pair);
    Steps steps(pair);
    std::uint32_t nth = 0;
    for (;; ++nth) {
        REQUIRE(pair.client->begin_call(1, 8, 8));
        REQUIRE(pair.client->call_start());
        Errc outcome = Errc::ok;
        if (!steps.run(nth, [&] { outcome = pair.client->try_reply().code(); })) break;
        if (outcome == Errc::would_block) outcome = pair.client->try_reply().code();
        EXPECT_EQ(outcome, Errc::ok);
        REQUIRE(EXPECT_EQ(handled.count, nth + 1));
    }
    EXPECT(nth > 10);
}

#else

CHECK_CASE("where a program cannot be stepped through, nothing is checked") {}

#endif
