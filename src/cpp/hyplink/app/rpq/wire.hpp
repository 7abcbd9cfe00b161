/// What code generated from an interface description needs: loads, stores, parts, refusals.
///
/// A block is a fixed part, then parts that follow each other in order of declaration, each on
/// eight bytes. The memory is shared with a peer that may write at any time, so everything in the
/// fixed part is loaded exactly once (`load` is one access that the compiler may neither repeat nor
/// split), lengths are computed from what was loaded, and contents that need a look are copied
/// first. Thread rule: no state; every object belongs to one call.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "hyplink/base/result.hpp"

namespace hyplink::rpq {

static_assert(std::endian::native == std::endian::little, "blocks are little-endian");

/// A request as the transport hands it to `dispatch`. `in` and `out` are aligned to 8.
struct RequestView {
    std::uint32_t proc = 0;
    const std::byte* in = nullptr;
    std::uint32_t in_bytes = 0;
    std::byte* out = nullptr;
    std::uint32_t out_bytes = 0;
    bool is_call = false;
};

/// The answer to a call as the transport hands it to the client.
struct ReplyView {
    std::int32_t status = 0;
    const std::byte* out = nullptr;
    std::uint32_t out_bytes = 0;
};

/// What becomes of a callback that finds the ring full; what is kept back, the server's channel
/// keeps.
enum class Drop : std::uint32_t {
    refuse,  ///< would_block to the caller
    newest,  ///< kept back while there are fewer than `keep` of its procedure, else forgotten
    oldest,  ///< kept back; of its procedure, the oldest beyond `keep` are forgotten
};

/// Where a part lies in its block.
struct Part {
    std::uint32_t off = 0;
    std::uint32_t len = 0;
};

/// One line of an interface's table of procedures.
struct ProcInfo {
    std::uint32_t id;
    const char* name;
    bool is_call;
    std::uint32_t in_max;
    std::uint32_t out_max;
};

/// Why a block was refused: the rule by number, the field and where it lies. Only a refusal fills
/// it in: a server makes one for each request, and four stores would show.
struct Reject {
    std::uint32_t proc;
    std::uint32_t rule;
    const char* field;
    std::uint32_t offset;
};

/// What `perform` returns for a refused block; every real status is 0 or an errno.
inline constexpr std::int32_t kRejected = -1;
/// In place of a rule: nothing is wrong with the block, memory is short.
inline constexpr std::uint32_t kNoMemory = 0xFFFF;

[[gnu::cold, gnu::noinline]] inline std::int32_t reject(Reject& why, std::uint32_t proc,
                                                        std::uint32_t rule, const char* field,
                                                        std::uint32_t offset) {
    if (rule == kNoMemory) return static_cast<std::int32_t>(Errc::no_memory);
    why = Reject{proc, rule, field, offset};
    return kRejected;
}

/// A refusal as an error: the channel it came from is no longer to be trusted.
[[gnu::cold, gnu::noinline]] inline Error rejected(const char* name, const Reject& why) {
    return Error::make(Errc::corrupt, std::string("rpq block for ") + name + ": rule D" +
                                          std::to_string(why.rule) + " broken (procedure " +
                                          std::to_string(why.proc & 0xFFFFU) + ", field " +
                                          why.field + ", offset " + std::to_string(why.offset) +
                                          ")");
}

[[gnu::cold, gnu::noinline]] inline Error bad_reply(const char* name, std::uint32_t proc,
                                                    std::uint32_t rule, const char* field,
                                                    std::uint32_t offset) {
    return rejected(name, Reject{proc, rule, field, offset});
}

[[gnu::cold, gnu::noinline]] inline Error bad_argument(const char* name, const char* field) {
    return Error::make(Errc::bad_argument, std::string(name) + ": bad value for '" + field + "'");
}

/// The status of a handler that gave no value.
template <class T>
std::int32_t status_of(const Result<T>& result) {
    return result.error().number();
}

/// The server's own answer to a call when it is not 0.
[[gnu::cold, gnu::noinline]] inline Error refused(const char* name, std::int32_t status) {
    if (status < 0 || status > 4095) {
        return Error::make(Errc::protocol,
                           std::string(name) + ": impossible status " + std::to_string(status));
    }
    return Error::make(static_cast<Errc>(status), std::string(name) + ": refused by the server");
}

/// Up to the next multiple of eight, in 64 bits whatever the machine.
constexpr std::uint64_t round8(std::uint64_t n) { return (n + 7U) & ~std::uint64_t{7}; }

/// One access of the value's own width; the compiler can't repeat it. `p` is aligned for `T`.
template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
[[gnu::always_inline]] inline T load(const std::byte* p) {
    if constexpr (std::is_floating_point_v<T> && sizeof(T) <= sizeof(void*)) {
        return *reinterpret_cast<const volatile T*>(p);  // no detour through an integer register
    } else if constexpr (sizeof(T) == 1) {
        return std::bit_cast<T>(__atomic_load_n(reinterpret_cast<const std::uint8_t*>(p), 0));
    } else if constexpr (sizeof(T) == 2) {
        return std::bit_cast<T>(__atomic_load_n(reinterpret_cast<const std::uint16_t*>(p), 0));
    } else if constexpr (sizeof(T) == 4) {
        return std::bit_cast<T>(__atomic_load_n(reinterpret_cast<const std::uint32_t*>(p), 0));
    } else if constexpr (sizeof(void*) >= 8) {
        return std::bit_cast<T>(__atomic_load_n(reinterpret_cast<const std::uint64_t*>(p), 0));
    } else {
        // 32-bit machines may lack a single 64-bit load; two halves read once each are as good
        // here.
        const std::uint64_t low = load<std::uint32_t>(p);
        return std::bit_cast<T>(low | (std::uint64_t{load<std::uint32_t>(p + 4)} << 32U));
    }
}

inline Part load_part(const std::byte* p) {
    return Part{load<std::uint32_t>(p), load<std::uint32_t>(p + 4)};
}

/// The bytes of a gap as one number, 0 when the gap is clean.
template <std::size_t N>
inline std::uint64_t load_pad(const std::byte* p) {
    if constexpr (N == 2) {
        return load<std::uint16_t>(p);
    } else if constexpr (N == 4) {
        return load<std::uint32_t>(p);
    } else {
        std::uint64_t all = 0;
        for (std::size_t i = 0; i < N; ++i) all |= load<std::uint8_t>(p + i);
        return all;
    }
}

template <std::size_t N>
inline void store_pad(std::byte* p) {
    std::memset(p, 0, N);
}

/// Whether a value is one its type allows; enums and structs bring a `wire_valid` of their own.
template <class T>
inline bool valid(const T& value) {
    if constexpr (std::is_arithmetic_v<T>) {
        return true;
    } else {
        return wire_valid(value);
    }
}

/// Straight into the block: no staging struct, whose narrow stores would stall a wide load.
template <class T>
inline void put(std::byte* p, const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        p[0] = value ? std::byte{1} : std::byte{0};
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
        std::memcpy(p, &value, sizeof value);
    } else {
        wire_put(p, value);
    }
}

