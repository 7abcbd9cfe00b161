/// The border between C++ and Python: errors, deadlines, waiting.
///
/// GIL: kept for calls that only look; released for whatever may wait or hand over to another task
/// of a seeded bench. Signals: a wait that is interrupted takes the GIL, asks Python, and goes on
/// or raises.
#pragma once

#include <pybind11/pybind11.h>

#include <cmath>
#include <optional>

#include "hyplink/base/runtime.hpp"

namespace hyplink::border {

namespace py = pybind11;

/// Raise the class of `hyplink.errors` for this error, with `errno` and `pending` set.
[[noreturn]] void raise(const Error& error);

template <class T>
T unwrap(Result<T> result) {
    if (!result) raise(result.error());
    return *std::move(result);
}
inline void unwrap(const Status& status) {
    if (!status) raise(status.error());
}

/// Seconds to a deadline; None waits for ever, a negative number is a ValueError. Rounds up.
inline Deadline deadline(Runtime& runtime, const std::optional<double>& seconds) {
    if (!seconds) return Deadline::never();
    if (!(*seconds >= 0))
        throw py::value_error("timeout: expected a number of seconds >= 0, or None");
    if (*seconds > 1e9) return Deadline::never();
    return runtime.in(static_cast<std::int64_t>(std::ceil(*seconds * 1e9)));
}

/// True if a Python signal handler raised: the wait must end. Takes the GIL.
bool python_interrupts();

/// Whether Python's signal handlers run in this thread. A signal that came before its sleep, or to
/// another thread, is known to Python only, and whoever asks Python needs the GIL.
bool python_hears_late();

/// Run a blocking operation without the GIL. `body(deadline)` is repeated after a signal that did
/// not raise.
template <class Body>
auto without_gil(Body&& body) {
    for (;;) {
        auto result = [&] {
            py::gil_scoped_release released;
            return body();
        }();
        if (result.code() != Errc::interrupted) return result;
        if (PyErr_Occurred() != nullptr || PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
}

}  // namespace hyplink::border
