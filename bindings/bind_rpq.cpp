/// vRPQ: applications, sessions, both ends of a channel.
///
/// | call                         | GIL                                            |
/// | begin, post, notify          | kept; released when the ring is full or seeded |
/// | call, receive, session calls | released                                       |
/// | state, counters, offsets     | kept                                           |
/// | handlers of callbacks and of nested requests | taken                         |
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "border.hpp"
#include "hyplink/backend/socket_link.hpp"
#include "hyplink/base/text.hpp"
#include "request.hpp"
#include "rpq_channel.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using rpq::ClientChannel;
using rpq::ServerChannel;
using rpq::Session;

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

std::uint32_t begin(PyClient& self, std::uint32_t proc, std::uint32_t bytes) {
    ClientChannel& channel = self.channel();
    if (std::byte* block = channel.begin_fast(proc, bytes)) [[likely]]
        return channel.offset_of(block);
    return channel.offset_of(unwrap(self.away([&] { return channel.begin(proc, bytes); })));
}

void notify(PyClient& self) {
    ClientChannel& channel = self.channel();
    if (!self.runtime().seeded()) return unwrap(channel.notify());
    unwrap(self.away([&] { return channel.notify(); }));
}

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

/// The bytes of a contiguous buffer.
py::buffer_info bytes_of(const py::buffer& data) {
    py::buffer_info info = data.request();
    if (info.size * info.itemsize > 0 &&
        (info.ndim != 1 || info.strides[0] != static_cast<py::ssize_t>(info.itemsize)))
        throw py::value_error("parameters: expected contiguous bytes");
    return info;
}
std::uint32_t size_of(const py::buffer_info& info) {
    const auto bytes = static_cast<std::uint64_t>(info.size * info.itemsize);
    if (bytes > UINT32_MAX) throw py::value_error("parameters: more than 4 GiB");
    return static_cast<std::uint32_t>(bytes);
}

template <class Channel>
py::tuple reply_tuple(Channel& channel, const rpq::ReplyView& reply) {
    return py::make_tuple(reply.status, reply.out == nullptr ? 0 : channel.offset_of(reply.out),
                          reply.out_bytes);
}

// begin and post once more, as plain C functions: generated stubs call them for every request, and
// the general dispatch costs more than the work.

PyClient& fast_self(PyObject* capsule) {
    return *static_cast<PyClient*>(PyCapsule_GetPointer(capsule, nullptr));
}

template <class Body>
PyObject* fast_call(Body&& body) {
    try {
        return body();
    } catch (py::error_already_set& raised) {
        raised.restore();
    } catch (const std::exception& failure) {
        PyErr_SetString(PyExc_RuntimeError, failure.what());
    }
    return nullptr;
}

PyObject* fast_begin(PyObject* capsule, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "begin() takes a procedure and a number of bytes");
        return nullptr;
    }
    const unsigned long proc = PyLong_AsUnsignedLong(arguments[0]);
    const unsigned long bytes = PyLong_AsUnsignedLong(arguments[1]);
    if (PyErr_Occurred() != nullptr) return nullptr;
    if (proc > UINT32_MAX || bytes > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "begin(): expected 32-bit numbers");
        return nullptr;
    }
    return fast_call([&] {
        return PyLong_FromUnsignedLong(begin(fast_self(capsule), static_cast<std::uint32_t>(proc),
                                             static_cast<std::uint32_t>(bytes)));
    });
}

PyObject* fast_post(PyObject* capsule, PyObject*) {
    return fast_call([&]() -> PyObject* {
        unwrap(fast_self(capsule).channel().post());
        Py_RETURN_NONE;
    });
}

PyMethodDef fast_begin_method = {
    "begin", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(&fast_begin)), METH_FASTCALL,
    "begin(proc, nbytes) -> offset"};
PyMethodDef fast_post_method = {"post", &fast_post, METH_NOARGS, "post()"};

/// A C function bound to a channel; it keeps the channel alive.
py::object fast_method(const py::object& channel, PyMethodDef& method) {
    PyObject* capsule = PyCapsule_New(&channel.cast<PyClient&>(), nullptr, [](PyObject* dying) {
        Py_XDECREF(static_cast<PyObject*>(PyCapsule_GetContext(dying)));
    });
    if (capsule == nullptr) throw py::error_already_set();
    const auto owned = py::reinterpret_steal<py::object>(capsule);
    PyCapsule_SetContext(capsule, channel.inc_ref().ptr());
    PyObject* made = PyCFunction_NewEx(&method, capsule, nullptr);
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(made);
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

}  // namespace

