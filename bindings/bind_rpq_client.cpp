/// vRPQ: the client end of a channel.
///
/// | call                           | GIL                                            |
/// | begin, post, notify            | kept; released when the ring is full or seeded |
/// | call, handle_callbacks         | released                                       |
/// | state, counters, offsets       | kept                                           |
/// | handlers of callbacks          | taken                                          |
#include "rpq_common.hpp"

namespace hyplink::border {
namespace {

using rpq::ClientChannel;

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

}  // namespace

void bind_rpq_client(py::module_& module) {
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
                auto reply = self.away([&] { return channel.try_reply(); });
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
}

}  // namespace hyplink::border
