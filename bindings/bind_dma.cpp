/// A VM's device that moves memory. Whatever asks the kernel releases the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/memory/dma_device.hpp"

namespace hyplink::border {
namespace {

using app::DmaDevice;

/// (state, fault, checksum, address, done, rounds)
py::tuple row(const hyp::DmaReply& reply) {
    return py::make_tuple(static_cast<std::uint32_t>(reply.state),
                          static_cast<std::uint32_t>(reply.fault), reply.checksum, reply.at,
                          reply.done, reply.rounds);
}

}  // namespace

void bind_dma(py::module_& module) {
    py::class_<DmaDevice, std::shared_ptr<DmaDevice>>(module, "DmaDevice",
                                                      py::release_gil_before_calling_cpp_dtor(),
                                                      "A device of a VM that moves memory.")
        .def(py::init([](const std::shared_ptr<app::Application>& application) {
                 return unwrap(without_gil([&] { return DmaDevice::open(application); }));
             }),
             py::arg("application"))
        .def("close", &DmaDevice::close, py::call_guard<py::gil_scoped_release>())
        .def("attach", [](DmaDevice& self,
                          int fd) { return unwrap(without_gil([&] { return self.attach(fd); })); })
        .def("detach",
             [](DmaDevice& self, std::uint64_t at) {
                 unwrap(without_gil([&] { return self.detach(at); }));
             })
        .def(
            "start",
            [](DmaDevice& self, std::uint32_t kind, std::uint64_t from, std::uint64_t to,
               std::uint64_t bytes, std::uint32_t value, bool repeat) {
                hyp::DmaOrder order;
                order.kind = static_cast<hyp::DmaKind>(kind);
                order.from = from;
                order.to = to;
                order.bytes = bytes;
                order.value = value;
                order.repeat = repeat ? 1 : 0;
                return unwrap(without_gil([&] { return self.start(order); }));
            },
            py::arg("kind"), py::arg("source"), py::arg("target"), py::arg("nbytes"),
            py::arg("value"), py::arg("repeat"))
        .def("look",
             [](DmaDevice& self, std::uint32_t job) {
                 return row(unwrap(without_gil([&] { return self.look(job); })));
             })
        .def(
            "wait",
            [](DmaDevice& self, std::uint32_t job, std::optional<double> timeout) {
                const Deadline until = deadline(self.application().runtime(), timeout);
                return row(unwrap(without_gil([&] { return self.wait(job, until); })));
            },
            py::arg("job"), py::arg("timeout"))
        .def("stop", [](DmaDevice& self, std::uint32_t job) {
            unwrap(without_gil([&] { return self.stop(job); }));
        });
}

}  // namespace hyplink::border
