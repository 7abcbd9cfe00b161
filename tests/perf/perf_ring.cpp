// Asynchronous requests against a bare single-producer ring of 64-byte messages.

#include <array>

#include "port_pair.hpp"

namespace {

using measure::Options;
using measure::PortPair;
using measure::Shared;

constexpr std::uint64_t kSlots = 4096;

struct Message {
    std::array<std::uint64_t, 8> words;
};

/// The limit: two indexes, each side caches the other's; the reader reads all 64 bytes.
double bare_ring(const Options& options, std::uint64_t rounds, std::uint64_t batch) {
    const Shared memory(4096 + kSlots * sizeof(Message));
    auto& head = memory.at<std::atomic<std::uint64_t>>(0);
    auto& tail = memory.at<std::atomic<std::uint64_t>>(128);
    auto* const slots = &memory.at<Message>(4096);
    const auto writer = [&] {
        std::uint64_t seen_tail = 0;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            while (i - seen_tail == kSlots) {
                head.store(i, std::memory_order_release);
                seen_tail = tail.load(std::memory_order_acquire);
                measure::idle(options.same_core);
            }
            Message& slot = slots[i % kSlots];
            for (std::uint64_t word = 0; word < 8; ++word) slot.words[word] = i + word;
            if ((i + 1) % batch == 0) head.store(i + 1, std::memory_order_release);
        }
        head.store(rounds, std::memory_order_release);
    };
    const auto reader = [&] {
        std::uint64_t sum = 0;
        std::uint64_t at = 0;
        while (at != rounds) {
            const std::uint64_t seen = head.load(std::memory_order_acquire);
            if (seen == at) {
                measure::idle(options.same_core);
                continue;
            }
            for (; at != seen; ++at)
                for (const std::uint64_t word : slots[at % kSlots].words) sum += word;
            tail.store(at, std::memory_order_release);
        }
        return sum;
    };
    return measure::in_two_processes(
        options,
        [&] {
            const std::int64_t start = measure::now();
            volatile std::uint64_t sum = reader();
            static_cast<void>(sum);
            return static_cast<double>(rounds) * 1e3 / static_cast<double>(measure::now() - start);
        },
        writer);
}

/// The bare RPC queue: slots of 64 bytes, a bell for each batch that wakes only a sleeper.
double bare_queue(const Options& options, std::uint64_t rounds, std::uint64_t batch) {
    const Shared memory(4096 + kSlots * sizeof(Message));
    auto& head = memory.at<std::atomic<std::uint64_t>>(0);
    auto& tail = memory.at<std::atomic<std::uint64_t>>(128);
    auto& bell = memory.at<hyplink::BellWords>(256);
    auto* const slots = &memory.at<Message>(4096);
    const auto client = [&] {
        std::uint64_t seen_tail = 0;
        const auto publish = [&](std::uint64_t upto) {
            head.store(upto, std::memory_order_release);
            if (hyplink::bell_ring(bell) != hyplink::kBellAwake) std::abort();
        };
        for (std::uint64_t i = 0; i < rounds; ++i) {
            while (i - seen_tail == kSlots) {
                seen_tail = tail.load(std::memory_order_acquire);
                measure::idle(options.same_core);
            }
            Message& slot = slots[i % kSlots];
            for (std::uint64_t word = 0; word < 8; ++word) slot.words[word] = i + word;
            if ((i + 1) % batch == 0) publish(i + 1);
        }
        publish(rounds);
    };
    return measure::in_two_processes(
        options,
        [&] {
            const std::int64_t start = measure::now();
            std::uint64_t sum = 0;
            for (std::uint64_t at = 0; at != rounds;) {
                const std::uint64_t seen = head.load(std::memory_order_acquire);
                if (seen == at) {
                    measure::idle(options.same_core);
                    continue;
                }
                for (; at != seen; ++at)
                    for (const std::uint64_t word : slots[at % kSlots].words) sum += word;
                tail.store(at, std::memory_order_release);
            }
            volatile std::uint64_t kept = sum;
            static_cast<void>(kept);
            return static_cast<double>(rounds) * 1e3 / static_cast<double>(measure::now() - start);
        },
        client);
}

