/// vRPQ: applications and sessions. Every call that asks the kernel releases the GIL.
#include "hyplink/backend/socket_link.hpp"
#include "rpq_common.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using rpq::Session;

void bind_session(py::module_& module) {
    py::class_<Session>(module, "RpqSession", py::release_gil_before_calling_cpp_dtor())
        .def(
            "create_channel",
            [](Session& self, std::uint64_t bytes, const std::string& info,
               std::optional<double> timeout, Application& application) {
                const Deadline until = deadline(application.runtime(), timeout);
                return PyClient(
                    unwrap(without_gil([&] { return self.create_channel(bytes, info, until); })));
            },
            py::arg("parameter_bytes"), py::arg("info"), py::arg("timeout"), py::arg("application"))
        .def(
            "accept_channel",
            [](Session& self, std::optional<double> timeout, Application& application) {
                const Deadline until = deadline(application.runtime(), timeout);
                return PyServer(unwrap(without_gil([&] { return self.accept_channel(until); })));
            },
            py::arg("timeout"), py::arg("application"))
        .def(
            "close", [](Session& self) { self.close(); }, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("state",
                               [](const Session& self) { return static_cast<int>(self.state()); })
        .def_property_readonly("number", &Session::number)
        .def_property_readonly("peer_vm", &Session::peer_vm)
        .def_property_readonly("peer_app", &Session::peer_app)
        .def_property_readonly("device", &Session::device)
        .def_property_readonly("role",
                               [](const Session& self) { return std::string(name(self.role())); })
        .def_property_readonly("info", [](const Session& self) { return py::bytes(self.info()); });
}

void bind_application(py::class_<Application, std::shared_ptr<Application>>& own) {
    own.def_static("from_fd",
                   [](int fd) {
                       auto application =
                           unwrap(without_gil([&] { return backend::application_from_fd(fd); }));
                       application->set_interrupt_check(&python_interrupts);
                       application->runtime().set_hears_late(&python_hears_late);
                       return application;
                   })
        .def_property_readonly("vm", &Application::vm)
        .def_property_readonly("id", &Application::id)
        .def_property_readonly("closed", &Application::closed)
        .def("close", &Application::close, py::call_guard<py::gil_scoped_release>())
        .def("devices",
             [](Application& self) {
                 guest::SysRequest request;
                 request.op = guest::Sys::list;
                 const auto reply =
                     unwrap(without_gil([&] { return self.call(request, Deadline::never()); }));
                 return reply.data;
             })
        .def(
            "create_session",
            [](const std::shared_ptr<Application>& self, const std::string& device,
               const std::string& info, std::optional<double> timeout) {
                const Deadline until = deadline(self->runtime(), timeout);
                return unwrap(
                    without_gil([&] { return Session::create(self, device, info, until); }));
            },
            py::arg("device"), py::arg("info"), py::arg("timeout"))
        .def(
            "accept_session",
            [](const std::shared_ptr<Application>& self, const std::string& device,
               std::optional<double> timeout) {
                const Deadline until = deadline(self->runtime(), timeout);
                return unwrap(without_gil([&] { return Session::accept(self, device, until); }));
            },
            py::arg("device"), py::arg("timeout"));
}

}  // namespace

py::dict counters_of(const ChannelCounters& c) {
    py::dict out;
    out["posts"] = c.posts;
    out["batches"] = c.batches;
    out["calls"] = c.calls;
    out["receives"] = c.receives;
    out["requests"] = c.requests;
    out["xirqs"] = c.xirqs;
    out["wakes"] = c.wakes;
    out["copies"] = c.copies;
    out["copied_bytes"] = c.copied_bytes;
    out["full_events"] = c.full_events;
    out["ring_peak"] = c.ring_peak;
    out["pmem_peak"] = c.pmem_peak;
    out["lost"] = c.lost;
    out["callbacks"] = c.callbacks;
    out["callbacks_dropped"] = c.callbacks_dropped;
    out["callback_calls"] = c.callback_calls;
    out["latency_count"] = c.latency_count;
    out["latency_sum_ns"] = c.latency_sum;
    out["latency_max_ns"] = c.latency_max;
    out["batch_max"] = c.batch_max;
    out["ring_now"] = c.ring_now;
    out["pmem_now"] = c.pmem_now;
    out["full_requests"] = c.full_requests;
    out["recycles"] = c.recycles;
    out["procedures"] = c.procedures;
    out["uncounted"] = c.uncounted;
    return out;
}

void bind_rpq_client(py::module_& module);
void bind_rpq_server(py::module_& module);

void bind_rpq(py::module_& module) {
    py::class_<Application, std::shared_ptr<Application>> own(
        module, "Application", py::release_gil_before_calling_cpp_dtor(),
        "An application of a VM: its way to the guest kernel.");
    bind_request(module);
    bind_rpq_client(module);
    bind_rpq_server(module);
    bind_session(module);
    bind_application(own);
}

}  // namespace hyplink::border
