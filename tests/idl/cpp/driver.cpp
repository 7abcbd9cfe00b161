// Speaks for the generated C++ in tests/idl: one command per line on standard input, one answer per line.
//
//   e                                     the calls of the shared vectors, as "name hex"
//   d PROC IS_CALL OUT_BYTES HEX          hand a block to dispatch
//   r CASE STATUS HEX                     let a client read a reply
//   b                                     nanoseconds per encode + checked decode of uniform4f
//
// An accepted block is encoded again from the arguments that the handler saw: the bytes must be equal.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <vector>

#include "everything.hpp"
#include "gles2.hpp"

namespace {

using namespace test::everything;
using test::shapes::Colour;
using test::shapes::Point;
namespace rpq = hyplink::rpq;

/// A channel that keeps the block of the last request and answers with prepared bytes.
struct Recorder {
    alignas(8) std::array<std::byte, 1 << 16> memory;
    std::uint32_t in_bytes = 0;
    std::int32_t status = 0;
    alignas(8) std::array<std::byte, 1 << 12> answer{};
    std::uint32_t answer_bytes = 1 << 12;

    hyplink::Result<std::byte*> begin(std::uint32_t, std::uint32_t bytes) {
        memory.fill(std::byte{0xee});
        in_bytes = bytes;
        return memory.data();
    }
    hyplink::Status post() { return {}; }
    hyplink::Status notify() { return {}; }
    hyplink::Result<std::byte*> begin_call(std::uint32_t id, std::uint32_t bytes, std::uint32_t) {
        return begin(id, bytes);
    }
    hyplink::Result<rpq::ReplyView> call() {
        return rpq::ReplyView{status, answer.data(), answer_bytes};
    }
};

Box box_of(std::uint8_t tag) {
    Box box{};
    box.tag = tag;
    box.corner = Point{-1, 2};
    box.solid = true;
    box.weight = 0.25;
    box.colours = {Colour::RED, Colour::GREEN, Colour::BLUE};
    box.ratings = {-2, 0, 2};
    box.path = {Point{3, 4}, Point{5, 6}};
    for (std::size_t i = 0; i < 5; ++i) box.raw[i] = static_cast<std::uint8_t>(i + 1);
    box.level = Level::HIGH;
    return box;
}

Level level_of(std::size_t i) { return static_cast<Level>(static_cast<int>(i % 3) - 1); }

struct Echo : EverythingHandler {
    Recorder seen;
    EverythingClient<Recorder> again{seen};

    template <class T>
    void done(const T& result) {
        if (!result.has_value() && result.code() != hyplink::Errc::corrupt) {
            std::cout << "the client refused: " << result.error().text() << '\n';
        }
    }
    void scalars(std::uint8_t a, std::uint16_t b, std::uint32_t c, std::uint64_t d, std::int8_t e,
                 std::int16_t f, std::int32_t g, std::int64_t h, float i, double j, bool k,
                 std::uint64_t l, std::int64_t m) override {
        done(again.scalars(a, b, c, d, e, f, g, h, i, j, k, l, m));
    }
    void keywords(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d,
                  std::uint32_t e, std::uint32_t f, std::uint32_t g, std::uint32_t h) override {
        done(again.keywords(a, b, c, d, e, f, g, h));
    }
    void narrow(std::uint32_t a, std::int32_t b, std::int64_t c) override {
        done(again.narrow(a, b, c));
    }
    void kinds(Level a, Loose b, Colour c) override { done(again.kinds(a, b, c)); }
    void boxes(const Box& a, const Pair& b) override { done(again.boxes(a, b)); }
    void fixed(const std::array<float, 4>& a, const std::array<bool, 3>& b,
               const std::array<Level, 2>& c, const std::array<std::uint8_t, 6>& d,
               const std::array<std::uint16_t, 3>& e) override {
        done(again.fixed(a, b, c, d, e));
    }
    void texts(std::string_view a, std::uint32_t n, std::span<const std::byte> b,
               std::string_view c) override {
        if (a.data()[a.size()] != '\0') std::cout << "no NUL behind the text\n";
        done(again.texts(a, n, b, c));
    }
    void lists(std::uint32_t n, std::span<const std::int16_t> a, std::span<const bool> b,
               std::span<const Level> c, std::span<const Box> d, std::span<const Pair> e,
               std::span<const std::uint64_t> f, std::span<const Loose> g) override {
        done(again.lists(n, a, b, c, d, e, f, g));
    }
    void in_place(std::uint32_t n, std::span<const float> a, std::span<const Pair> b) override {
        done(again.in_place(n, a, b));
    }
    void square(std::uint32_t n, std::span<const std::byte> a) override { done(again.square(n, a)); }
    void maths(std::uint32_t a, std::uint32_t b, std::int32_t c,
               std::span<const std::byte> d) override {
        done(again.maths(a, b, c, d));
    }
    void signed_(std::int32_t n, std::span<const std::byte> a) override {
        done(again.signed_(n, a));
    }
    void inside(const Pair& a, std::span<const std::byte> b) override { done(again.inside(a, b)); }
    void nothing() override { done(again.nothing()); }
    void constant(std::span<const std::byte> a) override { done(again.constant(a)); }

