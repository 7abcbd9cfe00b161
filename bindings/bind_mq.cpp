/// vMQ: one end of a message queue. What may wait releases the GIL; messages and buffers are views
/// in place.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/mq/queue.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using mq::Config;
using mq::Queue;
using Timeout = std::optional<double>;
using Numbers = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;

Config config(const Numbers& numbers) {
    return {std::get<0>(numbers), std::get<1>(numbers), std::get<2>(numbers), std::get<3>(numbers)};
}
Numbers numbers(const Config& of) { return {of.msg_count, of.msg_max, of.data_count, of.data_max}; }

template <class Body>
auto wait(Queue& self, const Timeout& timeout, Body&& body) {
    const Deadline until = deadline(self.end().application().runtime(), timeout);
    return unwrap(without_gil([&] { return body(until); }));
}

py::object view(const Queue& self, std::span<std::byte> bytes) {
    return make_view(bytes.data(), bytes.size(), self.keep());
}

std::shared_ptr<Queue> open(const std::shared_ptr<Application>& application,
                            const std::string& name, std::uint64_t role, VmId peer,
                            const Numbers& tx, const std::optional<Numbers>& rx, bool returns,
                            const Timeout& timeout) {
    mq::QueueOptions options;
    options.name = name;
    options.role = static_cast<guest::PortRole>(role);
    options.peer = peer;
    options.tx = config(tx);
    if (rx) options.rx = config(*rx);
    options.returns = returns;
    const Deadline until = deadline(application->runtime(), timeout);
    return unwrap(without_gil([&] { return Queue::open(application, options, until); }));
}

}  // namespace

void bind_mq(py::module_& module) {
    using Slot = std::uint32_t;
    py::class_<Queue, std::shared_ptr<Queue>>(module, "MessageQueue",
                                              py::release_gil_before_calling_cpp_dtor())
        .def_static("open", &open, py::arg("application"), py::arg("name"), py::arg("role"),
                    py::arg("peer"), py::arg("tx"), py::arg("rx"), py::arg("returns"),
                    py::arg("timeout"))
        .def("wait_on",
             [](Queue& self, const Timeout& timeout) {
                 wait(self, timeout, [&](Deadline until) { return self.wait_on(until); });
             })
        .def("allocate",
             [](Queue& self, const Timeout& timeout) {
                 return wait(self, timeout, [&](Deadline until) { return self.allocate(until); });
             })
        .def("try_allocate", [](Queue& self) { return unwrap(self.try_allocate()); })
        .def("data_allocate",
             [](Queue& self, std::uint64_t bytes) { return unwrap(self.data_allocate(bytes)); })
        .def("data_free", [](Queue& self, std::uint64_t at) { unwrap(self.data_free(at)); })
        .def("send",
             [](Queue& self, Slot slot) { unwrap(without_gil([&] { return self.send(slot); })); })
        .def("send_async", [](Queue& self, Slot slot) { unwrap(self.send_async(slot)); })
        .def("send_flush", &Queue::send_flush, py::call_guard<py::gil_scoped_release>())
        .def("discard", [](Queue& self, Slot slot) { unwrap(self.discard(slot)); })
        .def("receive",
             [](Queue& self, const Timeout& timeout) {
                 return wait(self, timeout, [&](Deadline until) { return self.receive(until); });
             })
        .def("try_receive", [](Queue& self) { return unwrap(self.try_receive()); })
        .def("free", [](Queue& self, Slot slot) { unwrap(self.free(slot)); })
        .def("return_", [](Queue& self,
                           Slot slot) { unwrap(without_gil([&] { return self.return_(slot); })); })
        .def("return_receive",
             [](Queue& self, const Timeout& timeout) {
                 return wait(self, timeout,
                             [&](Deadline until) { return self.return_receive(until); });
             })
        .def("try_return_receive", [](Queue& self) { return unwrap(self.try_return_receive()); })
        .def("return_free", [](Queue& self, Slot slot) { unwrap(self.return_free(slot)); })
        .def("wait_any",
             [](Queue& self, const Timeout& timeout) {
                 wait(self, timeout, [&](Deadline until) { return self.wait_any(until); });
             })
        .def("header", [](const Queue& self, Slot slot) { return view(self, self.header(slot)); })
        .def("received",
             [](const Queue& self, Slot slot) { return view(self, self.received(slot)); })
        .def("data",
             [](const Queue& self, std::uint64_t at) {
                 return view(self, {self.data(at), self.tx().data_max});
             })
        .def("received_data",
             [](const Queue& self, std::uint64_t at) {
                 if (!self.data_offset_ok(at))
                     raise(Error::make(Errc::bad_argument, "vMQ: no buffer begins there"));
                 return view(self, {self.received_data(at), self.rx().data_max});
             })
        .def("data_offset_ok", &Queue::data_offset_ok)
        .def("fileno", [](Queue& self) { return unwrap(self.fileno()); })
        .def("fd_rearm", &Queue::fd_rearm)
        .def("port",  // all of it, for tests that play a peer who writes what it likes
             [](Queue& self) {
                 if (self.link() == nullptr)
                     raise(Error::make(Errc::link_down, "vMQ: nobody is there yet"));
                 return make_view(self.link()->window(), self.link()->window_bytes(), self.keep());
             })
        .def("close", &Queue::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("is_on", &Queue::is_on)
        .def_property_readonly("is_open", &Queue::is_open)
        .def_property_readonly("under_way", &Queue::under_way)
        .def_property_readonly("info", [](Queue& self) { return self.end().info(); })
        .def_property_readonly("peer_id", [](Queue& self) { return self.end().peer(); })
        .def_property_readonly("tx", [](const Queue& self) { return numbers(self.tx()); })
        .def_property_readonly("rx", [](const Queue& self) { return numbers(self.rx()); });
}

}  // namespace hyplink::border
