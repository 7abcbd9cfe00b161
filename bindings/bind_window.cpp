#include "window.hpp"

namespace hyplink::border {

py::object make_view(std::byte* data, std::size_t size, std::shared_ptr<void> keep) {
    py::object window = py::cast(Window{data, size, std::move(keep)});
    PyObject* view = PyMemoryView_FromObject(window.ptr());
    if (view == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(view);
}

void bind_window(py::module_& module) {
    py::class_<Window>(module, "Window", py::buffer_protocol(),
                       "Shared memory that outlives its channel.")
        .def_buffer([](Window& window) {
            return py::buffer_info(reinterpret_cast<std::uint8_t*>(window.data),
                                   static_cast<py::ssize_t>(window.size));
        })
        .def_property_readonly("nbytes", [](const Window& window) { return window.size; });
}

}  // namespace hyplink::border
