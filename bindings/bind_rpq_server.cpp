/// vRPQ: the server end of a channel.
///
/// | call                         | GIL                       |
/// | receive, callback_call       | released                  |
/// | acknowledge, callback_post   | kept; released when seeded |
/// | state, counters, offsets     | kept                      |
/// | handlers of nested requests  | taken                     |
#include <cstring>

#include "rpq_common.hpp"

namespace hyplink::border {
namespace {

using rpq::ServerChannel;

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

}  // namespace

void bind_rpq_server(py::module_& module) {
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
}

}  // namespace hyplink::border
