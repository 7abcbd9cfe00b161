/// Three kinds of address that do not convert silently: guest (IPA), machine (PA), offset in a
/// region.
#pragma once

#include <compare>
#include <cstdint>

namespace hyplink::mem {

/// Address in a VM's own map. Zero is "no memory", as in NKDDI.
struct Ipa {
    std::uint64_t value = 0;
    auto operator<=>(const Ipa&) const = default;
    explicit operator bool() const { return value != 0; }
};

/// Address in the machine's map, known to the hypervisor only.
struct Pa {
    std::uint64_t value = 0;
    auto operator<=>(const Pa&) const = default;
};

/// Position in a region.
struct Offset {
    std::uint64_t value = 0;
    auto operator<=>(const Offset&) const = default;
};

/// True if [offset, offset + bytes) lies in [0, size). Never overflows.
constexpr bool fits(std::uint64_t offset, std::uint64_t bytes, std::uint64_t size) {
    return offset <= size && bytes <= size - offset;
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

}  // namespace hyplink::mem
