#include "hyplink/base/journal.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace hyplink {

Scope::Scope(std::byte* memory, VmId vm, std::uint32_t app) : vm_(vm), app_(app) {
    header_ = reinterpret_cast<ScopeHeader*>(memory);
    slots_ = reinterpret_cast<ChannelCounters*>(memory + kCountersAt);
    records_ = reinterpret_cast<Record*>(memory + kRecordsAt);
    if (header_->magic != ScopeHeader::kMagic) {
        ::new (header_) ScopeHeader{};
        header_->vm = vm;
        header_->app = app;
        header_->capacity = kRecords;
        header_->slots = kSlots;
        header_->version = ScopeHeader::kVersion;
        header_->enabled.store(1, std::memory_order_relaxed);
        header_->magic = ScopeHeader::kMagic;
    }
}

void Scope::write(std::int64_t time, Event event, std::uint32_t link, std::uint32_t a,
                  std::uint64_t b, std::uint64_t c) {
    if (!enabled()) return;
    const std::uint64_t index = header_->head.fetch_add(1, std::memory_order_relaxed);
    Record& record = records_[index % kRecords];
    std::atomic_ref<std::uint64_t> sequence(record.sequence);
    sequence.store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    record.time = static_cast<std::uint64_t>(time);
    record.event = static_cast<std::uint16_t>(event);
    record.vm = static_cast<std::uint16_t>(vm_);
    record.app = app_;
    record.link = link;
    record.a = a;
    record.b = b;
    record.c = c;
    sequence.store(index + 1, std::memory_order_release);  // partner: acquire load in read()
}

ChannelCounters* Scope::take_counters() {
    if (header_ == nullptr) return nullptr;
    for (const std::uint32_t wanted : {kSlotFree, kSlotClosed}) {
        for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
            std::uint32_t found = wanted;
            // Several threads of the process may open channels at once.
            if (!std::atomic_ref(slots_[slot].in_use)
                     .compare_exchange_strong(found, kSlotTaken, std::memory_order_acq_rel))
                continue;
            ChannelCounters& mine = slots_[slot];
            std::memset(&mine.vm, 0, sizeof mine - offsetof(ChannelCounters, vm));
            mine.vm = vm_;
            mine.app = app_;
            return &mine;
        }
    }
    return nullptr;
}

void Scope::close_counters(ChannelCounters& slot) {
    std::atomic_ref(slot.in_use).store(kSlotClosed, std::memory_order_release);
}

std::vector<Record> Scope::read(std::span<const std::byte> memory) {
    std::vector<Record> out;
    if (memory.size() < kBytes) return out;
    const auto* header = reinterpret_cast<const ScopeHeader*>(memory.data());
    const auto* records = reinterpret_cast<const Record*>(memory.data() + kRecordsAt);
    const std::uint64_t head = header->head.load(std::memory_order_acquire);
    const std::uint64_t count = std::min<std::uint64_t>(head, kRecords);
    out.reserve(count);
    for (std::uint64_t index = head - count; index != head; ++index) {
        auto& shared = const_cast<Record&>(records[index % kRecords]);
        std::atomic_ref<std::uint64_t> sequence(shared.sequence);
        if (sequence.load(std::memory_order_acquire) != index + 1) continue;
        Record copy;
        std::memcpy(static_cast<void*>(&copy), &shared, sizeof copy);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (sequence.load(std::memory_order_relaxed) != index + 1) continue;
        out.push_back(copy);
    }
    return out;
}

std::vector<ChannelCounters> Scope::read_counters(std::span<const std::byte> memory) {
    std::vector<ChannelCounters> out;
    if (memory.size() < kBytes) return out;
    const auto* slots = reinterpret_cast<const ChannelCounters*>(memory.data() + kCountersAt);
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
        ChannelCounters copy;
        std::memcpy(static_cast<void*>(&copy), &slots[slot], sizeof copy);
        if (copy.in_use == kSlotTaken || copy.in_use == kSlotClosed) out.push_back(copy);
    }
    return out;
}

}  // namespace hyplink
