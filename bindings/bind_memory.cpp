/// Memory of an application that other VMs may be given, and windows on theirs.
///
/// | call                          | GIL      |
/// | everything that asks a kernel | released |
/// | sizes, addresses, counts      | kept     |
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "border.hpp"
#include "hyplink/app/memory/vm_memory.hpp"
#include "hyplink/sys/page_mover.hpp"
#include "hyplink/sys/pass_through.hpp"
#include "window.hpp"

namespace hyplink::border {
namespace {

using app::VmMemory;
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

std::vector<hyp::MemRange> ranges_of(const Ranges& pairs) {
    std::vector<hyp::MemRange> ranges;
    for (const auto& [at, bytes] : pairs) ranges.push_back({at, bytes});
    return ranges;
}

using Call = Status (VmMemory::*)(VmId, std::uint32_t, std::span<const hyp::MemRange>);
template <Call call>
void ask(VmMemory& self, VmId vm, std::uint32_t flags, const Ranges& pairs) {
    const auto ranges = ranges_of(pairs);
    unwrap(without_gil([&] { return (self.*call)(vm, flags, ranges); }));
}

/// Tries what taking memory back rests on. Throws what this machine says.
void try_taking_back(const std::string& what) {
    const Status tried = without_gil([&]() -> Status {
        if (what == "hold writers") HYPLINK_TRY(sys::WriteFreezer::make());
        if (what == "hold users") HYPLINK_TRY(sys::AccessHolder::make());
        if (what == "move pages") HYPLINK_TRY(sys::PageMover::make());
        if (what == "pass through") HYPLINK_TRY(sys::PassThrough::make());
        return {};
    });
    unwrap(tried);
}

/// A read-only view, kept alive as `make_view` does it.
py::object readonly(py::object view) { return view.attr("toreadonly")(); }

}  // namespace

void bind_memory(py::module_& module) {
    module.attr("GRANT_READ") = hyp::kGrantRead;
    module.attr("GRANT_WRITE") = hyp::kGrantWrite;
    module.attr("GRANT_CPU") = hyp::kGrantCpu;
    module.attr("GRANT_DMA") = hyp::kGrantDma;
    module.attr("GRANT_COOPERATIVE") = hyp::kGrantCooperative;
    module.attr("GRANT_MEMFD") = hyp::kGrantMemfd;
    module.attr("GRANT_BROKER") = hyp::kGrantBroker;
    module.attr("GRANT_MAX_RANGES") = hyp::MemCall::kMaxRanges;

    module.def("try_taking_back", &try_taking_back, py::arg("what"),
               "'hold writers', 'hold users', 'move pages', 'pass through'.");

    py::class_<VmMemory::Block, std::shared_ptr<VmMemory::Block>>(module, "MemoryBlock")
        .def_property_readonly("at", &VmMemory::Block::at)
        .def_property_readonly("nbytes", &VmMemory::Block::size)
        .def("view", [](const std::shared_ptr<VmMemory::Block>& self) {
            return make_view(self->data(), self->size(), self);
        });
    py::class_<VmMemory::Window, std::shared_ptr<VmMemory::Window>>(module, "MemoryWindow")
        .def_property_readonly("at", [](const VmMemory::Window& self) { return self.range().at; })
        .def_property_readonly("nbytes", &VmMemory::Window::size)
        .def_property_readonly("revoked", &VmMemory::Window::revoked)
        .def_property_readonly("remapped", &VmMemory::Window::remapped)
        .def("view", [](const std::shared_ptr<VmMemory::Window>& self) {
            py::object view = make_view(const_cast<std::byte*>(self->data()), self->size(), self);
            return self->writable() != nullptr ? view : readonly(view);
        });
    py::class_<VmMemory, std::shared_ptr<VmMemory>>(module, "VmMemory",
                                                    py::release_gil_before_calling_cpp_dtor(),
                                                    "An application's share of its VM's memory.")
        .def(py::init([](const std::shared_ptr<app::Application>& application) {
                 return unwrap(without_gil([&] { return VmMemory::open(application); }));
             }),
             py::arg("application"))
        .def("close", &VmMemory::close, py::call_guard<py::gil_scoped_release>())
        .def("alloc",
             [](VmMemory& self, std::uint64_t bytes) {
                 return unwrap(without_gil([&] { return self.alloc(bytes); }));
             })
        .def("free",
             [](VmMemory& self, const std::shared_ptr<VmMemory::Block>& block) {
                 unwrap(without_gil([&] { return self.free(block); }));
             })
        .def("grant", &ask<&VmMemory::grant>)
        .def("deny", &ask<&VmMemory::deny>)
        .def("verify", &ask<&VmMemory::verify>)
        .def("map",
             [](VmMemory& self, std::uint64_t at, std::uint64_t bytes, bool writable) {
                 return unwrap(without_gil([&] { return self.map({at, bytes}, writable); }));
             })
        .def("unmap",
             [](VmMemory& self, const std::shared_ptr<VmMemory::Window>& window) {
                 unwrap(without_gil([&] { return self.unmap(window); }));
             })
        .def("check",
             [](VmMemory& self, const std::shared_ptr<VmMemory::Window>& window,
                std::uint64_t offset, std::uint64_t bytes) {
                 unwrap(without_gil([&] { return self.check(*window, offset, bytes); }));
             })
        .def("read",
             [](VmMemory& self, const std::shared_ptr<VmMemory::Window>& window,
                std::uint64_t offset, std::uint64_t bytes) {
                 if (!mem::fits(offset, bytes, window->size()))  // before anything is allocated
                     unwrap(self.check(*window, offset, bytes == 0 ? 1 : bytes));
                 py::bytes copy(nullptr, static_cast<std::size_t>(bytes));
                 auto* into = reinterpret_cast<std::byte*>(PyBytes_AS_STRING(copy.ptr()));
                 unwrap(without_gil([&] {
                     return self.read(*window, offset,
                                      std::span(into, static_cast<std::size_t>(bytes)));
                 }));
                 return copy;
             })
        .def(
            "wait_revoked",
            [](VmMemory& self, const std::shared_ptr<VmMemory::Window>& window,
               std::optional<double> timeout) {
                const Deadline until = deadline(self.application().runtime(), timeout);
                unwrap(without_gil([&] { return self.wait_revoked(*window, until); }));
            },
            py::arg("window"), py::arg("timeout"));
}

}  // namespace hyplink::border
