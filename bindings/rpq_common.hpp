/// What the bindings of both ends of a vRPQ channel share: requests and replies as Python sees
/// them, and the members that both classes have.
#pragma once

#include <pybind11/stl.h>

#include <cmath>

#include "request.hpp"
#include "rpq_channel.hpp"

namespace hyplink::border {

py::dict counters_of(const ChannelCounters& counters);

/// A request as Python sees it; `view` is of the channel's port.
template <class Channel>
py::object request_object(PyChannel<Channel>& self, const rpq::RequestView& request) {
    Channel& channel = self.open->channel();
    const std::size_t out_at = request.is_call ? channel.offset_of(request.out) : 0;
    return make_request(request, channel.offset_of(request.in), out_at, self.view,
                        self.readonly_view, self.empty_view);
}

/// A Python function as a handler in C++. Called without the GIL; what it raises passes through.
template <class Channel>
auto python_handler(PyChannel<Channel>& self, py::object function) {
    // The channel owns the handler, so it may hold a plain reference to the channel. The function
    // is let go with the GIL.
    const std::shared_ptr<py::object> held(new py::object(std::move(function)),
                                           [](py::object* dying) {
                                               py::gil_scoped_acquire held_again;
                                               delete dying;
                                           });
    return [&self, held](const rpq::RequestView& request) -> std::int32_t {
        py::gil_scoped_acquire taken;
        const py::object status = (*held)(request_object(self, request));
        return status.is_none() ? 0 : status.cast<std::int32_t>();
    };
}

template <class Channel>
py::tuple reply_tuple(Channel& channel, const rpq::ReplyView& reply) {
    return py::make_tuple(reply.status, reply.out == nullptr ? 0 : channel.offset_of(reply.out),
                          reply.out_bytes);
}

template <class Type, class Channel>
void bind_common(py::class_<Type>& type) {
    type.def("close", &Type::close,
             "Close this end; the peer gets what was published, then EPIPE. Idempotent.")
        .def_property_readonly("is_open", [](Type& self) { return self.open->is_open(); })
        .def_property_readonly(
            "window", [](Type& self) { return self.view; }, "The port, as writable bytes.")
        .def_property_readonly(
            "state",
            [](Type& self) {
                return self.open->is_open() ? static_cast<int>(self.open->channel().state()) : 4;
            },
            "1 open, 2 peer closed, 3 dead, 4 closed.")
        .def_property_readonly("corrupt", [](Type& self) { return self.open->channel().corrupt(); })
        .def_property_readonly("number",
                               [](Type& self) { return self.open->channel().context().channel; })
        .def_property_readonly("link",
                               [](Type& self) { return self.open->channel().context().link; })
        .def_property_readonly("peer_vm",
                               [](Type& self) { return self.open->channel().context().peer; })
        .def_property_readonly("label",
                               [](Type& self) { return self.open->channel().context().label; })
        .def_property_readonly("info", [](Type& self) { return py::bytes(self.open->info()); })
        .def_property_readonly(
            "counters", [](Type& self) { return counters_of(self.open->channel().counters()); })
        .def(
            "fileno", [](Type& self) { return unwrap(self.channel().fileno()); },
            "A descriptor that becomes readable when the bell rings; switches the bell to "
            "event-loop mode.")
        .def("fd_rearm", [](Type& self) { self.channel().fd_rearm(); })
        .def(
            "set_timeout",
            [](Type& self, std::optional<double> seconds) {
                self.channel().set_timeout(
                    seconds ? static_cast<std::int64_t>(std::ceil(*seconds * 1e9)) : -1);
            },
            py::arg("seconds"), "How long `begin` waits for room; None for ever.");
}

}  // namespace hyplink::border
