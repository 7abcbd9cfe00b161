#include "hyplink/app/rpq/refusal.hpp"

#include <atomic>
#include <vector>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::rpq {
namespace {

template <class T>
T number(std::string_view bytes, std::size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

struct Said {
    bool hello = false;
    bool readable = true;
    std::vector<Group> groups{};
};

Said decode(std::string_view info) {
    if (info.size() < 4 || number<std::uint32_t>(info, 0) != kHelloMagic) return {};
    Said said{.hello = true};
    const std::size_t count = info.size() < 8 ? 0 : number<std::uint16_t>(info, 6);
    said.readable = info.size() >= 8 && number<std::uint16_t>(info, 4) == kWireVersion &&
                    info.size() - 8 >= count * 16;
    if (!said.readable) return said;
    for (std::size_t at = 8; at < 8 + count * 16; at += 16)
        said.groups.push_back({number<std::uint16_t>(info, at), number<std::uint16_t>(info, at + 2),
                               number<std::uint16_t>(info, at + 4),
                               number<std::uint64_t>(info, at + 8)});
    return said;
}

std::string version(const Group& group) { return text(group.major, ".", group.minor); }

const char* same_number(const Refusal& refusal) {
    const auto& [own, peer] = refusal;
    return own.major == peer.major && own.minor == peer.minor ? " with another text" : "";
}

std::uint64_t pack(const Group& group) {
    return group.number | std::uint64_t{group.major} << 16 | std::uint64_t{group.minor} << 32;
}
Group unpack(std::uint64_t word) {
    return {static_cast<std::uint16_t>(word), static_cast<std::uint16_t>(word >> 16),
            static_cast<std::uint16_t>(word >> 32), 0};
}

}  // namespace

std::optional<Refusal> hello_refusal(std::string_view own, std::string_view theirs) {
    const Said mine = decode(own);
    const Said peer = decode(theirs);
    if (!mine.hello || !peer.hello) return {};
    if (!mine.readable || !peer.readable) return Refusal{};
    for (const Group& said : peer.groups)
        for (const Group& known : mine.groups)
            if (known.number == said.number &&
                (known.major != said.major ||
                 (known.minor == said.minor && known.hash != said.hash)))
                return Refusal{known, said};
    return {};
}

Error refusal_error(const Refusal& refusal) {
    if (refusal.unreadable())
        return Error::make(Errc::version, "the client's hello cannot be read");
    return Error::make(
        Errc::version,
        text("group ", refusal.own.number, ": the client has version ", version(refusal.peer),
             ", the server ", version(refusal.own), same_number(refusal)));
}

std::string refusal_text(const Refusal& refusal) {
    if (refusal.unreadable()) return " speaks another version";
    return text(" has version ", version(refusal.own), " of group ", refusal.own.number, ", we ",
                version(refusal.peer), same_number(refusal));
}

void store_refusal(std::byte* port, const Refusal& refusal) {
    using Word = std::atomic<std::uint64_t>;
    // Published by the fault word.
    port_word<Word>(port, kRefusalAt).store(pack(refusal.own), std::memory_order_relaxed);
    port_word<Word>(port, kRefusalAt + 8).store(pack(refusal.peer), std::memory_order_relaxed);
}

Refusal load_refusal(const std::byte* port) {
    const auto word = [&](std::size_t offset) {
        return reinterpret_cast<const std::atomic<std::uint64_t>*>(port + offset)
            ->load(std::memory_order_relaxed);
    };
    return {unpack(word(kRefusalAt)), unpack(word(kRefusalAt + 8))};
}

}  // namespace hyplink::rpq
