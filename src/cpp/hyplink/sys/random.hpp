/// Bytes that nobody can guess, from the kernel. Thread rule: any thread.
#pragma once

#include <sys/random.h>

#include <cstddef>
#include <span>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/call.hpp"

namespace hyplink::sys {

/// Up to 256 bytes. Does not wait, except right after the machine was started. Errors: system.
inline Status random_bytes(std::span<std::byte> into) {
    HYPLINK_TRY(call("getrandom", [&] { return ::getrandom(into.data(), into.size(), 0); }));
    return {};
}

}  // namespace hyplink::sys
