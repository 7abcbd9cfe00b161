/// `hyplink._core.Request`: one request of a batch. A plain C type, because a server makes one for
/// every request and pybind11's general objects cost three times as much to make and to read.
#pragma once

#include <pybind11/pybind11.h>

#include "hyplink/app/rpq/server_channel.hpp"

namespace hyplink::border {

namespace py = pybind11;

void bind_request(py::module_& module);

/// `view` and `readonly` are memoryviews over the channel's port, `empty` one of no bytes.
py::object make_request(const rpq::RequestView& request, std::size_t in_at, std::size_t out_at,
                        const py::object& view, const py::object& readonly,
                        const py::object& empty);

}  // namespace hyplink::border
