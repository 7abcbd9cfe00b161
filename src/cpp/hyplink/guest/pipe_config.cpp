#include "hyplink/guest/pipe_config.hpp"

#include "hyplink/base/info.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/ring/pipe_port.hpp"

namespace hyplink::guest {
namespace {

constexpr std::uint64_t kLeastSize = 32;
constexpr std::uint32_t kMostMinor = 255;

std::string_view trim(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

/// The piece up to the next ';', which is taken off.
std::string_view next_field(std::string_view& rest) {
    const std::size_t end = rest.find(';');
    const std::string_view field = trim(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return field;
}

Error wrong(std::string_view info, std::string_view what) {
    return Error::make(Errc::bad_argument, text("info \"", info, "\": ", what));
}

Status read_size(std::string_view info, std::string_view field, std::uint64_t& into) {
    if (field.empty()) return {};
    const auto size = parse_size(field);
    if (!size || *size < kLeastSize || *size > pipe::kMaxCapacity)
        return wrong(info, text(field, " is not a size of 32 bytes to 2G"));
    into = *size;
    return {};
}

}  // namespace

std::optional<PipeKind> pipe_kind(std::string_view device_class) {
    if (device_class == "vbpipe") return PipeKind::both;
    if (device_class == "vpipe") return PipeKind::bytes;
    if (device_class == "vupipe") return PipeKind::mapped;
    return std::nullopt;
}

Result<PipeConfig> PipeConfig::parse(PipeKind kind, std::string_view info) {
    PipeConfig config;
    config.kind = kind;
    if (kind != PipeKind::both) {
        HYPLINK_TRY(read_size(info, trim(info), config.size));
        return config;
    }
    std::string_view rest = info;
    const std::string_view policy = next_field(rest);
    if (!policy.empty() && policy != "a") return wrong(info, "the first field is a or empty");
    config.available = !policy.empty();
    HYPLINK_TRY(read_size(info, next_field(rest), config.size));
    if (const std::string_view minor = next_field(rest); !minor.empty()) {
        const auto number = parse_size(minor);
        if (!number || *number > kMostMinor) return wrong(info, "the minor is 0 to 255");
        config.minor = static_cast<std::uint32_t>(*number);
    }
    while (!rest.empty()) {
        // `wakeup` holds the VM awake for so many milliseconds; VMs do not sleep here.
        const std::string_view field = next_field(rest);
        if (field.starts_with("name=")) config.name = field.substr(5);
    }
    if (config.name.size() > 64 || config.name.find_first_of("/\n") != std::string::npos)
        return wrong(info, "the name cannot be one of a device");
    return config;
}

std::uint64_t PipeConfig::capacity() const {
    return size - (kind == PipeKind::both ? 16 : kind == PipeKind::bytes ? 8 : 0);
}

std::uint64_t PipeConfig::budget() const { return 4 * pipe::port_bytes_for(capacity()); }

}  // namespace hyplink::guest
