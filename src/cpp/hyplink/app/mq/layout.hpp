/// One direction of a vMQ: where things lie, as both ends compute it from the sender's words.
///
///     0     sender's line     messages sent
///     64    receiver's line   messages given back
///     128   sender's line     waits for a message to come back
///     192   table of sent slots · table of slots given back · slots · (page) data slots
///
/// Slots come back in any order, so both tables hold slot numbers. Thread rule: values.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "hyplink/base/result.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::mq {

/// What one end sends: `msg_count` is a power of two.
struct Config {
    std::uint32_t msg_count = 64;
    std::uint32_t msg_max = 64;    ///< bytes of a message, its header
    std::uint32_t data_count = 0;  ///< buffers
    std::uint32_t data_max = 0;    ///< bytes of each
    bool operator==(const Config&) const = default;
    /// Does it lie in memory in the same way?
    bool fits(const Config& other) const {
        const auto lines = [](std::uint32_t bytes) { return (std::uint64_t{bytes} + 63) / 64; };
        return msg_count == other.msg_count && data_count == other.data_count &&
               lines(msg_max) == lines(other.msg_max) && lines(data_max) == lines(other.data_max);
    }

    static constexpr std::uint32_t kMostMessages = 1 << 16;
    static constexpr std::uint32_t kMostBytes = 1 << 20;  ///< of a message
    static constexpr std::uint32_t kMostData = 1 << 26;   ///< of a buffer, and of all of them

    /// Errors: bad_argument.
    Status check() const {
        const bool power = msg_count != 0 && (msg_count & (msg_count - 1)) == 0;
        const std::uint64_t data =
            std::uint64_t{data_count} * ((std::uint64_t{data_max} + 63) / 64 * 64);
        const std::uint64_t all = std::uint64_t{msg_count} * msg_max;
        if (power && msg_count <= kMostMessages && msg_max != 0 && msg_max <= kMostBytes &&
            all <= kMostData && data <= kMostData && (data_count == 0) == (data_max == 0))
            return {};
        return Error::make(
            Errc::bad_argument,
            text("vMQ: ", msg_count, " messages of ", msg_max, " and ", data_count, " buffers of ",
                 data_max, " bytes: expected a power of two of messages, at most 64M of both"));
    }
    std::string to_words() const {
        std::string words(sizeof *this, '\0');
        std::memcpy(words.data(), this, sizeof *this);
        return words;
    }
    static Result<Config> from_words(const std::string& words) {
        Config config;
        if (words.size() != sizeof config)
            return Error::make(Errc::protocol, text("vMQ: ", words.size(), " bytes of words"));
        std::memcpy(&config, words.data(), sizeof config);
        HYPLINK_TRY(config.check());
        return config;
    }
};
static_assert(sizeof(Config) == 16);

struct Direction {
    static constexpr std::size_t kSentAt = 0;
    static constexpr std::size_t kBackAt = 64;
    static constexpr std::size_t kStoppedAt = 128;
    static constexpr std::size_t kTablesAt = 192;
    static constexpr std::uint32_t kReplied = std::uint32_t{1} << 31;  ///< of a slot given back

    Config config;
    std::uint32_t mask = 0;
    std::size_t stride = 0;
    std::size_t data_stride = 0;
    std::size_t bytes = 0;
    std::size_t slots_at = 0, data_at = 0;
    std::byte* memory = nullptr;
    std::atomic<std::uint32_t>* sent_table = nullptr;
    std::atomic<std::uint32_t>* back_table = nullptr;

    Direction() = default;
    explicit Direction(const Config& of, std::byte* at = nullptr) : config(of), memory(at) {
        const auto round = [](std::size_t value, std::size_t to) {
            return (value + to - 1) / to * to;
        };
        mask = of.msg_count - 1;
        stride = round(of.msg_max, 64);
        data_stride = round(of.data_max, 64);
        slots_at = round(kTablesAt + std::size_t{2} * 4 * of.msg_count, 64);
        data_at = slots_at + stride * of.msg_count;
        bytes = data_at + data_stride * of.data_count;
        if (at != nullptr) {
            sent_table = &word(kTablesAt);
            back_table = sent_table + of.msg_count;
        }
    }

    std::atomic<std::uint32_t>& sent() const { return word(kSentAt); }
    std::atomic<std::uint32_t>& back() const { return word(kBackAt); }
    std::atomic<std::uint32_t>& stopped() const { return word(kStoppedAt); }
    std::atomic<std::uint32_t>& sent_slot(std::uint32_t index) const {
        return sent_table[index & mask];
    }
    std::atomic<std::uint32_t>& back_slot(std::uint32_t index) const {
        return back_table[index & mask];
    }
    std::byte* slot(std::uint32_t number) const { return memory + slots_at + stride * number; }
    /// Offsets of buffers count from the first one.
    std::byte* data() const { return memory + data_at; }
    bool data_offset_ok(std::uint64_t offset) const {
        return data_stride != 0 && offset % data_stride == 0 &&
               offset / data_stride < config.data_count;
    }

   private:
    std::atomic<std::uint32_t>& word(std::size_t at) const {
        return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory + at);
    }
};

}  // namespace hyplink::mq
