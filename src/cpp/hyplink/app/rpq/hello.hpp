/// Who speaks what: the first bytes of a session's or channel's info, in front of the user's own.
///
///     auto info = rpq::hello_bytes(demo::gles2::groups(), "my own");
///     …on the accepting side…
///     auto rest = HYPLINK_TRY(rpq::check_hello(demo::gles2::groups(), info));
///
/// Equal major versions agree; equal minors must have the same schema hash. A group that only one
/// side knows is no disagreement, neither is an info without a hello.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

struct Group {
    std::uint16_t number = 0;
    std::uint16_t major = 0;
    std::uint16_t minor = 0;
    std::uint64_t hash = 0;
};

inline constexpr std::uint32_t kHelloMagic = 0x4c444956;  // "VIDL"
inline constexpr std::uint16_t kWireVersion = 1;

inline std::string hello_bytes(std::span<const Group> groups, std::string_view own = {}) {
    std::string out(8 + groups.size() * 16, '\0');
    auto* at = reinterpret_cast<std::byte*>(out.data());
    put(at, kHelloMagic);
    put(at + 4, kWireVersion);
    put(at + 6, static_cast<std::uint16_t>(groups.size()));
    for (const Group& group : groups) {
        at += at == reinterpret_cast<std::byte*>(out.data()) ? 8 : 16;
        put(at, group.number);
        put(at + 2, group.major);
        put(at + 4, group.minor);
        put(at + 8, group.hash);
    }
    out.append(own);
    return out;
}

/// The user's own bytes behind the peer's hello. Errors: version.
inline Result<std::string_view> check_hello(std::span<const Group> groups, std::string_view info) {
    const auto number = [&]<class T>(std::size_t at, T) {
        T value{};
        std::memcpy(&value, info.data() + at, sizeof value);
        return value;
    };
    if (info.size() < 8 || number(0, std::uint32_t{}) != kHelloMagic) return info;
    const std::size_t count = number(6, std::uint16_t{});
    if (number(4, std::uint16_t{}) != kWireVersion || info.size() - 8 < count * 16)
        return Error::make(Errc::version, "the peer's hello is of another wire version");
    for (std::size_t at = 8; at < 8 + count * 16; at += 16) {
        for (const Group& mine : groups) {
            if (mine.number != number(at, std::uint16_t{})) continue;
            const auto major = number(at + 2, std::uint16_t{});
            const auto minor = number(at + 4, std::uint16_t{});
            if (major == mine.major &&
                (minor != mine.minor || number(at + 8, std::uint64_t{}) == mine.hash))
                continue;
            return Error::make(Errc::version,
                               "group " + std::to_string(mine.number) + ": this side has version " +
                                   std::to_string(mine.major) + "." + std::to_string(mine.minor) +
                                   ", the peer " + std::to_string(major) + "." +
                                   std::to_string(minor) +
                                   (minor == mine.minor ? " with another text" : ""));
        }
    }
    return info.substr(8 + count * 16);
}

}  // namespace hyplink::rpq