    hyplink::Status ping() override {
        done(again.ping());
        return {};
    }
    hyplink::Result<bool> is_set(std::uint64_t mask) override {
        done(again.is_set(mask));
        return (mask & 1U) != 0;
    }
    hyplink::Result<Level> get_level() override {
        done(again.get_level());
        return Level::LOW;
    }
    hyplink::Result<Box> get_box(std::uint8_t tag) override {
        done(again.get_box(tag));
        if (tag == 255) return hyplink::Errc::busy;
        Box box = box_of(tag);
        if (tag == 254) box.ratings[1] = 77;  // a server's mistake
        return box;
    }
    hyplink::Result<EverythingSeveralReply> several(std::uint32_t n, std::span<std::uint16_t> values,
                                                    std::span<Box> boxes, std::span<bool> bits,
                                                    std::span<Level> levels) override {
        done(again.several(n, values, boxes, bits, levels));
        for (std::size_t i = 0; i < n; ++i) {
            values[i] = static_cast<std::uint16_t>(i * 100);
            boxes[i] = box_of(static_cast<std::uint8_t>(i));
            bits[i] = i % 2 == 0;
            levels[i] = level_of(i);
        }
        return EverythingSeveralReply{static_cast<std::uint8_t>(n + 1), std::uint64_t{1} << 40U,
                                      std::string(n, 'L'), {0.5F, 1.5F}};
    }
    hyplink::Status fill(std::uint32_t n, std::span<std::byte> data) override {
        done(again.fill(n, data));
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 1);
        if (n == 63) return hyplink::Errc::no_memory;
        return {};
    }
    hyplink::Result<std::int32_t> get_camel_case(std::string_view name) override {
        done(again.get_camel_case(name));
        return static_cast<std::int32_t>(name.size());
    }
    hyplink::Result<EverythingBoundedReply> bounded(std::uint32_t value) override {
        done(again.bounded(value));
        return EverythingBoundedReply{value, value};
    }
};

std::string hex_of(const std::byte* data, std::size_t size) {
    static const char* const digits = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
        const auto value = std::to_integer<unsigned>(data[i]);
        text += digits[value >> 4U];
        text += digits[value & 15U];
    }
    return text.empty() ? "-" : text;
}

std::vector<std::byte> bytes_of(const std::string& hex) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; hex != "-" && i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

