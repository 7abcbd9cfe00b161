/// vION: buffers by global id. Whatever asks the kernel releases the GIL; views are in place.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/ion/ion.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using ion::Buffer;
using ion::Ion;

template <class Body>
auto ask(Runtime& runtime, const std::optional<double>& timeout, Body&& body) {
    const Deadline until = deadline(runtime, timeout);
    return unwrap(without_gil([&] { return body(until); }));
}

void need_open(const Buffer& buffer) {
    if (buffer.region() == nullptr)
        unwrap(Status(Error::make(Errc::closed, "the buffer is closed")));
}

}  // namespace

void bind_ion(py::module_& module) {
    py::class_<Buffer>(module, "IonBuffer", py::release_gil_before_calling_cpp_dtor())
        .def(
            "share",
            [](Buffer& self, const std::shared_ptr<Application>& application,
               std::optional<double> timeout) {
                return ask(application->runtime(), timeout,
                           [&](Deadline until) { return self.share(until); });
            },
            py::arg("application"), py::arg("timeout"))
        .def("close", &Buffer::close, py::call_guard<py::gil_scoped_release>())
        .def("view",
             [](const Buffer& self) {
                 need_open(self);
                 return make_view(self.data(), self.size(), self.region());
             })
        .def("fileno",
             [](const Buffer& self) {
                 need_open(self);
                 return self.fd();
             })
        .def_property_readonly("nbytes",
                               [](const Buffer& self) {
                                   need_open(self);
                                   return self.size();
                               })
        .def_property_readonly("is_open",
                               [](const Buffer& self) { return self.region() != nullptr; })
        .def_property_readonly("id", &Buffer::id)
        .def_property_readonly("is_lost", &Buffer::is_lost);

    py::class_<Ion>(module, "Ion", py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "open",
            [](const std::shared_ptr<Application>& application, std::optional<double> timeout) {
                return ask(application->runtime(), timeout,
                           [&](Deadline until) { return Ion::open(application, until); });
            },
            py::arg("application"), py::arg("timeout"))
        .def(
            "alloc",
            [](Ion& self, std::uint64_t bytes) {
                return unwrap(without_gil([&] { return self.alloc(bytes); }));
            },
            py::arg("nbytes"))
        .def(
            "import_buffer",
            [](Ion& self, std::uint64_t id, std::optional<double> timeout) {
                return ask(self.application().runtime(), timeout,
                           [&](Deadline until) { return self.import(id, until); });
            },
            py::arg("id"), py::arg("timeout"))
        .def("close", &Ion::close, py::call_guard<py::gil_scoped_release>());
}

}  // namespace hyplink::border