template <class T, std::size_t N>
inline void put(std::byte* p, const std::array<T, N>& values) {
    for (std::size_t i = 0; i < N; ++i) put(p + i * sizeof(T), values[i]);
}

inline void put_part(std::byte* p, std::uint64_t off, std::uint64_t len) {
    put(p, static_cast<std::uint32_t>(off));
    put(p + 4, static_cast<std::uint32_t>(len));
}

/// Load and check one value; false when it is none of its type's.
template <class T>
inline bool get(const std::byte* p, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        const auto raw = load<std::uint8_t>(p);
        value = raw == 1;
        return raw <= 1;
    } else if constexpr (std::is_arithmetic_v<T>) {
        value = load<T>(p);
        return true;
    } else if constexpr (std::is_enum_v<T>) {
        value = static_cast<T>(load<std::underlying_type_t<T>>(p));
        return wire_valid(value);
    } else {
        return wire_get(p, value);
    }
}

template <class T, std::size_t N>
inline bool get(const std::byte* p, std::array<T, N>& values) {
    bool good = true;
    for (std::size_t i = 0; i < N; ++i) good = get(p + i * sizeof(T), values[i]) && good;
    return good;
}

template <class T, std::size_t N>
inline bool valid(const std::array<T, N>& values) {
    for (const T& value : values) {
        if (!valid(value)) return false;
    }
    return true;
}

