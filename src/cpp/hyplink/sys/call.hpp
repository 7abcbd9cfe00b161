/// System calls with their name, arguments and errno in one line, EINTR retried, and failable on
/// purpose.
///
///     Fd fd(HYPLINK_TRY(call("memfd_create", [&] { return ::memfd_create(name, MFD_CLOEXEC); })));
///
/// Tests make the n-th call of this process fail (`fail_nth_call`), n = 1, 2, … until a scenario
/// succeeds. Thread rule: any thread.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "hyplink/base/result.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::sys {

/// Make the n-th call from now fail with `error` (0 switches it off). A negative one is a signal
/// that the process gets there instead (-SIGKILL, -SIGSTOP). Returns the calls counted so far.
std::uint64_t fail_nth_call(std::uint64_t nth, int error);

namespace detail {
/// 0, or the errno this call must pretend to have met.
int injected_fault();
}  // namespace detail

/// What an errno means. Unlike strerror() it has no buffer that threads could share.
inline const char* explain(int number) {
    const char* known = ::strerrordesc_np(number);
    return known != nullptr ? known : "unknown error";
}

inline Error system_error(const char* what, int number, const std::string& facts = {}) {
    return Error::make(static_cast<Errc>(number),
                       text(what, facts.empty() ? "" : " ", facts, ": ", explain(number)));
}

/// Run `body` until it is not interrupted. Its result is >= 0, or -1 with errno.
template <class Body>
auto call(const char* what, Body&& body, const std::string& facts = {})
    -> Result<decltype(body())> {
    if (const int fault = detail::injected_fault(); fault != 0)
        return system_error(what, fault, facts + " (injected)");
    for (;;) {
        auto result = body();
        if (result >= 0) return result;
        if (errno != EINTR) return system_error(what, errno, facts);
    }
}

}  // namespace hyplink::sys
