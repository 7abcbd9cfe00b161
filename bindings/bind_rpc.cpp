/// vRPC: both ends of a named procedure. Whatever may wait releases the GIL; views are in place.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "border.hpp"
#include "hyplink/app/rpc/rpc.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::Application;
using rpc::Client;
using rpc::Name;
using rpc::Server;
using Timeout = std::optional<double>;

/// Runs `function(peer)` with the GIL, from whatever thread hears of a death.
std::function<void(VmId)> notifier(py::function function) {
    auto held = std::shared_ptr<py::function>(new py::function(std::move(function)),
                                              [](py::function* last) {
                                                  py::gil_scoped_acquire gil;
                                                  delete last;
                                              });
    return [held](VmId peer) {
        py::gil_scoped_acquire gil;
        try {
            (*held)(peer);
        } catch (py::error_already_set& failure) {
            failure.discard_as_unraisable("vrpc off notifier");
        }
    };
}

template <class End>
std::unique_ptr<End> open(const std::shared_ptr<Application>& application, const std::string& name,
                          std::uint64_t over, VmId peer, const Timeout& timeout) {
    const Deadline until = deadline(application->runtime(), timeout);
    return unwrap(
        without_gil([&] { return End::open(application, Name{name, over, peer}, until); }));
}

template <class End>
py::object view(const End& self) {
    return make_view(self.data(), self.maxsize(), self.keep());
}

/// A signal whose handler does not raise gives no call up.
std::uint32_t call(Client& self, std::uint32_t size, Deadline until) {
    bool made = false;
    return unwrap(without_gil([&] {
        auto answered = made ? self.resume(until) : self.call(size, until);
        made = answered.code() == Errc::interrupted;
        return answered;
    }));
}

py::bytes call_bytes(Client& self, const py::buffer& data, const Timeout& timeout) {
    const py::buffer_info info = data.request();
    const auto size = static_cast<std::uint64_t>(info.size * info.itemsize);
    if (!PyBuffer_IsContiguous(info.view(), 'C'))
        throw py::value_error("call: expected a contiguous buffer");
    if (self.is_open() && size <= self.maxsize() && size != 0)
        std::memcpy(self.data(), info.ptr, size);
    const Deadline until = deadline(self.end().application().runtime(), timeout);
    const auto asked = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, UINT32_MAX));
    const std::uint32_t answered = call(self, asked, until);
    return {reinterpret_cast<const char*>(self.data()), answered};
}

template <class End>
void properties(py::class_<End>& type) {
    type.def_static("open", &open<End>, py::arg("application"), py::arg("name"), py::arg("over"),
                    py::arg("peer"), py::arg("timeout"))
        .def("close", &End::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("is_open", &End::is_open)
        .def_property_readonly("maxsize", &End::maxsize)
        .def_property_readonly("info", [](End& self) { return self.end().info(); })
        .def_property_readonly("peer_id", [](End& self) { return self.end().peer(); })
        .def_property_readonly("link", [](End& self) { return self.end().link(); })
        // All of the port, for tests that play a peer who writes what it likes.
        .def("port",
             [](End& self) {
                 if (self.channel() == nullptr)
                     raise(Error::make(Errc::bad_argument, "vRPC: nobody is there yet"));
                 return make_view(self.channel()->window(), self.channel()->window_bytes(),
                                  self.keep());
             })
        .def("off_notifier", [](End& self, py::object function) {
            auto off = notifier(py::function(std::move(function)));
            py::gil_scoped_release released;
            self.off_notifier(std::move(off));
        });
}

}  // namespace

void bind_rpc(py::module_& module) {
    py::class_<Client> client(module, "RpcClient", py::release_gil_before_calling_cpp_dtor());
    properties(client);
    client.def("view", &view<Client>)
        .def_property_readonly("served", &Client::served)
        .def(
            "call",
            [](Client& self, std::uint32_t size, const Timeout& timeout) {
                return call(self, size, deadline(self.end().application().runtime(), timeout));
            },
            py::arg("size"), py::arg("timeout"))
        .def("call_bytes", &call_bytes, py::arg("data"), py::arg("timeout"));

    py::class_<Server> server(module, "RpcServer", py::release_gil_before_calling_cpp_dtor());
    properties(server);
    server
        .def("view",
             [](const Server& self) {
                 if (self.data() == nullptr)
                     raise(Error::make(Errc::bad_argument, "vRPC: no call was received yet"));
                 return view(self);
             })
        .def(
            "receive",
            [](Server& self, const Timeout& timeout) {
                const Deadline until = deadline(self.end().application().runtime(), timeout);
                return unwrap(without_gil([&] { return self.receive(until); }));
            },
            py::arg("timeout"))
        .def(
            "answer",
            [](Server& self, std::uint32_t size) {
                // A seeded bench may hand over to another task here.
                unwrap(without_gil([&] { return self.answer(size); }));
            },
            py::arg("size"));
}

}  // namespace hyplink::border
