/// vUmem: servers, sessions, buffers, and mappings that count who looks at them.
///
/// | call                          | GIL                                        |
/// | whatever asks the kernel      | released                                   |
/// | state, sizes, views           | kept                                       |
/// | letting go of a lent buffer   | taken: it is a Python object's             |
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/umem/session.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using umem::Memory;
using umem::Request;
using umem::Server;
using umem::Session;

struct PyBuffer {
    std::unique_ptr<umem::Buffer> open;
    explicit PyBuffer(std::unique_ptr<umem::Buffer> made) : open(std::move(made)) {}
    PyBuffer(PyBuffer&&) = default;
    ~PyBuffer() {
        py::gil_scoped_release released;
        open.reset();
    }
    Runtime& runtime() { return open->application().runtime(); }
};

/// Memory of a buffer as long as it is mapped. `exports` counts the views, which is why unmapping
/// can be refused while somebody looks.
struct View {
    std::byte* data;
    std::size_t size;
    py::object owner;  // the buffer: it must not unmap by itself
    py::ssize_t exports = 0;
};

int view_get(PyObject* self, Py_buffer* into, int flags) {
    auto& view = py::cast<View&>(py::handle(self));
    if (view.data == nullptr) {
        PyErr_SetString(PyExc_BufferError, "the buffer is not mapped any more");
        into->obj = nullptr;
        return -1;
    }
    if (PyBuffer_FillInfo(into, self, view.data, static_cast<py::ssize_t>(view.size), 0, flags) !=
        0)
        return -1;
    view.exports += 1;
    return 0;
}

void view_release(PyObject* self, Py_buffer*) { py::cast<View&>(py::handle(self)).exports -= 1; }

/// A Python buffer that stays what it is while it is lent; let go with the GIL, from any thread.
std::shared_ptr<void> keep_buffer(const py::buffer& data, void*& place, std::uint64_t& bytes) {
    auto info = std::make_unique<py::buffer_info>(data.request(true));
    if (info->size * info->itemsize > 0 && PyBuffer_IsContiguous(info->view(), 'C') == 0)
        throw py::value_error("memory: expected a contiguous buffer");
    place = info->ptr;
    bytes = static_cast<std::uint64_t>(info->size * info->itemsize);
    return {info.release(), [](py::buffer_info* dying) {
                py::gil_scoped_acquire taken;
                delete dying;
            }};
}

template <class Body>
auto ask(Runtime& runtime, const std::optional<double>& timeout, Body&& body) {
    const Deadline until = deadline(runtime, timeout);
    return unwrap(without_gil([&] { return body(until); }));
}

umem::Response response_of(int error, std::uint32_t buffer, const std::string& argument,
                           const std::shared_ptr<Memory>& memory,
                           const std::optional<py::buffer>& place, std::uint32_t attributes) {
    umem::Response response;
    response.error = error;
    response.buffer = buffer;
    response.opaque = argument;
    response.memory = memory;
    response.attributes = attributes;
    if (place) response.keep = keep_buffer(*place, response.place, response.bytes);
    response.no_memory = !memory && !place;
    return response;
}

void respond(Server& self, int error, std::uint32_t buffer, const std::string& argument,
             const std::shared_ptr<Memory>& memory, const std::optional<py::buffer>& place,
             std::uint32_t attributes) {
    umem::Response response = response_of(error, buffer, argument, memory, place, attributes);
    const Status status = without_gil([&] {
        Status done = self.respond(response);
        response.keep.reset();  // here, where it may take the GIL
        return done;
    });
    unwrap(status);
}

Request respond_and_receive(Server& self, int error, std::uint32_t buffer,
                            const std::string& argument, const std::shared_ptr<Memory>& memory,
                            const std::optional<py::buffer>& place, std::uint32_t attributes,
                            std::optional<double> timeout) {
    umem::Response response = response_of(error, buffer, argument, memory, place, attributes);
    return ask(self.application().runtime(), timeout, [&](Deadline until) {
        auto next = self.respond_and_receive(response, until);
        response.keep.reset();  // here, where it may take the GIL
        return next;
    });
}

}  // namespace

