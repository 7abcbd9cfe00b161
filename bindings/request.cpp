#include "request.hpp"

#include <structmember.h>
#include <cstddef>

namespace hyplink::border {
namespace {

struct RequestObject {
    PyObject_HEAD unsigned int proc;
    char is_call;
    PyObject* params;
    PyObject* out;
};

void dealloc(PyObject* self) {
    auto* request = reinterpret_cast<RequestObject*>(self);
    Py_XDECREF(request->params);
    Py_XDECREF(request->out);
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMemberDef members[] = {
    {"proc", T_UINT, offsetof(RequestObject, proc), READONLY, "Procedure: group << 16 | function."},
    {"is_call", T_BOOL, offsetof(RequestObject, is_call), READONLY,
     "True if the client waits for an answer."},
    {"params", T_OBJECT_EX, offsetof(RequestObject, params), READONLY,
     "Parameters, read in place; read-only."},
    {"out", T_OBJECT_EX, offsetof(RequestObject, out), READONLY,
     "Room for a call's answer; empty for a post."},
    {nullptr, 0, 0, 0, nullptr},
};

char doc[] = "One request of a batch; its memory is good until the next receive.";
PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
    {Py_tp_members, members},
    {Py_tp_doc, doc},
    {0, nullptr},
};
PyType_Spec spec = {"hyplink._core.Request", sizeof(RequestObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

// One per interpreter would be right with sub-interpreters; the module declares that it does not
// support them.
PyTypeObject* request_type = nullptr;

PyObject* slice(const py::object& view, std::size_t at, std::size_t bytes) {
    const auto from = py::reinterpret_steal<py::object>(PyLong_FromSize_t(at));
    const auto to = py::reinterpret_steal<py::object>(PyLong_FromSize_t(at + bytes));
    const auto range =
        py::reinterpret_steal<py::object>(PySlice_New(from.ptr(), to.ptr(), nullptr));
    PyObject* made = range ? PyObject_GetItem(view.ptr(), range.ptr()) : nullptr;
    if (made == nullptr) throw py::error_already_set();
    return made;
}

}  // namespace

void bind_request(py::module_& module) {
    PyObject* type = PyType_FromSpec(&spec);
    if (type == nullptr) throw py::error_already_set();
    request_type = reinterpret_cast<PyTypeObject*>(type);
    module.add_object("Request", py::reinterpret_borrow<py::object>(type));
}

py::object make_request(const rpq::RequestView& request, std::size_t in_at, std::size_t out_at,
                        const py::object& view, const py::object& readonly,
                        const py::object& empty) {
    PyObject* made = request_type->tp_alloc(request_type, 0);
    if (made == nullptr) throw py::error_already_set();
    auto object = py::reinterpret_steal<py::object>(made);
    auto* self = reinterpret_cast<RequestObject*>(made);
    self->proc = request.proc;
    self->is_call = request.is_call ? 1 : 0;
    self->params = slice(readonly, in_at, request.in_bytes);
    self->out = request.is_call ? slice(view, out_at, request.out_bytes) : empty.inc_ref().ptr();
    return object;
}

}  // namespace hyplink::border