void encode() {
    Recorder seen;
    EverythingClient<Recorder> client(seen);
    const auto say = [&](const char* name, const auto& result) {
        std::cout << name << ' '
                  << (result.has_value() || result.code() == hyplink::Errc::corrupt
                          ? hex_of(seen.memory.data(), seen.in_bytes)
                          : "error " + std::to_string(result.error().number()))
                  << '\n';
    };
    say("scalars", client.scalars(1, 2, 3, 4, -1, -2, -3, -4, 0.5F, -0.25, true, 5, -6));
    say("keywords", client.keywords(1, 2, 3, 4, 5, 6, 7, 8));
    say("narrow", client.narrow(2, 4, 32));
    say("narrow_low", client.narrow(0, 4, 32));
    say("narrow_choice", client.narrow(1, 3, 32));
    say("kinds", client.kinds(Level::LOW, static_cast<Loose>(99), Colour::BLUE));
    say("kinds_bad", client.kinds(static_cast<Level>(9), Loose::NULL_, Colour::BLUE));
    say("boxes", client.boxes(box_of(9), Pair{7, 8}));
    Box bad = box_of(9);
    bad.colours[1] = static_cast<Colour>(3);
    say("boxes_bad", client.boxes(bad, Pair{7, 8}));
    say("fixed", client.fixed({1, 2, 3, 4}, {true, false, true}, {Level::LOW, Level::HIGH},
                              {1, 2, 3, 4, 5, 6}, {0, 5, 9}));
    say("fixed_bad", client.fixed({1, 2, 3, 4}, {true, false, true}, {Level::LOW, Level::HIGH},
                                  {1, 2, 3, 4, 5, 6}, {0, 5, 10}));
    const std::array<std::byte, 5> five{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                        std::byte{5}};
    say("texts", client.texts("hello", 5, five, "gr\xc3\xbc\xc3\x9f"));
    say("texts_empty", client.texts("", 0, {}, ""));
    say("texts_seven", client.texts("1234567", 5, five, "12345678"));
    say("texts_long", client.texts("hello", 5, five, "123456789"));
    say("texts_nul", client.texts(std::string_view("a\0b", 3), 5, five, ""));
    say("texts_count", client.texts("a", 4, five, ""));
    const std::array<std::int16_t, 3> shorts{-1, 0, 1};
    const std::array<bool, 3> bits{true, false, true};
    const std::array<Level, 3> levels{Level::LOW, Level::MIDDLE, Level::HIGH};
    const std::array<Box, 3> boxes{box_of(1), box_of(2), box_of(3)};
    const std::array<Pair, 3> pairs{Pair{1, 2}, Pair{3, 4}, Pair{5, 6}};
    const std::array<std::uint64_t, 3> longs{1, 2, 1ULL << 63U};
    const std::array<Loose, 3> open{static_cast<Loose>(1), static_cast<Loose>(500), Loose::NULL_};
    say("lists", client.lists(3, shorts, bits, levels, boxes, pairs, longs, open));
    say("lists_empty", client.lists(0, {}, {}, {}, {}, {}, {}, {}));
    const std::array<float, 3> floats{1, 2, 3};
    say("in_place", client.in_place(3, floats, pairs));
    const std::vector<std::byte> many(128, std::byte{0x55});
    const auto some = [&](std::size_t n) { return std::span(many).first(n); };
    say("square", client.square(3, some(9)));
    say("square_wrap", client.square(65536, {}));
    say("maths_roundup", client.maths(60, 7, -1, some(63)));
    say("maths_other", client.maths(20, 6, -1, some(6 + 3 + 2)));
    say("signed", client.signed_(3, some(3)));
    say("signed_negative", client.signed_(-1, {}));
    say("inside", client.inside(Pair{4, 4}, some(3)));
    say("nothing", client.nothing());
    say("constant", client.constant(some(8)));
    say("ping", client.ping());
    say("is_set", client.is_set(1));
    say("get_camel_case", client.get_camel_case("mvp"));
}

void decode(std::istream& line) {
    std::string proc, hex;
    int is_call = 0;
    std::uint32_t out_bytes = 0;
    line >> proc >> is_call >> out_bytes >> hex;
    // Exact heap blocks: the address sanitizer sees every byte too far.
    const std::vector<std::byte> in = bytes_of(hex);
    std::vector<std::byte> out(out_bytes, std::byte{0xdd});
    rpq::RequestView view{static_cast<std::uint32_t>(std::stoul(proc, nullptr, 16)),
                          in.data(),
                          static_cast<std::uint32_t>(in.size()),
                          out.data(),
                          out_bytes,
                          is_call != 0};
    Echo echo;
    rpq::Reject why;
    const std::int32_t status = perform(echo, view, why);
    if (status == rpq::kRejected) {
        std::cout << "reject D" << why.rule << ' ' << why.field << ' ' << why.offset << '\n';
        return;
    }
    const bool performed = status != static_cast<std::int32_t>(hyplink::Errc::unsupported);
    const bool same = !performed || hex_of(in.data(), in.size()) ==
                                        hex_of(echo.seen.memory.data(), echo.seen.in_bytes);
    std::cout << "ok " << status << ' ' << hex_of(out.data(), out.size()) << ' ' << (same ? 1 : 0)
              << '\n';
}

