/// hyplink._core: one function per subject, see the bind_*.cpp beside this file.
#include <pybind11/pybind11.h>

#include "hyplink/base/errc.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink_stamp.hpp"
#include "window.hpp"

namespace hyplink::border {
void bind_bench(py::module_& module);
void bind_rpq(py::module_& module);
void bind_memory(py::module_& module);
void bind_dma(py::module_& module);
void bind_umem(py::module_& module);
void bind_buffers(py::module_& module);
void bind_ion(py::module_& module);
void bind_pipe(py::module_& module);
void bind_rpc(py::module_& module);
void bind_mq(py::module_& module);
void bind_ipc(py::module_& module);
void bind_event(py::module_& module);
void bind_nkddi(py::module_& module);
}  // namespace hyplink::border

PYBIND11_MODULE(_core, module) {
    module.doc() = "The compiled core of hyplink. Private: use the classes of the package.";
    module.attr("__stamp__") = HYPLINK_STAMP;
    hyplink::border::bind_window(module);
    hyplink::border::bind_rpq(module);
    hyplink::border::bind_memory(module);
    hyplink::border::bind_dma(module);
    hyplink::border::bind_umem(module);
    hyplink::border::bind_buffers(module);
    hyplink::border::bind_ion(module);
    hyplink::border::bind_pipe(module);
    hyplink::border::bind_rpc(module);
    hyplink::border::bind_mq(module);
    hyplink::border::bind_ipc(module);
    hyplink::border::bind_event(module);
    hyplink::border::bind_nkddi(module);
    hyplink::border::bind_bench(module);
    module.def("fail_nth_call", &hyplink::sys::fail_nth_call, pybind11::arg("nth"),
               pybind11::arg("error"),
               "Make the n-th system call of this process fail (0: none; a negative error: a "
               "signal that hits "
               "it there); returns the calls made so far.");
    module.def("errc_name",
               [](int number) { return hyplink::name(static_cast<hyplink::Errc>(number)); });
}