/// What generated code does for `void glUniform4f(i32, f32, f32, f32, f32)`.
constexpr std::uint32_t kProc = 0x00010007;
constexpr std::uint32_t kBlock = 24;

inline void encode(std::byte* block, std::int32_t location, float x, float y, float z, float w) {
    const std::array<float, 4> v{x, y, z, w};
    std::memcpy(block, &location, 4);
    std::memcpy(block + 4, v.data(), 16);
    std::memset(block + 20, 0, 4);
}

template <class T>
T load_once(const std::byte* at) {
    return *reinterpret_cast<const volatile T*>(at);
}

struct Sink {
    double sum = 0;
    bool bad = false;
};

inline void decode(const hyplink::rpq::Request& request, Sink& sink) {
    if (request.proc != kProc || request.in_bytes != kBlock || request.is_call ||
        load_once<std::uint32_t>(request.in + 20) != 0) [[unlikely]] {
        sink.bad = true;
        return;
    }
    const auto location = load_once<std::int32_t>(request.in);
    const auto x = load_once<float>(request.in + 4);
    const auto y = load_once<float>(request.in + 8);
    const auto z = load_once<float>(request.in + 12);
    const auto w = load_once<float>(request.in + 16);
    sink.sum += static_cast<double>(location) + static_cast<double>(x + y + z + w);
}

double vrpq(const Options& options, std::uint64_t rounds, std::uint64_t batch, std::uint32_t max) {
    const PortPair pair(hyplink::rpq::port_bytes_for(256 * 1024));
    const auto client = [&] {
        hyplink::sys::RealRuntime runtime(measure::spin_for(options));
        const auto channel = pair.client(runtime);
        std::uint64_t left = batch;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            auto block = channel->begin(kProc, kBlock);
            if (!block) [[unlikely]]
                PortPair::must(std::move(block).error());
            const auto v = static_cast<float>(i & 1023);
            encode(*block, static_cast<std::int32_t>(i), v, v, v, v);
            if (!channel->post()) [[unlikely]]
                std::_Exit(1);
            if (--left == 0) {
                left = batch;
                PortPair::must(channel->notify());
            }
        }
        PortPair::must(channel->notify());
    };
    const auto server = [&] {
        hyplink::sys::RealRuntime runtime(measure::spin_for(options));
        const auto channel = pair.server(runtime);
        Sink sink;
        for (std::uint64_t done = 0; done != rounds;) {
            const auto requests = PortPair::must(channel->receive(max, hyplink::Deadline::never()));
            for (const auto& request : requests) decode(request, sink);
            done += requests.size();
        }
        PortPair::must(channel->acknowledge());
        if (sink.bad) std::abort();
        return sink.sum;
    };
    return measure::in_two_processes(
        options,
        [&] {
            const std::int64_t start = measure::now();
            volatile double sum = server();
            static_cast<void>(sum);
            return static_cast<double>(rounds) * 1e3 / static_cast<double>(measure::now() - start);
        },
        client);
}

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    const auto rounds = static_cast<std::uint64_t>((options.same_core ? 2e5 : 4e6) * options.scale);
    measure::Report report("ring", options);
    const int one = report.add({"bare ring, 64 B, published one by one", "M/s",
                                [&] { return bare_ring(options, rounds, 1); }});
    report.add({"bare ring, 64 B, published 32 at a time", "M/s",
                [&] { return bare_ring(options, rounds, 32); }, one});
    report.add({"vRPQ glUniform4f, a batch of 1", "M/s",
                [&] { return vrpq(options, rounds / 4, 1, 64); }, one});
    report.add({"vRPQ glUniform4f, batches of 8", "M/s",
                [&] { return vrpq(options, rounds, 8, 64); }, one});
    const int queue = report.add({"bare RPC queue, 64 B, batches of 64", "M/s",
                                  [&] { return bare_queue(options, rounds, 64); }});
    double last = 0;
    report.add({"vRPQ glUniform4f, batches of 64", "M/s",
                [&] { return last = vrpq(options, rounds, 64, 64); }, one, 1.0});
    report.add({"  the same", "M/s", [&] { return last; }, queue, 0.5});
    report.add({"vRPQ glUniform4f, batches of 64, received by 256", "M/s",
                [&] { return vrpq(options, rounds, 64, 256); }, one});
    return report.run_and_print();
}