void reply(std::istream& line) {
    std::string what, hex;
    auto seen = std::make_unique<Recorder>();
    line >> what >> seen->status >> hex;
    const std::vector<std::byte> bytes = bytes_of(hex);
    std::copy(bytes.begin(), bytes.end(), seen->answer.begin());
    seen->answer_bytes = static_cast<std::uint32_t>(bytes.size());
    EverythingClient<Recorder> client(*seen);
    const auto say = [](const auto& result, const std::string& value) {
        if (result.has_value()) {
            std::cout << "ok " << value << '\n';
        } else {
            std::cout << "error " << result.error().number() << ' ' << result.error().text() << '\n';
        }
    };
    if (what == "get_level") {
        const auto result = client.get_level();
        say(result, result ? std::to_string(static_cast<int>(*result)) : "");
    } else if (what == "is_set") {
        const auto result = client.is_set(1);
        say(result, result ? std::to_string(*result ? 1 : 0) : "");
    } else if (what == "fill") {
        std::array<std::byte, 5> data{};
        const auto result = client.fill(5, data);
        say(result, hex_of(data.data(), data.size()));
    } else if (what == "get_box") {
        const auto result = client.get_box(1);
        say(result, result && *result == box_of(1) ? "equal" : "other");
    } else if (what == "bounded") {
        const auto result = client.bounded(1);
        say(result, result ? std::to_string(result->small) : "");
    } else if (what == "several") {
        std::array<std::uint16_t, 2> values{};
        std::array<Box, 2> boxes{};
        std::array<bool, 2> bits{};
        std::array<Level, 2> levels{};
        const auto result = client.several(2, values, boxes, bits, levels);
        const bool good = result && result->result == 3 && result->big == std::uint64_t{1} << 40U &&
                          result->label == "LL" && result->vector[1] > 1.4F && values[1] == 100 &&
                          boxes[1] == box_of(1) && bits[0] && !bits[1] && levels[1] == Level::MIDDLE;
        say(result, good ? "equal" : "other");
    }
}

/// Writes into one block and dispatches it, as a transport in one thread would.
struct Direct {
    alignas(64) std::array<std::byte, 64> memory{};
    demo::gles2::Handler* handler = nullptr;
    rpq::RequestView view;
    std::int64_t refused = 0;

    [[gnu::always_inline]] hyplink::Result<std::byte*> begin(std::uint32_t id, std::uint32_t bytes) {
        view.proc = id;
        view.in_bytes = bytes;
        return memory.data();
    }
    [[gnu::always_inline]] hyplink::Status post() {
        asm volatile("" ::: "memory");
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

struct Sink final : demo::gles2::Handler {
    float sum = 0;
    void clear_color(float, float, float, float) override {}
    void uniform4f(std::int32_t location, float x, float y, float z, float w) override {
        sum += static_cast<float>(location) + x + y + z + w;
    }
    void buffer_data(std::uint32_t, std::uint32_t, std::span<const std::byte>) override {}
    void viewport(const demo::gles2::Viewport&) override {}
    void uniform4fv(std::int32_t, std::uint32_t, std::span<const float>) override {}
    void shader_source(std::uint32_t, std::string_view) override {}
    void swap_buffers() override {}
    hyplink::Result<demo::gles2::GlError> get_error() override {
        return demo::gles2::GlError::NO_ERROR;
    }
    hyplink::Result<std::int32_t> get_uniform_location(std::uint32_t, std::string_view) override {
        return 0;
    }
    hyplink::Status read_pixels(std::int32_t, std::int32_t, std::int32_t, std::int32_t,
                                demo::gles2::PixelFormat, std::span<std::byte>) override {
        return {};
    }
    hyplink::Result<demo::gles2::Gles2DigestReply> digest() override { return hyplink::Errc::busy; }
    hyplink::Result<std::string> get_string() override { return std::string("demo"); }
};

void bench() {
    Sink sink;
    Direct channel;
    channel.handler = &sink;
    channel.view.in = channel.memory.data();
    demo::gles2::Client<Direct> client(channel);
    double best = 1e9;
    for (int round = 0; round < 9; ++round) {
        const auto begin = std::chrono::steady_clock::now();
        constexpr int kCalls = 2'000'000;
        for (int i = 0; i < kCalls; ++i) {
            static_cast<void>(client.uniform4f(i, 1, 2, 3, 4));
        }
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
        best = std::min(best, took.count() / kCalls);
    }
    std::cout << best << ' ' << channel.refused << ' ' << sink.sum << '\n';
}

}  // namespace

int main() {
    std::string text;
    while (std::getline(std::cin, text)) {
        std::istringstream line(text);
        std::string command;
        line >> command;
        if (command == "e") encode();
        if (command == "d") decode(line);
        if (command == "r") reply(line);
        if (command == "b") bench();
    }
    return 0;
}
