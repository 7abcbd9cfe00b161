/// What the device tree says of pipes: their classes, and the info string of each.
/// Source: vlx-facts 1.5, 4; document 002 3.3.2.1. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hyplink/base/result.hpp"

namespace hyplink::guest {

enum class PipeKind : std::uint32_t {
    both = 0,    ///< vbpipe: two vlinks, one in each direction
    bytes = 1,   ///< vpipe: one vlink, the client writes and the server reads
    mapped = 2,  ///< vupipe: the same, without copies
};

/// Nothing if this device class is no pipe.
std::optional<PipeKind> pipe_kind(std::string_view device_class);

struct PipeConfig {
    PipeKind kind = PipeKind::both;
    bool available = false;     ///< a read returns what there is
    std::uint64_t size = 4096;  ///< of the ring; what the product keeps its indices in included
    std::optional<std::uint32_t> minor;
    std::string name;  ///< of the device; empty: class and number

    /// `[a];[size];[minor];key=value…` of a vbpipe, a size of the others. Errors: bad_argument.
    static Result<PipeConfig> parse(PipeKind kind, std::string_view info);
    /// Bytes that fit: the product has 16 (vbpipe) or 8 (vpipe) of `size` for its indices.
    std::uint64_t capacity() const;
    /// The memory of all ports there may be at a time, those of an ending pipe included.
    std::uint64_t budget() const;
};

}  // namespace hyplink::guest
