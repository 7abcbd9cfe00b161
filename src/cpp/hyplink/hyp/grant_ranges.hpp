/// Ranges of pages and sets of VMs, as the grant table counts them. Private to `hyp/grant*`.
#pragma once

#include <string>

#include "hyplink/base/text.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::hyp::granting {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t bit(VmId vm) { return 1U << vm; }

inline std::string show(MemRange range) {
    return text(range.bytes, " bytes at 0x", std::hex, range.at);
}

inline bool whole_pages(MemRange range) {
    return range.bytes != 0 && range.at % kPage == 0 && range.bytes % kPage == 0 &&
           range.at + range.bytes > range.at && range.bytes / kPage <= 0xffffffffU;
}

}  // namespace hyplink::hyp::granting
