/// The `info` string of a vlink: `key=value` pieces in any order, sizes with K, M or G.
/// The class that owns the vlink reads its own keys. Source: spec 002 3.1.2.1; vlx-facts 1.5.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hyplink {

/// The text after `key=` up to ',' or the end, blanks trimmed; nothing if the key is absent.
std::optional<std::string_view> info_value(std::string_view info, std::string_view key);

/// "2M", "0x1000", "4096", "128k". Nothing if it is not a size or does not fit 63 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace hyplink
