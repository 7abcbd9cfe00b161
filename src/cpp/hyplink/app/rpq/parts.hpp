/// Parts with a shape of their own: arrays of texts or arrays, lists that end at a value.
#pragma once

#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

/// How many elements a list has up to and with the first `last`, looked for every `step` elements;
/// 0: it does not end.
template <class T>
std::uint64_t count_until(std::span<const T> values, T last, std::uint64_t step) {
    for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(step))
        if (values[i] == last) return i + 1;
    return 0;
}

/// An inner array of characters is a text with a NUL behind it.
template <class T, bool Text>
using NestedView = std::conditional_t<Text, std::string_view, std::span<const T>>;

/// Bytes of the places and of all inner parts.
template <class T, bool Text>
std::uint64_t nested_bytes(std::span<const NestedView<T, Text>> views) {
    std::uint64_t all = views.size() * 8;
    for (const auto& view : views) all += round8(view.size() * sizeof(T) + (Text ? 1 : 0));
    return all;
}

/// Whether `views` may travel: few enough, small enough together, texts without a NUL inside.
template <class T, bool Text>
bool valid_nested(std::span<const NestedView<T, Text>> views, std::uint64_t count,
                  std::uint64_t max) {
    if (views.size() > count) return false;
    std::uint64_t left = max;
    for (const auto& view : views) {
        if (view.size() > left) return false;
        left -= view.size();
        if constexpr (Text) {
            if (!valid_text(view, max)) return false;
        }
    }
    return true;
}

/// Places at `place`, then the inner parts; returns the offset behind all.
template <class T, bool Text>
std::uint64_t put_nested(std::byte* block, std::uint64_t off,
                         std::span<const NestedView<T, Text>> views) {
    std::uint64_t cursor = off + views.size() * 8;
    for (std::size_t i = 0; i < views.size(); ++i) {
        const std::uint64_t bytes = views[i].size() * sizeof(T);
        put_part(block + off + i * 8, cursor, bytes);
        cursor = put_bytes(block, cursor, views[i].data(), bytes, Text ? 1 : 0);
    }
    return cursor;
}

/// Reads what `put_nested` wrote, each place once: `open`, then `take` for each inner part in
/// order, then `close`.
template <class T, bool Text>
class Nested {
   public:
    using View = NestedView<T, Text>;

    std::uint32_t open(Reader& parts, Part part, std::uint64_t count) {
        if (const auto rule = parts.take(part, count * 8)) return rule;
        if (!places_.room(count) || !views_.room(count)) return kNoMemory;
        for (std::size_t i = 0; i < count; ++i) places_.data()[i] = load_part(parts.data() + i * 8);
        begin_ = parts.next();
        return 0;
    }
    /// The carried length of an inner part in elements; a broken one breaks rule 5 in `take`.
    std::uint64_t length(std::size_t i) { return places_.data()[i].len / sizeof(T); }
    /// Accept inner part `i` with so many elements; all of them together are at most `max`.
    std::uint32_t take(Reader& parts, std::size_t i, std::uint64_t count, std::uint64_t max) {
        if (count > max - total_) return 3;
        total_ += count;
        const std::uint64_t bytes = count * sizeof(T);
        if (const auto rule =
                parts.take(places_.data()[i], bytes, Text ? 1 : 0, bytes + (Text ? 1 : 0)))
            return rule;
        // Its place in the region, until `close` knows where the region ends up.
        places_.data()[i].off = static_cast<std::uint32_t>(parts.data() - begin_);
        return 0;
    }
    /// `copy`: the region is copied first. Texts always are, for they are looked at.
    std::uint32_t close(Reader& parts, bool copy) {
        const std::byte* from = begin_;
        if (copy || Text) {
            if (!region_.bytes(begin_, static_cast<std::uint64_t>(parts.next() - begin_)))
                return kNoMemory;
            from = region_.data();
        }
        const auto places = places_.span();
        for (std::size_t i = 0; i < places.size(); ++i) {
            const std::byte* at = from + places[i].off;
            const std::size_t count = places[i].len / sizeof(T);
            if constexpr (Text) {
                const char* text = reinterpret_cast<const char*>(at);
                if (text[count] != '\0' || std::memchr(text, 0, count) != nullptr) return 7;
                views_.data()[i] = View(text, count);
            } else {
                views_.data()[i] = View(reinterpret_cast<const T*>(at), count);
            }
        }
        return 0;
    }
    std::span<const View> span() { return views_.span(); }

   private:
    Copy<Part> places_;
    Copy<View> views_;
    Copy<std::byte> region_;
    const std::byte* begin_ = nullptr;
    std::uint64_t total_ = 0;
};

}  // namespace hyplink::rpq