/// Write a part's bytes and the zeros behind them; returns the offset behind both. Short ones go
/// word by word, the last with its zeros: two calls cost more, and a reader that loads words finds
/// each written by one store.
inline std::uint64_t put_bytes(std::byte* block, std::uint64_t off, const void* data,
                               std::uint64_t bytes, std::uint64_t nul = 0) {
    const std::uint64_t end = off + round8(bytes + nul);
    if (end == off) return end;
    const auto* const from = static_cast<const std::byte*>(data);
    const auto count = static_cast<std::size_t>(bytes);
    std::byte* const to = block + off;
    if (count < 8 || count > 64) {
        std::memset(block + end - 8, 0, 8);
        if (count != 0) std::memcpy(to, from, count);
        return end;
    }
    std::size_t at = 0;
    for (; at + 8 <= count; at += 8) std::memcpy(to + at, from + at, 8);
    std::uint64_t last = 0;
    if (at < count) {
        std::memcpy(&last, from + count - 8, 8);
        last >>= 8 * (at + 8 - count);
    }
    if (off + at < end) std::memcpy(to + at, &last, 8);
    return end;
}

/// One value as a part of `bytes`.
template <class T>
inline std::uint64_t put_one(std::byte* block, std::uint64_t off, const T& value,
                             std::uint64_t bytes) {
    const std::uint64_t end = off + round8(bytes);
    std::memset(block + end - 8, 0, 8);
    put(block + off, value);
    return end;
}

/// The same for elements that are not copied as they lie in memory.
template <class T>
inline std::uint64_t put_each(std::byte* block, std::uint64_t off, std::span<const T> values) {
    const std::uint64_t end = off + round8(values.size() * sizeof(T));
    if (end == off) return end;
    std::memset(block + end - 8, 0, 8);
    for (std::size_t i = 0; i < values.size(); ++i) put(block + off + i * sizeof(T), values[i]);
    return end;
}

/// Walks over the parts of a block that a peer wrote.
class Reader {
   public:
    Reader(const std::byte* block, std::uint32_t size, std::uint32_t fixed)
        : block_(block), size_(size), cursor_(fixed) {}

    /// Accept the next part if it is `want` bytes (and `nul` more) and lies where it must.
    /// Returns the broken rule, 0 if none. `reserve` is what it occupies, at least `want + nul`.
    std::uint32_t take(Part part, std::uint64_t want, std::uint64_t nul, std::uint64_t reserve) {
        if (part.len != want) return 5;
        const std::uint64_t need = round8(reserve);
        if (part.off != cursor_ || need > size_ - cursor_) return 3;
        data_ = block_ + cursor_;
        cursor_ += static_cast<std::uint32_t>(need);
        const std::uint64_t used = want + nul;
        const std::uint64_t gap = round8(used) - used;
        if (gap != 0) {
            const auto last = load<std::uint64_t>(data_ + round8(used) - 8);
            if ((last >> (64U - 8U * gap)) != 0) return 7;
        }
        return 0;
    }
    std::uint32_t take(Part part, std::uint64_t want) { return take(part, want, 0, want); }

    /// Room that an absent text leaves.
    void skip(std::uint64_t bytes) {
        const std::uint64_t need = round8(bytes);
        if (need <= size_ - cursor_) cursor_ += static_cast<std::uint32_t>(need);
    }

