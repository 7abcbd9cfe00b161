/// Shared memory as a Python buffer: an object that keeps the mapping as long as any view of it
/// lives.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

namespace hyplink::border {

namespace py = pybind11;

/// Bytes at `data`, kept alive by `keep`. Views outlive a closed channel: the memory stays mapped,
/// nobody else uses it any more.
struct Window {
    std::byte* data;
    std::size_t size;
    std::shared_ptr<void> keep;
};

/// A memoryview of bytes (format "B") over the window.
py::object make_view(std::byte* data, std::size_t size, std::shared_ptr<void> keep);

void bind_window(py::module_& module);

}  // namespace hyplink::border
