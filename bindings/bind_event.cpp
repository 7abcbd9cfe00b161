/// vEvent: both ends. What may wait or ring releases the GIL; events travel as the bytes of the
/// kernel's `struct input_event`.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/event/back_end.hpp"
#include "hyplink/app/event/front_end.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using vevent::BackEnd;
using vevent::Focus;
using vevent::FrontEnd;
using vevent::InputEvent;
using vevent::Properties;
using vevent::State;
using Timeout = std::optional<double>;

template <class Self, class Body>
auto wait(Application& application, const Timeout& timeout, Self&, Body&& body) {
    const Deadline until = deadline(application.runtime(), timeout);
    return unwrap(without_gil([&] { return body(until); }));
}

py::bytes raw(const void* at, std::size_t bytes) { return {static_cast<const char*>(at), bytes}; }

Properties properties(const py::bytes& bytes) {
    const std::string_view from(bytes);
    Properties made;
    if (from.size() != sizeof made)
        raise(Error::make(Errc::bad_argument, "vEvent: these are no properties"));
    std::memcpy(&made, from.data(), sizeof made);
    return made;
}

/// 0 and up: a VM; -1 everybody; -2 nobody.
Focus focus_of(std::int64_t number) {
    if (number == -1) return Focus::everybody();
    if (number == -2) return Focus::nobody();
    return Focus::vm(number < 0 || number > 0xffff ? 0 : static_cast<VmId>(number));
}
std::int64_t number_of(const Focus& focus) {
    if (focus.kind == Focus::Kind::everybody) return -1;
    if (focus.kind == Focus::Kind::nobody) return -2;
    return focus.id;
}

std::vector<std::uint16_t> on(const State& state, std::uint16_t type) {
    std::vector<std::uint16_t> codes;
    for (std::uint16_t code = 0; code < KEY_CNT; ++code)
        if (state.on(type, code)) codes.push_back(code);
    return codes;
}

/// All events there are, up to `count`, in one look.
py::bytes taken(std::vector<InputEvent>& events, std::size_t count) {
    return raw(events.data(), count * sizeof(InputEvent));
}
std::vector<InputEvent> room(std::size_t most) {
    return std::vector<InputEvent>(most < 1 ? 1 : most > 65536 ? 65536 : most);
}

py::object port_view(vevent::Link* link) {
    if (link == nullptr) raise(Error::make(Errc::link_down, "vEvent: nobody is there yet"));
    return make_view(link->window(), link->window_bytes(), link->context().keep);
}

}  // namespace