    const std::byte* data() const { return data_; }
    /// Where the next part must lie.
    const std::byte* next() const { return block_ + cursor_; }
    /// Whether the parts fill the block exactly.
    bool done() const { return cursor_ == size_; }

   private:
    const std::byte* block_;
    std::uint32_t size_;
    std::uint32_t cursor_;
    const std::byte* data_ = nullptr;
};

/// Not 0 when a byte of the word is 0.
constexpr std::uint64_t zero_bytes(std::uint64_t word) {
    return (word - 0x0101010101010101U) & ~word & 0x8080808080808080U;
}

/// Private copy of a part, so that checking and using see the same bytes. Small ones stay on the
/// stack.
template <class T>
class Copy {
   public:
    Copy() {}  // the small buffer stays as it is: it is written before it is read
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;

    /// Room for `count` values; false when memory is short.
    bool room(std::uint64_t count) {
        count_ = static_cast<std::size_t>(count);
        if (count_ <= kSmall) return true;
        big_.reset(new (std::nothrow) T[count_]);
        return big_ != nullptr;
    }
    bool bytes(const std::byte* from, std::uint64_t count) {
        if (!room(count)) return false;
        if (count_ != 0) std::memcpy(data(), from, count_ * sizeof(T));
        return true;
    }
    /// Element by element, each checked; `good` tells the outcome of the checks.
    bool each(const std::byte* from, std::uint64_t count, bool& good) {
        if (!room(count)) return false;
        good = true;
        for (std::size_t i = 0; i < count_ && good; ++i)
            good = get(from + i * sizeof(T), data()[i]);
        return true;
    }
    /// `length` characters and the NUL behind them, none in between.
    bool text(const std::byte* from, std::uint64_t length, bool& good)
        requires std::is_same_v<T, char>
    {
        if (length < kSmall) {
            count_ = static_cast<std::size_t>(length);
            good = short_text(from, length);
            return true;
        }
        if (!bytes(from, length + 1)) return false;
        count_ = static_cast<std::size_t>(length);
        good = data()[count_] == '\0' && std::memchr(data(), 0, count_) == nullptr;
        return true;
    }
    bool zero(std::uint64_t count) {
        if (!room(count)) return false;
        for (std::size_t i = 0; i < count_; ++i) data()[i] = T{};
        return true;
    }
    T* data() { return big_ ? big_.get() : small_; }
    std::span<T> span() { return {data(), count_}; }

   private:
    static constexpr std::size_t kSmall = sizeof(T) >= 256 ? 1 : 256 / sizeof(T);

    /// Eight characters at a time, copied and looked at in one go: two library calls cost more.
    bool short_text(const std::byte* from, std::uint64_t length) {
        std::uint64_t found = 0;
        std::size_t at = 0;
        for (; at + 8 <= length; at += 8) {
            const auto word = load<std::uint64_t>(from + at);
            std::memcpy(small_ + at, &word, 8);
            found |= zero_bytes(word);
        }
        const auto last = load<std::uint64_t>(from + at);
        std::memcpy(small_ + at, &last, 8);
        const std::uint64_t rest = ~std::uint64_t{0} << (8 * (length - at));
        return (found | zero_bytes(last | rest) | (last & rest)) == 0;
    }

    std::unique_ptr<T[]> big_;
    std::size_t count_ = 0;
    union {
        alignas(8) T small_[kSmall];
    };
};

/// Whether `text` can travel as a string: short enough and without a NUL inside.
inline bool valid_text(std::string_view text, std::uint64_t max) {
    if (text.size() > max) return false;
    if (text.size() < 8 || text.size() > 64) return text.find('\0') == std::string_view::npos;
    std::uint64_t found = 0;
    const auto look = [&](std::size_t at) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, 8);
        found |= zero_bytes(word);
    };
    for (std::size_t i = 0; i + 8 < text.size(); i += 8) look(i);
    look(text.size() - 8);
    return found == 0;
}

}  // namespace hyplink::rpq
