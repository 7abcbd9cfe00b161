/// Pipes. Whatever may wait releases the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/app/pipe/upipe.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using pipe::Opened;
using pipe::OpenFlags;
using pipe::Pipe;
using pipe::Upipe;

/// The bytes of a contiguous buffer, for as long as it lives.
class Bytes {
   public:
    Bytes(const py::buffer& object, bool writable) {
        if (PyObject_GetBuffer(object.ptr(), &view_,
                               PyBUF_SIMPLE | (writable ? PyBUF_WRITABLE : 0)) != 0)
            throw py::error_already_set();
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    std::span<std::byte> span() const {
        return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }

   private:
    Py_buffer view_{};
};

/// Run with a deadline and without the GIL.
template <class Body>
auto ask(Opened& self, const std::optional<double>& timeout, Body&& body) {
    const Deadline until = deadline(self.application().runtime(), timeout);
    return without_gil([&] { return body(until); });
}

/// None when it would have to wait.
template <class T>
std::optional<T> or_none(Result<T> result) {
    if (result.code() == Errc::would_block) return std::nullopt;
    return unwrap(std::move(result));
}

void bind_opened(py::module_& module) {
    py::class_<Opened>(module, "OpenedPipe")
        .def("close", &Opened::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("is_open", &Opened::is_open)
        .def_property_readonly(
            "connected", [](const Opened& self) { return self.is_open() && self.connected(); })
        .def_property_readonly("peer_vm", &Opened::peer_vm)
        .def_property_readonly("device", &Opened::device)
        .def_property_readonly("in_capacity", &Opened::in_capacity)
        .def_property_readonly("out_capacity", &Opened::out_capacity)
        .def_property("nonblock", &Opened::nonblock, &Opened::set_nonblock)
        .def("readable", [](Opened& self) { return unwrap(self.readable()); })
        .def(
            "poll",
            [](Opened& self, std::uint32_t events, std::optional<double> timeout) {
                return unwrap(
                    ask(self, timeout, [&](Deadline until) { return self.poll(events, until); }));
            },
            py::arg("events"), py::arg("timeout"));
}

void bind_upipe(py::module_& module) {
    py::class_<Upipe, Opened>(module, "Upipe", py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "open",
            [](const std::shared_ptr<Application>& application, const std::string& device,
               bool read, bool write, bool nonblock, std::optional<double> timeout) {
                const Deadline until = deadline(application->runtime(), timeout);
                auto pipe = unwrap(without_gil([&] {
                    return Upipe::open(application, device, {read, write, nonblock, false}, until);
                }));
                pipe->set_interrupt_check(&python_interrupts);
                return pipe;
            },
            py::arg("application"), py::arg("device"), py::arg("read"), py::arg("write"),
            py::arg("nonblock"), py::arg("timeout"))
        .def("view",
             [](const Upipe& self) {
                 return make_view(self.area().data(), self.area().size(), self.region());
             })
        .def_property_readonly("offset", &Upipe::offset)
        .def_property_readonly("reads", &Upipe::reads)
        .def(
            "available_data",
            [](Upipe& self, std::uint64_t bytes, std::optional<double> timeout) {
                return or_none(ask(self, timeout, [&](Deadline until) {
                    return self.available_data(bytes, until);
                }));
            },
            py::arg("bytes"), py::arg("timeout"))
        .def(
            "available_room",
            [](Upipe& self, std::uint64_t bytes, std::optional<double> timeout) {
                return or_none(ask(self, timeout, [&](Deadline until) {
                    return self.available_room(bytes, until);
                }));
            },
            py::arg("bytes"), py::arg("timeout"))
        .def(
            "notify_read",
            [](Upipe& self, std::uint64_t bytes) {
                unwrap(without_gil([&] { return self.notify_read(bytes); }));
            },
            py::arg("bytes"))
        .def(
            "notify_write",
            [](Upipe& self, std::uint64_t bytes) {
                unwrap(without_gil([&] { return self.notify_write(bytes); }));
            },
            py::arg("bytes"));
}

}  // namespace

void bind_pipe(py::module_& module) {
    bind_opened(module);
    bind_upipe(module);
    py::class_<Pipe, Opened>(module, "Pipe", py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "open",
            [](const std::shared_ptr<Application>& application, const std::string& device,
               bool read, bool write, bool nonblock, bool exclusive,
               std::optional<double> timeout) {
                const Deadline until = deadline(application->runtime(), timeout);
                auto pipe = unwrap(without_gil([&] {
                    return Pipe::open(application, device, {read, write, nonblock, exclusive},
                                      until);
                }));
                pipe->set_interrupt_check(&python_interrupts);
                return pipe;
            },
            py::arg("application"), py::arg("device"), py::arg("read"), py::arg("write"),
            py::arg("nonblock"), py::arg("exclusive"), py::arg("timeout"))
        .def_property_readonly("reads_available", &Pipe::reads_available)
        .def(
            "read_into",
            [](Pipe& self, const py::buffer& into, std::optional<double> timeout) {
                const Bytes bytes(into, true);
                return or_none(ask(self, timeout,
                                   [&](Deadline until) { return self.read(bytes.span(), until); }));
            },
            py::arg("into"), py::arg("timeout"))
        .def(
            "write",
            [](Pipe& self, const py::buffer& from, std::optional<double> timeout) {
                const Bytes bytes(from, false);
                return or_none(ask(self, timeout, [&](Deadline until) {
                    return self.write(bytes.span(), until);
                }));
            },
            py::arg("data"), py::arg("timeout"));
}

}  // namespace hyplink::border
