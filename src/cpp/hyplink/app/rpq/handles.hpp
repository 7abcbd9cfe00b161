/// The handles of one session: typed numbers that the server gives out, with a generation each.
///
///     rpq::HandleTable handles;                        // one for each session, shared by its
///     channels rpq::Context context{.handles = &handles};
///
/// Generated code looks every incoming handle up before the handler runs (rule D13), makes the
/// number of a `creates`, and removes the handle of a `destroys` with all that has it for a parent.
/// A number is {slot 20 bits, generation 12 bits}; 0 is none. Thread rule: any thread; `alive`
/// takes no lock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <new>
#include <vector>

namespace hyplink::rpq {

class HandleTable {
   public:
    static constexpr std::uint32_t kSlots = 1U << 20U;

    /// At most `most` handles live at a time: a client cannot make the server's memory grow beyond.
    explicit HandleTable(std::uint32_t most = 65536) : most_(std::min(most, kSlots - 1)) {}
    HandleTable(const HandleTable&) = delete;
    HandleTable& operator=(const HandleTable&) = delete;
    ~HandleTable() {
        for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
    }

    /// A new handle of that type; 0 when the table is full or the parent is gone.
    std::uint32_t add(std::uint32_t type, std::uint32_t parent = 0) {
        const std::lock_guard lock(lock_);
        if (live_ >= most_ || (parent != 0 && find(parent) == nullptr)) return 0;
        std::uint32_t slot = 0;
        if (!free_.empty()) {
            slot = free_.front();  // the longest unused: its generation comes round last
            free_.pop_front();
        } else {
            slot = used_ + 1;
            auto& chunk = chunks_[slot / kChunk];
            if (chunk.load(std::memory_order_relaxed) == nullptr) {
                auto* fresh = new (std::nothrow) Chunk;
                if (fresh == nullptr) return 0;
                chunk.store(fresh, std::memory_order_release);  // partner: acquire in `alive`
            }
            ++used_;
        }
        Entry& entry = at(slot);
        entry.generation = (entry.generation + 1) & kGenerations;
        if (entry.generation == 0) entry.generation = 1;
        entry.parent = parent & (kSlots - 1);
        entry.first = entry.previous = 0;
        entry.next = parent == 0 ? 0 : at(entry.parent).first;
        if (entry.next != 0) at(entry.next).previous = slot;
        if (parent != 0) at(entry.parent).first = slot;
        const std::uint32_t number = slot | entry.generation << 20U;
        entry.word.store(std::uint64_t{type} << 32U | number, std::memory_order_release);
        ++live_;
        return number;
    }

    /// Whether this number names a handle of that type now.
    bool alive(std::uint32_t number, std::uint32_t type) const {
        const auto* chunk =
            chunks_[(number & (kSlots - 1)) / kChunk].load(std::memory_order_acquire);
        if (number == 0 || chunk == nullptr) return false;
        const Entry& entry = (*chunk)[number % kChunk];
        return entry.word.load(std::memory_order_acquire) == (std::uint64_t{type} << 32U | number);
    }

    /// The handle and everything below it are gone. Numbers that name nothing are ignored.
    void remove(std::uint32_t number) {
        const std::lock_guard lock(lock_);
        Entry* top = find(number);
        if (top == nullptr) return;
        unlink(number & (kSlots - 1));
        // Each entry leaves its parent's list before it goes: the work is bounded by what goes.
        std::vector<std::uint32_t> gone{number & (kSlots - 1)};
        for (std::size_t i = 0; i < gone.size(); ++i) {
            Entry& entry = at(gone[i]);
            for (std::uint32_t child = entry.first; child != 0; child = at(child).next)
                gone.push_back(child);
            entry.word.store(0, std::memory_order_release);
            entry.first = 0;
            free_.push_back(gone[i]);
            --live_;
        }
    }

    std::uint32_t size() const {
        const std::lock_guard lock(lock_);
        return live_;
    }

   private:
    static constexpr std::uint32_t kChunk = 1024;
    static constexpr std::uint32_t kGenerations = 0xFFF;
    struct Entry {
        std::atomic<std::uint64_t> word{0};  ///< type and number; 0: nothing here
        std::uint32_t generation = 0;
        std::uint32_t parent =
            0;  ///< slots, as the next three: first child, next and previous of its own
        std::uint32_t first = 0;
        std::uint32_t next = 0;
        std::uint32_t previous = 0;
    };
    using Chunk = std::array<Entry, kChunk>;

    Entry& at(std::uint32_t slot) { return (*chunks_[slot / kChunk].load())[slot % kChunk]; }
    Entry* find(std::uint32_t number) {
        const std::uint32_t slot = number & (kSlots - 1);
        if (slot == 0 || slot > used_) return nullptr;
        Entry& entry = at(slot);
        return static_cast<std::uint32_t>(entry.word.load()) == number ? &entry : nullptr;
    }

    void unlink(std::uint32_t slot) {
        const Entry& entry = at(slot);
        if (entry.next != 0) at(entry.next).previous = entry.previous;
        if (entry.previous != 0) {
            at(entry.previous).next = entry.next;
        } else if (entry.parent != 0) {
            at(entry.parent).first = entry.next;
        }
    }

    mutable std::mutex lock_;
    std::array<std::atomic<Chunk*>, kSlots / kChunk> chunks_{};
    std::deque<std::uint32_t> free_;
    std::uint32_t used_ = 0;
    std::uint32_t live_ = 0;
    std::uint32_t most_;
};

/// Whether a generated handle is one of this table; without a table none is.
template <class Handle>
bool live(const HandleTable* table, Handle handle) {
    return table != nullptr && table->alive(handle.value, Handle::type);
}
inline std::uint32_t make(HandleTable* table, std::uint32_t type, std::uint32_t parent = 0) {
    return table == nullptr ? 0 : table->add(type, parent);
}

}  // namespace hyplink::rpq