void bind_event(py::module_& module) {
    py::class_<BackEnd>(module, "EventBackEnd", py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "open",
            [](const std::shared_ptr<Application>& application, const std::string& name,
               const py::bytes& described, std::uint32_t ring, std::int64_t focus,
               const Timeout& timeout) {
                vevent::BackEndOptions options;
                options.name = name;
                options.properties = properties(described);
                options.ring = ring;
                options.focus = focus_of(focus);
                const Deadline until = deadline(application->runtime(), timeout);
                return unwrap(
                    without_gil([&] { return BackEnd::open(application, options, until); }));
            },
            py::arg("application"), py::arg("name"), py::arg("properties"), py::arg("ring"),
            py::arg("focus"), py::arg("timeout"))
        .def("emit",
             [](BackEnd& self, std::uint16_t type, std::uint16_t code, std::int32_t value) {
                 unwrap(without_gil([&] { return self.emit(type, code, value); }));
             })
        .def("set_focus",
             [](BackEnd& self, std::int64_t focus) {
                 unwrap(without_gil([&] { return self.set_focus(focus_of(focus)); }));
             })
        .def("request_focus",
             [](BackEnd& self, std::int64_t focus) { unwrap(self.request_focus(focus_of(focus))); })
        .def("focus_on_release",
             [](BackEnd& self, std::uint16_t key, std::int64_t focus) {
                 unwrap(self.focus_on_release(key, focus_of(focus)));
             })
        .def("service", &BackEnd::service, py::call_guard<py::gil_scoped_release>())
        .def("wait_front",
             [](BackEnd& self, VmId vm, const Timeout& timeout) {
                 wait(self.application(), timeout, self,
                      [&](Deadline until) { return self.wait_front(vm, until); });
             })
        .def("front_ends", &BackEnd::front_ends, py::call_guard<py::gil_scoped_release>())
        .def("lost", [](const BackEnd& self) { return self.lost(); })
        .def("lost_to", [](const BackEnd& self, VmId vm) { return self.lost(vm); })
        .def("port",  // for tests that play a back end who writes what it likes
             [](BackEnd& self, VmId vm) { return port_view(self.link(vm)); })
        .def("on", [](const BackEnd& self, std::uint16_t type) { return on(self.state(), type); })
        .def("close", &BackEnd::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("focus", [](const BackEnd& self) { return number_of(self.focus()); })
        .def_property_readonly("sent", &BackEnd::sent)
        .def_property_readonly("dropped", &BackEnd::dropped)
        .def_property_readonly("name", &BackEnd::name)
        .def_property_readonly("is_open", &BackEnd::is_open)
        .def_property_readonly("properties", [](const BackEnd& self) {
            return raw(&self.properties(), sizeof(Properties));
        });

    py::class_<FrontEnd>(module, "EventFrontEnd", py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "open",
            [](const std::shared_ptr<Application>& application, const std::string& name,
               const std::string& node, VmId peer, const Timeout& timeout) {
                const vevent::FrontEndOptions options{name, node, peer};
                const Deadline until = deadline(application->runtime(), timeout);
                return unwrap(
                    without_gil([&] { return FrontEnd::open(application, options, until); }));
            },
            py::arg("application"), py::arg("name"), py::arg("node"), py::arg("peer"),
            py::arg("timeout"))
        .def("wait_on",
             [](FrontEnd& self, const Timeout& timeout) {
                 wait(self.end().application(), timeout, self,
                      [&](Deadline until) { return self.wait_on(until); });
             })
        .def("try_on", [](FrontEnd& self) { unwrap(without_gil([&] { return self.try_on(); })); })
        .def("read",
             [](FrontEnd& self, std::size_t most, const Timeout& timeout) {
                 std::vector<InputEvent> events = room(most);
                 const std::size_t count =
                     wait(self.end().application(), timeout, self,
                          [&](Deadline until) { return self.read(events, until); });
                 return taken(events, count);
             })
        .def("try_read",
             [](FrontEnd& self, std::size_t most) {
                 std::vector<InputEvent> events = room(most);
                 const std::size_t count = unwrap(self.try_read(events));
                 return taken(events, count);
             })
        .def("on", [](const FrontEnd& self, std::uint16_t type) { return on(self.state(), type); })
        .def("axis",
             [](const FrontEnd& self, std::uint16_t code) { return self.state().axis(code); })
        .def(
            "touches",
            [](const FrontEnd& self, std::uint16_t code) {
                std::vector<std::int32_t> values;
                if (code < vevent::kTouchFirst || code >= vevent::kTouchFirst + vevent::kTouchCodes)
                    raise(Error::make(Errc::bad_argument, "vEvent: no ABS_MT code of a touch"));
                for (std::size_t touch = 0; touch < self.state().touches(); ++touch)
                    values.push_back(self.state().touch(touch, code));
                return values;
            })
        .def("fileno", [](FrontEnd& self) { return unwrap(self.fileno()); })
        .def("fd_rearm", &FrontEnd::fd_rearm)
        .def("port", [](FrontEnd& self) { return port_view(self.link()); })
        .def("close", &FrontEnd::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("lost", &FrontEnd::lost)
        .def_property_readonly("is_on", &FrontEnd::is_on)
        .def_property_readonly("is_open", &FrontEnd::is_open)
        .def_property_readonly("info", [](FrontEnd& self) { return self.end().info(); })
        .def_property_readonly("peer_id", [](FrontEnd& self) { return self.end().peer(); })
        .def_property_readonly("properties", [](const FrontEnd& self) {
            return raw(&self.properties(), sizeof(Properties));
        });
}

}  // namespace hyplink::border
