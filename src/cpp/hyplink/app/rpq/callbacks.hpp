/// Callbacks for generated code: the client's registrations. What a slow client does not take is
/// kept and dropped by the server's channel alone (backlog.hpp).
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

/// Travels in place of the client's pointer: the number of a registration, 0 none.
enum class Cookie : std::uint32_t {};
constexpr bool wire_valid(Cookie) { return true; }

/// Functions by number {slot 16 bits, generation 16 bits}: a server cannot name anything else, and
/// a number whose registration is gone names nothing.
template <class Function>
class Registry {
   public:
    /// 0 when 65,535 are registered.
    std::uint32_t add(Function function) {
        std::size_t at = 0;
        while (at < entries_.size() && entries_[at].live) ++at;
        if (at == 0xFFFF) return 0;
        if (at == entries_.size()) entries_.emplace_back();
        Entry& entry = entries_[at];
        entry.function = std::move(function);
        entry.live = true;
        entry.generation = static_cast<std::uint16_t>(entry.generation % 0xFFFF + 1);
        return static_cast<std::uint32_t>(at + 1) | std::uint32_t{entry.generation} << 16U;
    }
    void remove(std::uint32_t number) {
        if (Entry* entry = find(number)) {
            entry->live = false;
            entry->function = Function();
        }
    }
    /// A copy, so that the function may change the registrations; empty: counted as dropped.
    Function get(std::uint32_t number) {
        if (Entry* entry = find(number)) return entry->function;
        ++dropped_;
        return Function();
    }
    std::uint64_t dropped() const { return dropped_; }

   private:
    struct Entry {
        Function function;
        std::uint16_t generation = 0;
        bool live = false;
    };
    Entry* find(std::uint32_t number) {
        const std::uint32_t slot = number & 0xFFFFU;
        if (slot == 0 || slot > entries_.size()) return nullptr;
        Entry& entry = entries_[slot - 1];
        return entry.live && entry.generation == number >> 16U ? &entry : nullptr;
    }
    std::deque<Entry> entries_;
    std::uint64_t dropped_ = 0;
};

}  // namespace hyplink::rpq
