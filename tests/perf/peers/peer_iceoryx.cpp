// iceoryx (Debian's, C++): publish-subscribe that blocks when full, and request-response; both
// sides polling. Its daemon iox-roudi runs meanwhile.
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

}  // namespace

int main(int count, char** words) {
    const peer::Pass pass = peer::parse(count, words);
    return peer::run(
        pass, [&] { return pass.call ? calls(pass) : take(pass); },
        [&] { pass.call ? answer() : publish(); });
}
