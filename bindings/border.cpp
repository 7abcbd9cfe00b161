#include "border.hpp"

#include <unistd.h>

namespace hyplink::border {

void raise(const Error& error) {
    const py::object made =
        py::module_::import("hyplink.errors").attr("from_errno")(error.number(), error.text());
    if (error.pending() != 0 || error.code() == Errc::peer_dead)
        made.attr("pending") = error.pending();
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
    throw py::error_already_set();
}

bool python_interrupts() {
    py::gil_scoped_acquire acquired;
    // The exception stays set for the thread that waits.
    return PyErr_Occurred() != nullptr || PyErr_CheckSignals() != 0;
}

bool python_hears_late() { return ::gettid() == ::getpid(); }

}  // namespace hyplink::border
