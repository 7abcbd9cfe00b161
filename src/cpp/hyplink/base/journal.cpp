#include "hyplink/base/journal.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

namespace hyplink {
namespace {

// Writer and reader share records and counters without a lock: word by word, so that a torn object
// is a matter of the sequence number and never of the language.
template <class T>
using Words = std::array<std::uint64_t, sizeof(T) / 8>;

template <class T>
T load_words(const T& shared) {
    static_assert(sizeof(T) % 8 == 0);
    auto* from = reinterpret_cast<std::uint64_t*>(const_cast<T*>(&shared));
    Words<T> words;
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] = std::atomic_ref(from[i]).load(std::memory_order_relaxed);
    return std::bit_cast<T>(words);
}

}  // namespace

Scope::Scope(std::byte* memory, VmId vm, std::uint32_t app) : vm_(vm), app_(app) {
    header_ = reinterpret_cast<ScopeHeader*>(memory);
    slots_ = reinterpret_cast<ChannelCounters*>(memory + kCountersAt);
    records_ = reinterpret_cast<Record*>(memory + kRecordsAt);
    procedures_ = reinterpret_cast<ProcedureCounters*>(memory + kProceduresAt);
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
    Record made;
    made.time = static_cast<std::uint64_t>(time);
    made.event = static_cast<std::uint16_t>(event);
    made.vm = static_cast<std::uint16_t>(vm_);
    made.app = app_;
    made.link = link;
    made.a = a;
    made.b = b;
    made.c = c;
    const auto words = std::bit_cast<Words<Record>>(made);
    auto* to = reinterpret_cast<std::uint64_t*>(&record);
    for (std::size_t i = 0; i + 1 < words.size(); ++i)  // the last one is the sequence number
        std::atomic_ref(to[i]).store(words[i], std::memory_order_relaxed);
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
            auto* word = reinterpret_cast<std::uint64_t*>(&mine);
            for (std::size_t i = 1; i < sizeof mine / 8; ++i)
                std::atomic_ref(word[i]).store(0, std::memory_order_relaxed);
            if (wanted == kSlotClosed) clear_procedures(slot);
            std::atomic_ref(mine.vm).store(vm_, std::memory_order_relaxed);
            std::atomic_ref(mine.app).store(app_, std::memory_order_relaxed);
            return &mine;
        }
    }
    return nullptr;
}

void Scope::clear_procedures(std::uint32_t slot) {
    ProcedureCounters* table = procedures_ + std::size_t{slot} * kProcedures;
    for (ProcedureCounters* entry = table; entry != table + kProcedures; ++entry) {
        if (std::atomic_ref(entry->used).load(std::memory_order_relaxed) == 0) continue;
        std::atomic_ref(entry->used).store(0, std::memory_order_relaxed);
        auto* word = reinterpret_cast<std::uint64_t*>(entry);
        for (std::size_t i = 1; i < sizeof *entry / 8; ++i)
            std::atomic_ref(word[i]).store(0, std::memory_order_relaxed);
    }
}

ProcedureCounters* Scope::procedure(ChannelCounters& slot, std::uint32_t proc) {
    constexpr std::uint32_t kProbes = 16;
    const auto number = static_cast<std::size_t>(&slot - slots_);
    if (number >= kSlots) return nullptr;
    ProcedureCounters* table = procedures_ + number * kProcedures;
    const std::uint32_t start = (proc * 0x9E3779B1U) >> 24;
    for (std::uint32_t probe = 0; probe < kProbes; ++probe) {
        ProcedureCounters& entry = table[(start + probe) % kProcedures];
        if (entry.used == 0) {
            std::atomic_ref(entry.proc).store(proc, std::memory_order_relaxed);
            std::atomic_ref(entry.used).store(1, std::memory_order_release);
            std::atomic_ref(slot.procedures).store(slot.procedures + 1, std::memory_order_relaxed);
            return &entry;
        }
        if (entry.proc == proc) return &entry;
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
    out.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t index = head - count; index != head; ++index) {
        auto& shared = const_cast<Record&>(records[index % kRecords]);
        std::atomic_ref<std::uint64_t> sequence(shared.sequence);
        if (sequence.load(std::memory_order_acquire) != index + 1) continue;
        Record copy = load_words(shared);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (sequence.load(std::memory_order_relaxed) != index + 1) continue;
        copy.sequence = index + 1;  // the copy's own may be another one by now
        out.push_back(copy);
    }
    return out;
}

std::vector<ChannelCounters> Scope::read_counters(std::span<const std::byte> memory) {
    std::vector<ProcedureRow> unused;
    return read_counters(memory, 0, unused);
}

std::vector<ChannelCounters> Scope::read_counters(std::span<const std::byte> memory,
                                                  std::uint32_t first,
                                                  std::vector<ProcedureRow>& rows) {
    std::vector<ChannelCounters> out;
    if (memory.size() < kBytes) return out;
    const auto* slots = reinterpret_cast<const ChannelCounters*>(memory.data() + kCountersAt);
    const auto* tables = reinterpret_cast<const ProcedureCounters*>(memory.data() + kProceduresAt);
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
        const ChannelCounters copy = load_words(slots[slot]);
        if (copy.in_use != kSlotTaken && copy.in_use != kSlotClosed) continue;
        // An untouched table is not looked at: looking would make memory of it.
        for (std::uint32_t i = 0; copy.procedures != 0 && i < kProcedures; ++i) {
            const ProcedureCounters entry = load_words(tables[std::size_t{slot} * kProcedures + i]);
            if (entry.used != 0)
                rows.push_back({first + static_cast<std::uint32_t>(out.size()), 0, entry});
        }
        out.push_back(copy);
    }
    return out;
}

}  // namespace hyplink
