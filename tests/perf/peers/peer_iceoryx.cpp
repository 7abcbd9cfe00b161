// iceoryx (Debian's, C++): publish-subscribe that blocks when full, and request-response; both
// sides polling; a frame of 4 MiB loaned and sent, there and back. Its daemon iox-roudi runs
// meanwhile.
#include <iceoryx_posh/popo/client.hpp>
#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/server.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "peer.hpp"

namespace {

using namespace iox;

struct Uniform {
    std::int32_t location;
    float v[4];
    std::uint32_t spare[11];
};
struct Pair {
    std::int32_t a, b;
};
const capro::ServiceDescription kCall{"hyplink", "peer", "call"};
const capro::ServiceDescription kStream{"hyplink", "peer", "stream"};

double calls(const peer::Pass& pass) {
    runtime::PoshRuntime::initRuntime("hyplink-peer-client");
    popo::Client<Pair, std::int32_t> client(kCall);
    while (client.getConnectionState() != ConnectionState::CONNECTED) ::sched_yield();
    return peer::calls(pass, [&](std::int32_t a) {
        client.loan()
            .and_then([&](auto& request) {
                request->a = request->b = a;
                request.send().or_else([](auto&) { std::abort(); });
            })
            .or_else([](auto&) { std::abort(); });
        for (bool got = false; !got;)
            client.take().and_then([&](const auto& sum) {
                got = true;
                if (*sum != 2 * a) std::abort();
            });
    });
}

void answer() {
    runtime::PoshRuntime::initRuntime("hyplink-peer-server");
    popo::Server<Pair, std::int32_t> server(kCall);
    for (;;)
        server.take().and_then([&](const auto& request) {
            server.loan(request)
                .and_then([&](auto& response) {
                    *response = request->a + request->b;
                    response.send().or_else([](auto&) { std::abort(); });
                })
                .or_else([](auto&) { std::abort(); });
        });
}

double take(const peer::Pass& pass) {
    runtime::PoshRuntime::initRuntime("hyplink-peer-client");
    popo::SubscriberOptions options;
    options.queueCapacity = 256;
    options.queueFullPolicy = popo::QueueFullPolicy::BLOCK_PRODUCER;
    popo::Subscriber<Uniform> subscriber(kStream, options);
    while (subscriber.getSubscriptionState() != SubscribeState::SUBSCRIBED) ::sched_yield();
    double total = 0;
    const std::int64_t start = measure::now();
    for (std::uint64_t taken = 0; taken != pass.rounds;)
        subscriber.take().and_then([&](const auto& sample) {
            total += sample->location + sample->v[0] + sample->v[3];
            ++taken;
        });
    const double figure = peer::rate(pass, measure::now() - start);
    return total > 0 ? figure : 0;
}

void publish() {
    runtime::PoshRuntime::initRuntime("hyplink-peer-server");
    popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    popo::Publisher<Uniform> publisher(kStream, options);
    while (!publisher.hasSubscribers()) ::sched_yield();
    for (std::uint64_t i = 0;; ++i) {
        const auto v = static_cast<float>(i & 1023);
        publisher.loan().and_then([&](auto& sample) {
            *sample = Uniform{static_cast<std::int32_t>(i), {v, v, v, v}, {}};
            sample.publish();
        });
    }
}

/// Its ends are written and looked at; nothing else of it is touched.
struct Frame {
    std::uint64_t first;
    std::byte middle[peer::kFrame - 16];
    std::uint64_t last;
    Frame() {}  // a loan must not fill it
};
static_assert(sizeof(Frame) == peer::kFrame);
const capro::ServiceDescription kThere{"hyplink", "peer", "there"};
const capro::ServiceDescription kBack{"hyplink", "peer", "back"};

/// One side: a frame out, a frame in, or the other way round.
class FrameEnd {
   public:
    FrameEnd(const capro::ServiceDescription& out, const capro::ServiceDescription& in)
        : publisher_(out), subscriber_(in) {
        while (!publisher_.hasSubscribers()) ::sched_yield();
        while (subscriber_.getSubscriptionState() != SubscribeState::SUBSCRIBED) ::sched_yield();
    }
    void send(std::uint64_t value) {
        publisher_.loan()
            .and_then([&](auto& sample) {
                sample->first = sample->last = value;
                sample.publish();
            })
            .or_else([](auto&) { std::abort(); });
    }
    std::uint64_t take() {
        for (;;) {
            std::uint64_t value = 0;
            subscriber_.take().and_then([&](const auto& sample) {
                value = sample->first;
                if (value != sample->last) std::abort();
            });
            if (value != 0) return value;
        }
    }

   private:
    popo::Publisher<Frame> publisher_;
    popo::Subscriber<Frame> subscriber_;
};

double frames(const peer::Pass& pass) {
    runtime::PoshRuntime::initRuntime("hyplink-peer-client");
    auto end = std::make_unique<FrameEnd>(kThere, kBack);
    return peer::calls(pass, [&](std::int32_t i) {
        const auto value = static_cast<std::uint64_t>(i) + 1;
        end->send(value);
        if (end->take() != value + 1) std::abort();
    });
}

void frames_back() {
    runtime::PoshRuntime::initRuntime("hyplink-peer-server");
    auto end = std::make_unique<FrameEnd>(kBack, kThere);
    for (;;) end->send(end->take() + 1);
}

}  // namespace

int main(int count, char** words) {
    const peer::Pass pass = peer::parse(count, words);
    return peer::run(
        pass, [&] { return pass.frame  ? frames(pass)
                           : pass.call ? calls(pass)
                                       : take(pass); },
        [&] { pass.frame  ? frames_back()
              : pass.call ? answer()
                          : publish(); });
}
