/// Both ends of callbacks for generated code: the client's registrations, the server's sending.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "hyplink/app/rpq/backlog.hpp"
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

/// Sends callbacks over a server's channel, as `Client` sends requests over a client's.
template <class Channel>
class CallbackSender {
   public:
    explicit CallbackSender(Channel& channel) : channel_(channel) {}

    Result<std::byte*> begin(std::uint32_t proc, std::uint32_t bytes, Drop drop,
                             std::uint32_t keep) {
        flush();
        aside_ = false;
        if (waiting_.empty()) {
            auto block = channel_.callback_begin(proc, bytes);
            if (block.has_value() || block.code() != Errc::would_block) return block;
            if (drop == Drop::refuse) return block;
        } else if (drop == Drop::refuse) {
            return Errc::would_block;  // never overtakes what waits
        }
        aside_ = true;
        if (drop == Drop::newest) {
            ++dropped_;
            scratch_ = Waiting{proc, bytes, std::vector<std::uint64_t>(bytes / 8 + 1)};
            return reinterpret_cast<std::byte*>(scratch_.words.data());
        }
        while (waiting_.size() >= keep && !waiting_.empty()) {
            waiting_.pop_front();
            ++dropped_;
        }
        waiting_.push_back(Waiting{proc, bytes, std::vector<std::uint64_t>(bytes / 8 + 1)});
        return reinterpret_cast<std::byte*>(waiting_.back().words.data());
    }
    Status post() {
        if (aside_) return {};
        return channel_.callback_post();
    }
    Status notify() { return {}; }
    Result<std::byte*> begin_call(std::uint32_t proc, std::uint32_t in, std::uint32_t out) {
        return channel_.callback_begin_call(proc, in, out);
    }
    /// `nanoseconds` 0: as long as the channel waits by itself.
    Result<ReplyView> call(std::int64_t nanoseconds) {
        if constexpr (requires { channel_.deadline_in(nanoseconds); }) {
            if (nanoseconds != 0) return channel_.callback_call(channel_.deadline_in(nanoseconds));
        }
        return channel_.callback_call();
    }

    /// Send what waited, as far as there is room now.
    void flush() {
        while (!waiting_.empty()) {
            Waiting& first = waiting_.front();
            auto block = channel_.callback_begin(first.proc, first.bytes);
            if (!block.has_value()) return;
            if (first.bytes != 0) std::memcpy(*block, first.words.data(), first.bytes);
            if (!channel_.callback_post().has_value()) return;
            waiting_.pop_front();
        }
    }
    std::uint64_t dropped() const { return dropped_; }

   private:
    struct Waiting {
        std::uint32_t proc = 0;
        std::uint32_t bytes = 0;
        std::vector<std::uint64_t> words;
    };
    Channel& channel_;
    std::deque<Waiting> waiting_;
    Waiting scratch_;
    bool aside_ = false;
    std::uint64_t dropped_ = 0;
};

}  // namespace hyplink::rpq
