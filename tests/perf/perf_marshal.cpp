// Marshalling alone: encode a request and decode it with every check, in one thread, without a
// transport.

#include "gles2.hpp"
#include "marshal_peers.hpp"
#include "measure.hpp"

namespace {

using measure::Options;
namespace rpq = hyplink::rpq;

/// Somewhere a transport could be: after it the compiler knows nothing about the block.
[[gnu::always_inline]] inline void transport() { asm volatile("" ::: "memory"); }

struct Handler : demo::gles2::Handler {
    double sum = 0;
    std::size_t bytes = 0;
    void clear_color(float, float, float, float) override {}
    void uniform4f(std::int32_t location, float x, float y, float z, float w) override {
        sum += static_cast<double>(static_cast<float>(location) + x + y + z + w);
    }
    void buffer_data(std::uint32_t, std::uint32_t, std::span<const std::byte>) override {}
    void viewport(const demo::gles2::Viewport&) override {}
    void uniform4fv(std::int32_t, std::uint32_t, std::span<const float>) override {}
    void shader_source(std::uint32_t shader, std::string_view text) override {
        bytes += text.size() + shader;
    }
    void swap_buffers() override {}
    hyplink::Result<demo::gles2::GlError> get_error() override { return hyplink::Errc::busy; }
    hyplink::Result<std::int32_t> get_uniform_location(std::uint32_t, std::string_view) override {
        return 0;
    }
    hyplink::Status read_pixels(std::int32_t, std::int32_t, std::int32_t, std::int32_t,
                                demo::gles2::PixelFormat, std::span<std::byte>) override {
        return {};
    }
    hyplink::Result<demo::gles2::Gles2DigestReply> digest() override { return hyplink::Errc::busy; }
    hyplink::Result<std::string> get_string() override { return hyplink::Errc::busy; }
};

/// Kept out of the compiler's sight, so that it calls a handler as a server does.
Handler* volatile the_handler = nullptr;

/// One block that is written and dispatched at once, as a transport in one thread would.
struct Direct {
    alignas(64) std::array<std::byte, 256> memory{};
    demo::gles2::Handler* handler = the_handler;
    rpq::RequestView view{};
    std::int64_t refused = 0;

    [[gnu::always_inline]] std::byte* begin_fast(std::uint32_t id, std::uint32_t bytes) {
        view.proc = id;
        view.in_bytes = bytes;
        return memory.data();
    }
    [[gnu::always_inline]] hyplink::Result<std::byte*> begin(std::uint32_t id,
                                                             std::uint32_t bytes) {
        return begin_fast(id, bytes);
    }
    [[gnu::always_inline]] hyplink::Status post() {
        transport();
        rpq::Reject why;
        refused += demo::gles2::perform(*handler, view, why);
        return {};
    }
    hyplink::Status notify() { return {}; }
    hyplink::Result<std::byte*> begin_call(std::uint32_t, std::uint32_t, std::uint32_t) {
        return memory.data();
    }
    hyplink::Result<rpq::ReplyView> call() { return rpq::ReplyView{}; }
};

/// What one would write by hand and trust: a number, the values behind it, no check.
struct ByHand {
    alignas(64) std::array<std::byte, 256> memory{};
    demo::gles2::Handler* handler = the_handler;