void bind_umem(py::module_& module) {
    py::class_<View>(module, "UmemMapping", py::custom_type_setup([](PyHeapTypeObject* heap) {
                         heap->as_buffer.bf_getbuffer = &view_get;
                         heap->as_buffer.bf_releasebuffer = &view_release;
                         heap->ht_type.tp_as_buffer = &heap->as_buffer;
                     }),
                     "Memory of a mapped buffer.")
        .def_property_readonly("exports", [](const View& self) { return self.exports; });

    py::class_<Memory, std::shared_ptr<Memory>>(module, "UmemMemory", py::buffer_protocol(),
                                                "Zeroed whole pages that can be lent.")
        .def(py::init([](std::uint64_t bytes) { return unwrap(Memory::make(bytes)); }),
             py::arg("nbytes"))
        .def_buffer([](Memory& memory) {
            return py::buffer_info(reinterpret_cast<std::uint8_t*>(memory.data()),
                                   static_cast<py::ssize_t>(memory.size()));
        })
        .def_property_readonly("nbytes", [](const Memory& self) { return self.size(); });

    py::class_<Request>(module, "UmemRequest", "What a client asks of a vUmem server.")
        .def_property_readonly("command",
                               [](const Request& self) { return static_cast<int>(self.command); })
        .def_readonly("buffer", &Request::buffer)
        .def_readonly("vm", &Request::vm)
        .def_readonly("app", &Request::app)
        .def_property_readonly("argument",
                               [](const Request& self) { return py::bytes(self.opaque); });

    py::class_<Server, std::shared_ptr<Server>>(module, "UmemServer",
                                                py::release_gil_before_calling_cpp_dtor())
        .def_static(
            "create",
            [](const std::shared_ptr<Application>& application, const std::string& device,
               std::optional<double> timeout) {
                return ask(application->runtime(), timeout, [&](Deadline until) {
                    return Server::create(application, device, until);
                });
            },
            py::arg("application"), py::arg("device"), py::arg("timeout"))
        .def(
            "receive",
            [](Server& self, std::optional<double> timeout) {
                return ask(self.application().runtime(), timeout,
                           [&](Deadline until) { return self.receive(until); });
            },
            py::arg("timeout"))
        .def("respond", &respond, py::arg("error"), py::arg("buffer"), py::arg("argument"),
             py::arg("memory"), py::arg("place"), py::arg("attributes"))
        .def("respond_and_receive", &respond_and_receive, py::arg("error"), py::arg("buffer"),
             py::arg("argument"), py::arg("memory"), py::arg("place"), py::arg("attributes"),
             py::arg("timeout"))
        .def("destroy", &Server::destroy, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("is_open", &Server::is_open)
        .def_property_readonly("number", &Server::number);

    // Named before they are described: their methods speak of each other.
    py::class_<Session> own_session(module, "UmemSession",
                                    py::release_gil_before_calling_cpp_dtor());
    py::class_<PyBuffer> own_buffer(module, "UmemBuffer", "A buffer of a vUmem server.");
    own_session
        .def_static(
            "create",
            [](const std::shared_ptr<Application>& application, const std::string& device,
               bool master, std::optional<double> timeout) {
                return ask(application->runtime(), timeout, [&](Deadline until) {
                    return Session::create(application, device, master, until);
                });
            },
            py::arg("application"), py::arg("device"), py::arg("master"), py::arg("timeout"))
        .def(
            "alloc",
            [](Session& self, const std::string& argument, std::optional<double> timeout) {
                return PyBuffer(ask(self.application().runtime(), timeout,
                                    [&](Deadline until) { return self.alloc(argument, until); }));
            },
            py::arg("argument"), py::arg("timeout"))
        .def("close", &Session::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("is_open", &Session::is_open)
        .def_property_readonly("is_dead", &Session::is_dead)
        .def_property_readonly("is_master", &Session::is_master)
        .def_property_readonly("peer_vm", &Session::peer_vm);

    own_buffer
        .def_static(
            "imported",
            [](const std::shared_ptr<Application>& application, const std::string& device,
               std::uint64_t low, std::uint64_t high, std::optional<double> timeout) {
                return PyBuffer(ask(application->runtime(), timeout, [&](Deadline until) {
                    return umem::import_buffer(application, device, umem::Token{low, high}, until);
                }));
            },
            py::arg("application"), py::arg("device"), py::arg("low"), py::arg("high"),
            py::arg("timeout"))
        .def(
            "map",
            [](const py::object& owner, std::optional<double> timeout) {
                auto& self = owner.cast<PyBuffer&>();
                std::byte* data = ask(self.runtime(), timeout,
                                      [&](Deadline until) { return self.open->map(until); });
                return View{data, static_cast<std::size_t>(self.open->bytes()), owner};
            },
            py::arg("timeout"))
        .def(
            "unmap",
            [](PyBuffer& self, View& view) {
                if (view.exports != 0)
                    throw py::buffer_error("the buffer has " + std::to_string(view.exports) +
                                           " live views");
                view.data = nullptr;
                unwrap(without_gil([&] { return self.open->unmap(); }));
            },
            py::arg("mapping"))
        .def(
            "free",
            [](PyBuffer& self, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.open->free(until); }));
            },
            py::arg("timeout"))
        .def(
            "register_with",
            [](PyBuffer& self, Session& session, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.open->register_with(session, until); }));
            },
            py::arg("session"), py::arg("timeout"))
        .def(
            "unregister",
            [](PyBuffer& self, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.open->unregister(until); }));
            },
            py::arg("timeout"))
        .def(
            "cache",
            [](PyBuffer& self, std::uint32_t operations, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                unwrap(without_gil([&] { return self.open->cache(operations, until); }));
            },
            py::arg("operations"), py::arg("timeout"))
        .def(
            "control_remote",
            [](PyBuffer& self, std::string argument, std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                std::uint64_t word = 0;
                unwrap(without_gil([&] {
                    return self.open->control(umem::Control::remote, argument, word, until);
                }));
                return py::bytes(argument);
            },
            py::arg("argument"), py::arg("timeout"))
        .def(
            "control_local",
            [](PyBuffer& self, std::uint32_t command, std::uint64_t word,
               std::optional<double> timeout) {
                const Deadline until = deadline(self.runtime(), timeout);
                std::string nothing;
                unwrap(without_gil([&] {
                    return self.open->control(static_cast<umem::Control>(command), nothing, word,
                                              until);
                }));
                return word;
            },
            py::arg("command"), py::arg("word"), py::arg("timeout"))
        .def_property_readonly("id", [](PyBuffer& self) { return self.open->id(); })
        .def_property_readonly("nbytes", [](PyBuffer& self) { return self.open->bytes(); })
        .def_property_readonly("attributes", [](PyBuffer& self) { return self.open->attributes(); })
        .def_property_readonly("argument",
                               [](PyBuffer& self) { return py::bytes(self.open->opaque()); })
        .def_property_readonly("token_low", [](PyBuffer& self) { return self.open->token().low; })
        .def_property_readonly("token_high", [](PyBuffer& self) { return self.open->token().high; })
        .def_property_readonly("is_open", [](PyBuffer& self) { return self.open->is_open(); })
        .def_property_readonly("is_lost", [](PyBuffer& self) { return self.open->is_lost(); });

    module.def(
        "umem_profile",
        [](Application& application, const std::string& device, bool reset,
           std::optional<double> timeout) {
            return ask(application.runtime(), timeout, [&](Deadline until) {
                return umem::profile(application, device, reset, until);
            });
        },
        py::arg("application"), py::arg("device"), py::arg("reset"), py::arg("timeout"));
}

}  // namespace hyplink::border
