/// vIPC: calls over a vMQ. What may wait releases the GIL; an answer is the call's own copy.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/ipc/context.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using ipc::Call;
using ipc::CallOptions;
using ipc::Context;
using Timeout = std::optional<double>;

template <class Body>
void wait(Context& self, const Timeout& timeout, Body&& body) {
    const Deadline until = deadline(self.queue().end().application().runtime(), timeout);
    unwrap(without_gil([&] { return body(until); }));
}

/// Bytes of any contiguous buffer, for the duration of a call.
class Bytes {
   public:
    explicit Bytes(const py::buffer& from) {
        if (PyObject_GetBuffer(from.ptr(), &view_, PyBUF_SIMPLE) != 0)
            throw py::error_already_set();
    }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    ~Bytes() { PyBuffer_Release(&view_); }
    std::span<const std::byte> span() const {
        return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }

   private:
    Py_buffer view_{};
};

py::object view(const Context& context, std::span<std::byte> bytes) {
    if (bytes.empty()) raise(Error::make(Errc::bad_argument, "vIPC: nothing of the call is there"));
    return make_view(bytes.data(), bytes.size(), context.queue().keep());
}

}  // namespace

void bind_ipc(py::module_& module) {
    py::class_<Call>(module, "IpcCall", py::release_gil_before_calling_cpp_dtor())
        .def_property_readonly("cookie", &Call::cookie)
        .def_property_readonly("data_offset", &Call::data_offset)
        .def("done", &Call::done)
        .def("check", [](const Call& self) { unwrap(self.outcome()); })
        .def("answer",
             [](const Call& self) {
                 return py::bytes(reinterpret_cast<const char*>(self.answer().data()),
                                  self.answer().size());
             })
        .def("release", &Call::release, py::call_guard<py::gil_scoped_release>());
    py::class_<Context>(module, "IpcContext", py::release_gil_before_calling_cpp_dtor())
        .def(py::init<std::shared_ptr<mq::Queue>>(), py::arg("queue"))
        .def(
            "make_call", [](Context&) { return std::make_unique<Call>(); }, py::keep_alive<0, 1>())
        .def("submit",
             [](Context& self, Call& call, const py::buffer& params, const py::buffer& data,
                std::uint64_t room, const Timeout& timeout) {
                 const Bytes words(params), bytes(data);
                 wait(self, timeout, [&](Deadline until) {
                     return self.submit(call, words.span(), bytes.span(), {room, room != 0}, until);
                 });
             })
        .def("begin",
             [](Context& self, Call& call, std::uint64_t bytes, bool keep, const Timeout& timeout) {
                 wait(self, timeout,
                      [&](Deadline until) { return self.begin(call, {bytes, keep}, until); });
             })
        .def("send", [](Context& self,
                        Call& call) { unwrap(without_gil([&] { return self.send(call); })); })
        .def("send_async", [](Context& self, Call& call) { unwrap(self.send_async(call)); })
        .def("flush", &Context::flush, py::call_guard<py::gil_scoped_release>())
        .def("wait",
             [](Context& self, Call& call, const Timeout& timeout) {
                 wait(self, timeout, [&](Deadline until) { return self.wait(call, until); });
             })
        .def("wait_any",
             [](Context& self, const Timeout& timeout) {
                 wait(self, timeout, [&](Deadline until) { return self.wait_any(until); });
             })
        .def("poll", &Context::poll, py::call_guard<py::gil_scoped_release>())
        .def("process_reply", &Context::process_reply, py::call_guard<py::gil_scoped_release>())
        .def("abort_calls",
             [](Context& self, int number, const std::string& why) {
                 const Error error = Error::make(static_cast<Errc>(number), why);
                 py::gil_scoped_release released;
                 return self.abort_calls(error);
             })
        .def("params",
             [](const Context& self, const Call& call) { return view(self, call.params()); })
        .def("data", [](const Context& self, const Call& call) { return view(self, call.data()); })
        .def_property_readonly("under_way", &Context::under_way)
        .def_property_readonly("unknown", &Context::unknown)
        .def_property_readonly("room", &Context::room);
}

}  // namespace hyplink::border
