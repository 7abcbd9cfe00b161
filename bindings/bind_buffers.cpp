/// The ledger behind buffers in calls: names, sides and sizes; what a name leads to is kept in
/// Python. All calls keep the GIL, for none waits; `take` of a room that has none releases it.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/buffers/introduction.hpp"
#include "hyplink/app/buffers/ledger.hpp"
#include "hyplink/app/buffers/room.hpp"
#include "rpq_channel.hpp"

namespace hyplink::border {
namespace {

using buffers::BufferRef;
using buffers::Holder;
using buffers::Ledger;
using buffers::Side;

struct PyRoom {
    PyClient& client;
    buffers::Room room;
};

/// Where the bytes go, or None: they never fit, or the channel says why when it is used.
std::optional<std::uint64_t> take(PyRoom& self, std::uint64_t nbytes, bool first) {
    static_cast<void>(self.client.channel());
    auto taken = self.room.try_take(nbytes, first);
    if (taken.code() == Errc::would_block)
        taken = self.client.away([&] { return self.room.take(nbytes, first); });
    switch (taken.code()) {
        case Errc::ok:
        case Errc::timed_out:
        case Errc::interrupted:
        case Errc::ring_full:
            return unwrap(std::move(taken));
        default:
            return std::nullopt;
    }
}

}  // namespace

void bind_buffers(py::module_& module) {
    py::class_<Ledger, std::shared_ptr<Ledger>>(module, "BufferLedger",
                                                "Which buffers calls may name, and on which side.")
        .def(py::init([](bool server) {
                 return std::make_shared<Ledger>(server ? Side::server : Side::client);
             }),
             py::arg("server"))
        .def(
            "add",
            [](Ledger& self, std::uint64_t nbytes) {
                const BufferRef made = self.add({nullptr, nbytes, {}});
                return std::pair(made.slot, made.generation);
            },
            py::arg("nbytes"))
        .def(
            "adopt",
            [](Ledger& self, std::uint32_t slot, std::uint32_t generation, std::uint64_t nbytes) {
                self.adopt({slot, generation, 0, nbytes}, {nullptr, nbytes, {}});
            },
            py::arg("slot"), py::arg("generation"), py::arg("nbytes"))
        .def(
            "let",
            [](Ledger& self, std::uint32_t slot, VmId vm, std::uint32_t app) {
                unwrap(self.let(slot, {vm, app}));
            },
            py::arg("slot"), py::arg("vm"), py::arg("app"))
        .def(
            "withdraw",
            [](Ledger& self, std::uint32_t slot, VmId vm, std::uint32_t app) {
                self.withdraw(slot, {vm, app});
            },
            py::arg("slot"), py::arg("vm"), py::arg("app"))
        .def("remove", &Ledger::remove, py::arg("slot"))
        .def(
            "admit",
            [](const Ledger& self, std::uint32_t slot, std::uint32_t generation,
               std::uint64_t offset, std::uint64_t length, VmId vm, std::uint32_t app) {
                unwrap(self.admit({slot, generation, offset, length}, {vm, app}));
            },
            py::arg("slot"), py::arg("generation"), py::arg("offset"), py::arg("length"),
            py::arg("vm"), py::arg("app"))
        .def(
            "allows",
            [](const Ledger& self, std::uint32_t slot, std::uint32_t generation,
               std::uint64_t offset, std::uint64_t length, VmId vm, std::uint32_t app) {
                return self.resolve({slot, generation, offset, length}, {vm, app}).has_value();
            },
            py::arg("slot"), py::arg("generation"), py::arg("offset"), py::arg("length"),
            py::arg("vm"), py::arg("app"))
        .def(
            "moved",
            [](Ledger& self, std::uint32_t slot, std::uint32_t generation, bool given,
               std::uint64_t via) { self.moved({slot, generation, 0, 0}, given, via); },
            py::arg("slot"), py::arg("generation"), py::arg("given"), py::arg("via"))
        .def(
            "is_here",
            [](const Ledger& self, std::uint32_t slot, std::uint32_t generation) {
                return self.is_here({slot, generation, 0, 0});
            },
            py::arg("slot"), py::arg("generation"))
        .def(
            "is_known",
            [](const Ledger& self, std::uint32_t slot, std::uint32_t generation) {
                return self.is_known({slot, generation, 0, 0});
            },
            py::arg("slot"), py::arg("generation"))
        .def("enter", &Ledger::enter)
        .def("leave", &Ledger::leave, py::arg("via"));

    py::class_<PyRoom>(module, "BufferRoom", "Room in a buffer for what requests name.")
        .def(py::init([](PyClient& channel, std::uint64_t nbytes) {
                 return std::make_unique<PyRoom>(channel, buffers::Room(channel.channel(), nbytes));
             }),
             py::arg("channel"), py::arg("nbytes"), py::keep_alive<1, 2>())
        .def("take", &take, py::arg("nbytes"), py::arg("first"));

    module.def(
        "introduction",
        [](std::uint32_t slot, std::uint32_t generation, std::uint64_t nbytes) {
            buffers::Introduction words;
            words.slot = slot;
            words.generation = generation;
            words.bytes = nbytes;
            return py::bytes(buffers::argument_of(words));
        },
        py::arg("slot"), py::arg("generation"), py::arg("nbytes"));
    module.def(
        "introduced",
        [](const py::bytes& argument) -> py::object {
            const auto words = buffers::introduction_of(std::string_view(argument));
            if (!words) return py::none();
            return py::make_tuple(words->slot, words->generation, words->bytes);
        },
        py::arg("argument"));
}

}  // namespace hyplink::border
