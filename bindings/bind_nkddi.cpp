/// NKDDI for applications: vlinks, resources, XIRQs, the handshake.
///
/// | call                                       | GIL | | next, allocations, maps, set_state,
/// trigger | released                                         | | VlinkDriver.step | released;
/// taken again for each callback           | | states, ids, mask, unmask                  | kept |
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using nkddi::Nkddi;
using nkddi::VlinkDriver;

Role role_of(bool server) { return server ? Role::server : Role::client; }

/// A driver whose callbacks are Python's. It holds them during a step only, so that Python sees
/// every cycle they are part of. What one raises leaves through step().
class PyDriver {
   public:
    PyDriver(std::shared_ptr<Nkddi> nkddi, std::uint64_t vlink, bool server)
        : nkddi_(std::move(nkddi)),
          driver_(*nkddi_, mem::Ipa{vlink}, role_of(server), {call(0), call(1), call(2), call(3)}) {
    }

    void step(const py::object& reset, const py::object& start, const py::object& up,
              const py::object& down) {
        callbacks_ = {reset, start, up, down};
        const Status done = without_gil([&] { return driver_.step(); });
        callbacks_ = {};
        if (raised_) {
            py::error_already_set raised = std::move(*raised_);
            raised_.reset();
            throw raised;
        }
        unwrap(done);
    }
    VlinkDriver& driver() { return driver_; }

   private:
    std::function<Status()> call(std::size_t which) {
        return [this, which]() -> Status {
            py::gil_scoped_acquire acquired;
            try {
                if (const py::object callback = callbacks_[which]; callback && !callback.is_none())
                    callback();
                return {};
            } catch (py::error_already_set& raised) {
                raised_.emplace(std::move(raised));
                return Error::make(Errc::cancelled, "a callback raised");
            }
        };
    }
    std::shared_ptr<Nkddi> nkddi_;
    std::array<py::object, 4> callbacks_;
    std::optional<py::error_already_set> raised_;
    VlinkDriver driver_;
};

}  // namespace

void bind_nkddi(py::module_& module) {
    module.attr("SYSCONF") = kSysconf;
    py::class_<Nkddi, std::shared_ptr<Nkddi>>(module, "Nkddi",
                                              "An application that drives vlinks by itself.")
        .def(py::init([](const std::shared_ptr<app::Application>& application) {
                 return std::shared_ptr<Nkddi>(
                     unwrap(without_gil([&] { return Nkddi::open(application); })));
             }),
             py::arg("application"))
        .def("close", &Nkddi::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("id", &Nkddi::id)
        .def_property_readonly("last_id", &Nkddi::last_id)
        .def("running",
             [](Nkddi& self) { return unwrap(without_gil([&] { return self.running_ids(); })); })
        .def("lookup",
             [](Nkddi& self, const std::string& name, std::uint64_t previous) {
                 return self.vlink_lookup(name, mem::Ipa{previous}).value;
             })
        .def(
            "describe",
            [](Nkddi& self, std::uint64_t vlink) {
                const hyp::VlinkDescriptor* link = self.descriptor(mem::Ipa{vlink});
                if (link == nullptr)
                    raise(Error::make(Errc::bad_argument, "not a vlink of this VM"));
                const std::string name(link->name, ::strnlen(link->name, sizeof link->name));
                return py::make_tuple(name, link->link, link->index, link->s_id, link->c_id);
            },
            "(class, link number, index on the board, server's VM, client's VM).")
        .def("info", [](Nkddi& self, std::uint64_t vlink,
                        bool server) { return self.info(mem::Ipa{vlink}, role_of(server)); })
        .def("state",
             [](Nkddi& self, std::uint64_t vlink, bool server) {
                 return static_cast<int>(self.state(mem::Ipa{vlink}, role_of(server)));
             })
        .def("set_state",
             [](Nkddi& self, std::uint64_t vlink, bool server, std::uint32_t state) {
                 return static_cast<int>(unwrap(without_gil([&] {
                     return self.set_state(mem::Ipa{vlink}, role_of(server),
                                           static_cast<LinkState>(state));
                 })));
             })
        .def("pmem",
             [](Nkddi& self, std::uint64_t vlink, std::uint32_t id, std::uint64_t bytes) {
                 return unwrap(without_gil(
                                   [&] { return self.pmem_alloc(mem::Ipa{vlink}, id, bytes); }))
                     .value;
             })
        .def("pdev",
             [](Nkddi& self, std::uint64_t vlink, std::uint32_t id, std::uint64_t bytes) {
                 return unwrap(without_gil(
                                   [&] { return self.pdev_alloc(mem::Ipa{vlink}, id, bytes); }))
                     .value;
             })
        .def("pxirq",
             [](Nkddi& self, std::uint64_t vlink, std::uint32_t id, VmId owner,
                std::uint32_t count) {
                 return unwrap(without_gil(
                     [&] { return self.pxirq_alloc(mem::Ipa{vlink}, id, owner, count); }));
             })
        .def("map",
             [](Nkddi& self, std::uint64_t address, std::uint64_t bytes) {
                 auto window =
                     unwrap(without_gil([&] { return self.map(mem::Ipa{address}, bytes); }));
                 return make_view(window.data, bytes, window.region);
             })
        .def("trigger",
             [](Nkddi& self, XirqNumber number, VmId vm) {
                 unwrap(without_gil([&] { return self.trigger(number, vm); }));
             })
        .def(
            "attach",
            [](Nkddi& self, XirqNumber number, bool masked) {
                return unwrap(without_gil([&] { return self.attach(number, {}, masked); }));
            },
            py::arg("number"), py::arg("masked"))
        .def("detach", &Nkddi::detach, py::call_guard<py::gil_scoped_release>())
        .def("mask", &Nkddi::mask)
        .def("unmask", &Nkddi::unmask)
        .def(
            "take", [](Nkddi& self) { return unwrap(without_gil([&] { return self.take(); })); },
            "The pending number whose turn it is, or 0.")
        .def(
            "next",
            [](Nkddi& self, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                return unwrap(without_gil([&] { return self.next(until); }));
            },
            py::arg("timeout"));

    py::class_<PyDriver>(module, "VlinkDriver", "The handshake of one end.")
        .def(py::init<std::shared_ptr<Nkddi>, std::uint64_t, bool>())
        .def("step", &PyDriver::step)
        .def("set_target", [](PyDriver& self, bool up) { self.driver().set_target(up); })
        .def_property_readonly("is_up", [](PyDriver& self) { return self.driver().is_up(); })
        .def_property_readonly(
            "state", [](PyDriver& self) { return static_cast<int>(self.driver().state()); });
}

}  // namespace hyplink::border
