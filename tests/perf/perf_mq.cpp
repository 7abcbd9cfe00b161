/// vMQ's data path between two pinned processes: 64-byte header messages, 32 a batch, against a
/// bare ring of 64-byte slots with the same batches. Slots, checks, tables and the bell of each
/// batch are those of a `Queue`; both sides stay awake, so no wake is in it. Medians of interleaved
/// passes.
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <new>
#include <vector>

#include "hyplink/app/mq/receiver.hpp"
#include "hyplink/app/mq/sender.hpp"
#include "hyplink/base/bell.hpp"

namespace {

using namespace hyplink;
constexpr std::uint32_t kBatch = 32;
constexpr std::uint32_t kMessages = 1 << 22;
constexpr std::uint32_t kSlots = 1024;
constexpr int kPasses = 9;
constexpr std::size_t kBytes = 1 << 20;

void pin(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}
void pause_cpu() { asm volatile("" ::: "memory"); }

void fill(std::byte* at, std::uint64_t value) {
    auto* words = reinterpret_cast<std::uint64_t*>(at);
    for (int i = 0; i < 8; ++i) words[i] = value;
}
std::uint64_t sum(const std::byte* at) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(at);
    std::uint64_t total = 0;
    for (int i = 0; i < 8; ++i) total += words[i];
    return total;
}
constexpr std::uint64_t kSum = 8ULL * (std::uint64_t{kMessages} * (kMessages - 1) / 2);

struct Bare {
    alignas(64) std::atomic<std::uint32_t> head;
    alignas(64) std::atomic<std::uint32_t> tail;
    alignas(64) std::byte slots[kSlots][64];
};
void bare_send(Bare& ring) {
    std::uint32_t tail = 0;
    for (std::uint32_t sent = 0; sent < kMessages;) {
        while (sent + kBatch - tail > kSlots) {
            tail = ring.tail.load(std::memory_order_acquire);
            pause_cpu();
        }
        for (std::uint32_t i = 0; i < kBatch; ++i, ++sent) fill(ring.slots[sent % kSlots], sent);
        ring.head.store(sent, std::memory_order_release);
    }
}
std::uint64_t bare_receive(Bare& ring) {
    std::uint64_t total = 0;
    for (std::uint32_t taken = 0; taken < kMessages;) {
        const std::uint32_t head = ring.head.load(std::memory_order_acquire);
        if (head == taken) {
            pause_cpu();
            continue;
        }
        for (; taken != head; ++taken) total += sum(ring.slots[taken % kSlots]);
        ring.tail.store(taken, std::memory_order_release);
    }
    return total;
}

struct Shared {
    BellWords bell;
    std::atomic<std::uint32_t> go;
    alignas(64) std::byte memory[kBytes];
};
const mq::Config kConfig{kSlots, 64, 0, 0};
void mq_send(Shared& shared) {
    mq::Sender sender;
    sender.attach(mq::Direction(kConfig, shared.memory), false);
    for (std::uint32_t sent = 0; sent < kMessages;) {
        for (std::uint32_t i = 0; i < kBatch; ++i, ++sent) {
            std::uint32_t slot = 0;
            while ((slot = sender.try_allocate()) == mq::Sender::kNone) pause_cpu();
            fill(sender.ring().slot(slot), sent);
            sender.put(slot);
        }
        sender.publish();
        bell_ring(shared.bell);
    }
}
std::uint64_t mq_receive(Shared& shared) {
    mq::Receiver receiver;
    receiver.attach(mq::Direction(kConfig, shared.memory));
    std::uint64_t total = 0;
    for (std::uint32_t taken = 0; taken < kMessages;) {
        const std::uint32_t slot = receiver.try_receive();
        if (slot == mq::Receiver::kNone) {
            pause_cpu();
            continue;
        }
        total += sum(receiver.ring().slot(slot));
        receiver.give_back(slot, false);
        ++taken;
    }
    return total;
}

template <class Send, class Receive>
double pass(Shared& shared, Send&& send, Receive&& receive) {
    std::memset(static_cast<void*>(&shared), 0, sizeof shared);
    const pid_t child = fork();
    if (child == 0) {
        pin(1);
        while (shared.go.load(std::memory_order_acquire) == 0) pause_cpu();
        send();
        _exit(0);
    }
    const auto start = std::chrono::steady_clock::now();
    shared.go.store(1, std::memory_order_release);
    const std::uint64_t total = receive();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    waitpid(child, nullptr, 0);
    if (total != kSum) std::printf("WRONG SUM\n");
    return kMessages / took.count() / 1e6;
}

}  // namespace

int main() {
    void* const memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto& shared = *::new (memory) Shared;
    auto& bare = *reinterpret_cast<Bare*>(shared.memory);
    pin(0);
    std::vector<double> ours, theirs;
    for (int i = 0; i < kPasses; ++i) {
        theirs.push_back(
            pass(shared, [&] { bare_send(bare); }, [&] { return bare_receive(bare); }));
        ours.push_back(pass(shared, [&] { mq_send(shared); }, [&] { return mq_receive(shared); }));
    }
    std::sort(ours.begin(), ours.end());
    std::sort(theirs.begin(), theirs.end());
    const double mine = ours[kPasses / 2], limit = theirs[kPasses / 2];
    std::printf("bare ring        %7.1f M/s  (%.1f - %.1f)\n", limit, theirs.front(),
                theirs.back());
    std::printf("vMQ, batches 32  %7.1f M/s  (%.1f - %.1f)\n", mine, ours.front(), ours.back());
    std::printf("ratio            %7.2f\n", mine / limit);
}
