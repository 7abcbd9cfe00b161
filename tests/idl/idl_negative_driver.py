"""The source of a C++ program that hands blocks to the receivers of any interface.

One line in: ``PROC CALLBACK IS_CALL OUT_BYTES HEX``; one out: ``ok STATUS`` or ``reject D.. FIELD
OFFSET``. Everything has what ``negative_cases`` asks for.
"""

from __future__ import annotations

from hyplink.idl.cpp.client import uses_buffers
from hyplink.idl.cpp.common import Names
from hyplink.idl.cpp.server import needs_context, uses_handles
from hyplink.idl.model import Interface, Model

__all__ = ["driver_source"]

_HEAD = """\
#include <iostream>
#include <sstream>

#include "hyplink/app/rpq/buffers.hpp"
#include "hyplink/app/rpq/handles.hpp"

namespace {

namespace rpq = hyplink::rpq;

struct Buffers : rpq::BufferTable {
    alignas(8) std::array<std::byte, 4096> memory{};
    hyplink::Result<std::span<std::byte>> resolve(const rpq::BufferRef& ref,
                                                  std::uint32_t) override {
        if (ref.slot != 1 || ref.generation != 1) return hyplink::Errc::bad_argument;
        if (ref.offset > memory.size() || ref.length > memory.size() - ref.offset)
            return hyplink::Errc::bad_address;
        return std::span<std::byte>(memory).subspan(static_cast<std::size_t>(ref.offset),
                                                    static_cast<std::size_t>(ref.length));
    }
};

/// A client's channel that only keeps what callbacks go to.
struct Called {
    std::function<std::int32_t(const rpq::RequestView&)> function;
    void on_callback(std::function<std::int32_t(const rpq::RequestView&)> given) {
        function = std::move(given);
    }
    hyplink::Result<std::byte*> begin(std::uint32_t, std::uint32_t) { return hyplink::Errc::busy; }
    hyplink::Result<std::byte*> begin_call(std::uint32_t, std::uint32_t, std::uint32_t) {
        return hyplink::Errc::busy;
    }
    hyplink::Status post() { return {}; }
    hyplink::Status notify() { return {}; }
    hyplink::Result<rpq::ReplyView> call() { return hyplink::Errc::busy; }
};

std::int32_t request(const rpq::RequestView& view, bool callback, rpq::Reject& why) {
    switch (view.proc >> 16U) {
"""

_TAIL = """\
        default:
            return 95;
    }
}

std::vector<std::byte> bytes_of(const std::string& hex) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; hex != "-" && i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

}  // namespace

int main() {
    std::string text;
    while (std::getline(std::cin, text)) {
        std::istringstream line(text);
        std::string proc, hex;
        int callback = 0, is_call = 0;
        std::uint32_t room = 0;
        line >> proc >> callback >> is_call >> room >> hex;
        // Exact heap blocks: the address sanitizer sees every byte too far.
        const std::vector<std::byte> in = bytes_of(hex);
        std::vector<std::byte> out(room, std::byte{0xdd});
        const rpq::RequestView view{static_cast<std::uint32_t>(std::stoul(proc, nullptr, 16)),
                                    in.data(),
                                    static_cast<std::uint32_t>(in.size()),
                                    out.data(),
                                    room,
                                    is_call != 0};
        rpq::Reject why{};
        const std::int32_t status = request(view, callback != 0, why);
        if (status == rpq::kRejected)
            std::cout << "reject D" << why.rule << ' ' << why.field << ' ' << why.offset << '\\n';
        else
            std::cout << "ok " << status << '\\n';
    }
    return 0;
}
"""


def driver_source(models: list[Model]) -> str:
    """For every interface of these models."""
    head = "".join(f'#include "{m.stem}_mock.hpp"\n' for m in models)
    return head + _HEAD + "".join(_case(m, i) for m in models for i in m.interfaces) + _TAIL


def _case(model: Model, interface: Interface) -> str:
    names = Names(model)
    space, prefix = f"::{names.namespace}::", names.prefix(interface)
    lines = [f"case {interface.group}: {{", "    rpq::HandleTable handles;", "    Buffers buffers;"]
    for full in model.handles:
        lines.append(f"    handles.add({names.qualified(full)}::type);")
    if interface.callbacks:
        lines += [
            "    if (callback) {",
            "        Called channel;",
            f"        {space}{prefix}Client<Called> client(channel);",
        ]
        if uses_buffers(interface):
            lines.append("        client.use(&buffers);")
        lines += [
            "        const std::int32_t status = channel.function(view);",
            "        if (client.refused() == 0) return status;",
            "        why = client.refusal();",
            "        return rpq::kRejected;",
            "    }",
        ]
    lines.append(f"    {space}{prefix}Mock mock;")
    given = "mock"
    if needs_context(interface):
        lines.append(f"    {space}{prefix}Context context;")
        if uses_handles(interface):
            lines.append("    context.handles = &handles;")
        if uses_buffers(interface):
            lines.append("    context.buffers = &buffers;")
        given = "mock, context"
    lines += [f"    return {space}perform({given}, view, why);", "}"]
    text = "".join(f"        {line}\n" for line in lines)
    # Types of a model's own namespace are spelled as seen from inside it.
    for full in model.handles:
        inside = names.qualified(full)
        if not inside.startswith("::"):
            text = text.replace(f"({inside}::type", f"({space}{inside}::type")
    return text