    [[gnu::always_inline]] void uniform4f(std::int32_t location, float x, float y, float z,
                                          float w) {
        std::byte* p = memory.data();
        const std::uint32_t id = demo::gles2::gles2_proc::uniform4f;
        std::memcpy(p, &id, 4);
        std::memcpy(p + 4, &location, 4);
        std::memcpy(p + 8, &x, 4);
        std::memcpy(p + 12, &y, 4);
        std::memcpy(p + 16, &z, 4);
        std::memcpy(p + 20, &w, 4);
        transport();
        decode();
    }
    [[gnu::always_inline]] void shader_source(std::uint32_t shader, std::string_view text) {
        std::byte* p = memory.data();
        const std::uint32_t id = demo::gles2::gles2_proc::shader_source;
        const auto size = static_cast<std::uint32_t>(text.size());
        std::memcpy(p, &id, 4);
        std::memcpy(p + 4, &shader, 4);
        std::memcpy(p + 8, &size, 4);
        std::memcpy(p + 12, text.data(), size);
        p[12 + size] = std::byte{0};
        transport();
        decode();
    }
    [[gnu::noinline]] void decode() {
        const std::byte* p = memory.data();
        std::uint32_t id = 0;
        std::memcpy(&id, p, 4);
        switch (id) {
            case demo::gles2::gles2_proc::uniform4f: {
                std::int32_t location = 0;
                std::array<float, 4> v{};
                std::memcpy(&location, p + 4, 4);
                for (std::size_t i = 0; i < 4; ++i) std::memcpy(&v[i], p + 8 + 4 * i, 4);
                handler->uniform4f(location, v[0], v[1], v[2], v[3]);
                break;
            }
            case demo::gles2::gles2_proc::shader_source: {
                std::uint32_t shader = 0;
                std::uint32_t size = 0;
                std::memcpy(&shader, p + 4, 4);
                std::memcpy(&size, p + 8, 4);
                handler->shader_source(
                    shader, std::string_view(reinterpret_cast<const char*>(p + 12), size));
                break;
            }
            case demo::gles2::gles2_proc::swap_buffers:
                handler->swap_buffers();
                break;
            case demo::gles2::gles2_proc::get_error:
                static_cast<void>(handler->get_error());
                break;
            case demo::gles2::gles2_proc::clear_color: {
                std::array<float, 4> v{};
                for (std::size_t i = 0; i < 4; ++i) std::memcpy(&v[i], p + 4 + 4 * i, 4);
                handler->clear_color(v[0], v[1], v[2], v[3]);
                break;
            }
            default:
                break;
        }
    }
};

template <class One>
double nanoseconds(std::uint64_t rounds, One&& one) {
    const std::int64_t start = measure::now();
    for (std::uint64_t i = 0; i < rounds; ++i) {
        float x = 1, y = 2, z = 3, w = 4;
        asm volatile("" : "+x"(x), "+x"(y), "+x"(z), "+x"(w));  // values, not constants
        one(static_cast<std::int32_t>(i & 0xFFFF), x, y, z, w);
    }
    return static_cast<double>(measure::now() - start) / static_cast<double>(rounds);
}

constexpr std::string_view kText = "attribute vec4 a_pos;";

}  // namespace

int main(int count, char** words) {
    const Options options = measure::parse(count, words);
    const auto rounds = static_cast<std::uint64_t>(2e6 * options.scale);
    measure::pin(0);
    Handler handler;
    the_handler = &handler;
    Direct channel;
    channel.view.in = channel.memory.data();
    ByHand hand;
    demo::gles2::Client<Direct> client(channel);

    measure::Report report("marshal", options);
    const int four =
        report.add({"glUniform4f by hand, memcpy, unchecked", "ns",
                    [&] { return nanoseconds(rounds, [&](auto... v) { hand.uniform4f(v...); }); }});
    const auto generated = [&] {
        return nanoseconds(rounds, [&](auto... v) { static_cast<void>(client.uniform4f(v...)); });
    };
    const auto generated_text = [&] {
        return nanoseconds(rounds, [&](auto i, auto...) {
            static_cast<void>(client.shader_source(static_cast<std::uint32_t>(i), kText));
        });
    };
    report.add({"glUniform4f generated, every check", "ns", generated, four, 1.3});
    const int text = report.add({"a text of 21 by hand, in place, unchecked", "ns", [&] {
                                     return nanoseconds(rounds, [&](auto i, auto...) {
                                         hand.shader_source(static_cast<std::uint32_t>(i), kText);
                                     });
                                 }});
    report.add({"a text of 21 generated, copied out, every check", "ns", generated_text, text});

    // Peers as rates, so that the ratio says how many times faster ours is.
    measure::Peers peers;
    measure::say_absent();
    [[maybe_unused]] const auto compare = [&](const std::string& name, auto four_values,
                                              auto one_text) {
        const auto rate = [](double ns) { return 1e3 / ns; };
        const auto some = rounds / 8;
        const int limit = report.add(
            {"glUniform4f " + name, "M/s", [=] { return rate(nanoseconds(some, four_values)); }});
        report.add({"glUniform4f generated", "M/s", [=] { return rate(generated()); }, limit, 5});
        const int other = report.add(
            {"a text of 21 " + name, "M/s", [=] { return rate(nanoseconds(some, one_text)); }});
        report.add(
            {"a text of 21 generated", "M/s", [=] { return rate(generated_text()); }, other});
    };
#ifdef HYPLINK_PEER_FLATBUFFERS
    compare(
        "FlatBuffers and verifier", [&](auto... v) { peers.flat_uniform4f(v...); },
        [&](auto i, auto...) { peers.flat_text(static_cast<std::uint32_t>(i), kText); });
#endif
#ifdef HYPLINK_PEER_PROTOBUF
    compare(
        "protobuf", [&](auto... v) { peers.proto_uniform4f(v...); },
        [&](auto i, auto...) { peers.proto_text(static_cast<std::uint32_t>(i), kText); });
#endif
    const int status = report.run_and_print();
    if (channel.refused == 0 && !peers.bad) return status;
    std::fprintf(stderr, "a block was refused\n");
    return 1;
}