void bind_rpq(py::module_& module) {
    py::class_<Application, std::shared_ptr<Application>> own(
        module, "Application", py::release_gil_before_calling_cpp_dtor(),
        "An application of a VM: its way to the guest kernel.");
    bind_request(module);

    py::class_<PyClient> client(module, "RpqClientChannel",
                                "Client end of a vRPQ channel. One thread at a time.");
    bind_common<PyClient, ClientChannel>(client);
    client
        .def_property_readonly(
            "fast_begin",
            [](const py::object& self) { return fast_method(self, fast_begin_method); },
            "`begin` for code that calls it for every request.")
        .def_property_readonly(
            "fast_post", [](const py::object& self) { return fast_method(self, fast_post_method); },
            "`post`, likewise.")
        .def("begin", &begin, py::arg("proc"), py::arg("nbytes"))
        .def("post", [](PyClient& self) { unwrap(self.channel().post()); })
        .def("notify", &notify)
        .def("post_and_notify",
             [](PyClient& self) {
                 unwrap(self.channel().post());
                 notify(self);
             })
        .def(
            "begin_call",
            [](PyClient& self, std::uint32_t proc, std::uint32_t in_bytes,
               std::uint32_t out_bytes) {
                ClientChannel& channel = self.channel();
                auto block = self.maybe_away(
                    [&] { return channel.try_begin_call(proc, in_bytes, out_bytes); });
                if (block.code() == Errc::would_block)
                    block =
                        self.away([&] { return channel.begin_call(proc, in_bytes, out_bytes); });
                return channel.offset_of(unwrap(std::move(block)));
            },
            py::arg("proc"), py::arg("in_bytes"), py::arg("out_bytes"))
        .def(
            "call",
            [](PyClient& self, std::optional<double> timeout) {
                ClientChannel& channel = self.channel();
                const Deadline until = deadline(self.runtime(), timeout);
                try {
                    return reply_tuple(channel,
                                       unwrap(self.away([&] { return channel.call(until); })));
                } catch (...) {
                    channel.call_forget();  // Ctrl-C: nobody will ask for this answer again
                    throw;
                }
            },
            py::arg("timeout") = py::none())
        .def("call_start",
             [](PyClient& self) {
                 ClientChannel& channel = self.channel();
                 unwrap(self.away([&] { return channel.call_start(); }));
             })
        .def(
            "try_reply",
            [](PyClient& self) -> py::object {
                ClientChannel& channel = self.channel();
                auto reply = channel.try_reply();
                if (reply.code() == Errc::would_block) return py::none();
                return reply_tuple(channel, unwrap(std::move(reply)));
            },
            "The reply, or None while there is none.")
        .def("call_forget", [](PyClient& self) { self.channel().call_forget(); })
        .def(
            "on_callback",
            [](PyClient& self, const py::object& handler) {
                if (handler.is_none())
                    self.channel().on_callback({});
                else
                    self.channel().on_callback(python_handler(self, handler));
            },
            py::arg("handler"), "handler(request) -> status or None")
        .def(
            "handle_callbacks",
            [](PyClient& self, std::optional<double> timeout) {
                ClientChannel& channel = self.channel();
                const Deadline until = deadline(self.runtime(), timeout);
                return unwrap(self.away([&] { return channel.handle_callbacks(until); }));
            },
            py::arg("timeout") = py::none())
        .def(
            "try_handle_callbacks",
            [](PyClient& self) -> std::uint32_t {
                ClientChannel& channel = self.channel();
                auto handled = self.away([&] { return channel.try_handle_callbacks(); });
                if (handled.code() == Errc::would_block) return 0;
                return unwrap(std::move(handled));
            },
            "How many were there and are handled.")
        .def_property_readonly("in_callback",
                               [](PyClient& self) { return self.open->channel().in_callback(); })
        .def_property_readonly("pending",
                               [](PyClient& self) {
                                   self.alone();
                                   return self.open->channel().pending();
                               })
        .def_property_readonly("block_max",
                               [](PyClient& self) { return self.open->channel().block_max(); });

    py::class_<PyServer> server(module, "RpqServerChannel",
                                "Server end of a vRPQ channel. One thread at a time.");
    bind_common<PyServer, ServerChannel>(server);
    auto batch = [](PyServer& self, std::span<const rpq::Request> requests) {
        py::list out(requests.size());
        for (std::size_t i = 0; i < requests.size(); ++i)
            out[i] = request_object(self, requests[i]);
        return out;
    };
    server
        .def(
            "receive",
            [batch](PyServer& self, std::uint32_t count, std::optional<double> timeout) {
                ServerChannel& channel = self.channel();
                const Deadline until = deadline(self.runtime(), timeout);
                return batch(self,
                             unwrap(self.away([&] { return channel.receive(count, until); })));
            },
            py::arg("max_requests") = 64, py::arg("timeout") = py::none())
        .def(
            "try_receive",
            [batch](PyServer& self, std::uint32_t count) -> py::object {
                ServerChannel& channel = self.channel();
                auto requests = self.maybe_away([&] { return channel.try_receive(count); });
                if (requests.code() == Errc::would_block) return py::none();
                return batch(self, unwrap(std::move(requests)));
            },
            py::arg("max_requests") = 64)
        .def("set_reason",
             [](PyServer& self, std::int32_t reason) { self.channel().set_reason(reason); })
        .def("acknowledge",
             [](PyServer& self) {
                 ServerChannel& channel = self.channel();
                 unwrap(self.maybe_away([&] { return channel.acknowledge(); }));
             })
        .def("fail",
             [](PyServer& self, int number, std::string why) {
                 self.channel().fail(Error::make(static_cast<Errc>(number), std::move(why)));
             })
        .def_property_readonly("call_given_up",
                               [](PyServer& self) { return self.open->channel().call_given_up(); })
        .def(
            "callback_begin",
            [](PyServer& self, std::uint32_t proc, std::uint32_t nbytes) {
                ServerChannel& channel = self.channel();
                return channel.offset_of(
                    unwrap(self.maybe_away([&] { return channel.callback_begin(proc, nbytes); })));
            },
            py::arg("proc"), py::arg("nbytes"))
        .def("callback_post",
             [](PyServer& self) {
                 ServerChannel& channel = self.channel();
                 unwrap(self.maybe_away([&] { return channel.callback_post(); }));
             })
        .def(
            "callback_post_bytes",
            [](PyServer& self, std::uint32_t proc, const py::buffer& data, std::uint32_t drop,
               std::uint32_t keep) {
                ServerChannel& channel = self.channel();
                const py::buffer_info info = bytes_of(data);
                std::byte* block = unwrap(self.maybe_away([&] {
                    return channel.callback_begin(proc, size_of(info), static_cast<rpq::Drop>(drop),
                                                  keep);
                }));
                if (size_of(info) != 0) std::memcpy(block, info.ptr, size_of(info));
                unwrap(self.maybe_away([&] { return channel.callback_post(); }));
            },
            py::arg("proc"), py::arg("data"), py::arg("drop"), py::arg("keep"))
        .def(
            "callback_begin_call",
            [](PyServer& self, std::uint32_t proc, std::uint32_t in_bytes,
               std::uint32_t out_bytes) {
                ServerChannel& channel = self.channel();
                return channel.offset_of(unwrap(self.away(
                    [&] { return channel.callback_begin_call(proc, in_bytes, out_bytes); })));
            },
            py::arg("proc"), py::arg("in_bytes"), py::arg("out_bytes"))
        .def(
            "callback_call",
            [](PyServer& self, std::optional<double> timeout) {
                ServerChannel& channel = self.channel();
                const Deadline until = deadline(self.runtime(), timeout);
                try {
                    return reply_tuple(
                        channel, unwrap(self.away([&] { return channel.callback_call(until); })));
                } catch (...) {
                    channel.callback_forget();  // Ctrl-C, or what a nested handler raised
                    throw;
                }
            },
            py::arg("timeout") = py::none())
        .def("callback_forget", [](PyServer& self) { self.channel().callback_forget(); })
        .def(
            "on_nested",
            [](PyServer& self, const py::object& handler) {
                if (handler.is_none())
                    self.channel().on_nested({});
                else
                    self.channel().on_nested(python_handler(self, handler));
            },
            py::arg("handler"), "handler(request) -> status or None")
        .def_property_readonly(
            "callback_block_max",
            [](PyServer& self) { return self.open->channel().callback_block_max(); })
        .def_property_readonly("callbacks_kept",
                               [](PyServer& self) { return self.open->channel().callbacks_kept(); })
        .def(
            "check_hello",
            [](PyServer& self, const std::string& ours, const std::string& theirs) {
                const auto refusal = rpq::hello_refusal(ours, theirs);
                if (!refusal) return;
                self.channel().refuse(*refusal);
                raise(rpq::refusal_error(*refusal));
            },
            py::arg("own"), py::arg("theirs"),
            "Refuse the channel and raise when the client speaks another version.");

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

    own.def_static("from_fd",
                   [](int fd) {
                       auto application =
                           unwrap(without_gil([&] { return backend::application_from_fd(fd); }));
                       application->set_interrupt_check(&python_interrupts);
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

}  // namespace hyplink::border
