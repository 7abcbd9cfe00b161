// The server that the tests of rich.vidl talk to: it remembers what came last.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "rich_mock.hpp"

#define CHECK(expr)                                                         \
    do {                                                                    \
        if (!(expr)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
            std::exit(1);                                                   \
        }                                                                   \
    } while (false)

namespace test::rich {

namespace rpq = hyplink::rpq;

struct Remembering : RichMock {
    std::string last;
    rpq::Cookie progress_cookie{}, question_cookie{};
    std::string name = "first";
    Store opened{};

    void scaled(std::uint32_t n, std::span<const std::byte> data) override {
        last = std::to_string(n) + ":" + std::to_string(data.size());
    }
    void maybe(std::uint32_t n, std::optional<std::span<const std::uint16_t>> a,
               std::optional<std::string_view> s, const std::optional<Rect>& r,
               const std::optional<std::uint32_t>& v, const std::optional<Options>& o) override {
        last = std::to_string(n);
        last += a ? " a" + std::to_string(a->size()) : " -";
        last += s ? " s" + std::string(*s) : " -";
        last += r ? " r" + std::to_string(r->w) : " -";
        last += v ? " v" + std::to_string(*v) : " -";
        last += o ? " o" + std::to_string(o->width) + "," + std::to_string(o->depth) : " -";
    }
    void listed(std::span<const std::int32_t> attribs) override {
        last = std::to_string(attribs.size());
    }
    void counted(std::span<const std::uint32_t> values) override {
        last = std::to_string(values.size()) + "," + std::to_string(values.back());
    }
    void rows(std::uint32_t, std::uint32_t,
              std::span<const std::span<const std::uint16_t>> row) override {
        last.clear();
        for (const auto& one : row)
            for (const auto value : one) last += std::to_string(value) + " ";
    }
    void words(std::int32_t, std::span<const std::string_view> word) override {
        last.clear();
        for (const auto one : word) last += "[" + std::string(one.data()) + "]";
    }
    rpq::Outcome<void, Fault> open(std::string_view text, Store fresh) override {
        if (text == "full") return Fault::NO_ROOM;
        if (text == "broken") return Fault::BROKEN;
        if (text == "busy") return hyplink::Errc::busy;
        opened = fresh;
        return {};
    }
    hyplink::Result<RichReplyDataReply> reply_data(std::uint32_t seed) override {
        RichReplyDataReply answer{seed, {}};
        answer.data.assign(seed, 7);
        return answer;
    }
    hyplink::Result<RichCappedReply> capped(std::uint32_t cap, std::int32_t room) override {
        RichCappedReply answer;
        answer.data.assign(cap / 2, -5);
        if (room > 0) answer.name.assign(static_cast<std::size_t>(room) - 1, 'n');
        return answer;
    }
    hyplink::Result<std::string> name_of(std::uint32_t) override { return name; }
    hyplink::Result<std::optional<std::string>> maybe_name(std::uint32_t id) override {
        if (id == 0) return std::optional<std::string>();
        return std::optional<std::string>("there");
    }
    hyplink::Status rename(std::uint32_t, std::string_view text) override {
        name = text;
        return {};
    }
    hyplink::Status both(std::uint32_t& a, std::uint32_t n, std::span<std::uint16_t> list,
                         Rect& r) override {
        CHECK(list.size() == n);
        a += 1;
        for (auto& value : list) value = static_cast<std::uint16_t>(value * 2);
        std::swap(r.w, r.h);
        return {};
    }
    hyplink::Result<Options> options(std::uint32_t n, std::span<std::byte> data) override {
        std::fill(data.begin(), data.end(), std::byte{9});
        return Options{n, 3, 1ULL << 40U};
    }
    void upload(std::uint32_t n, std::span<const std::byte> data) override {
        CHECK(data.size() == n);
        last = std::to_string(n) + "," + std::to_string(std::to_integer<int>(data.back()));
    }
    void lend(const rpq::Buffer& b, std::uint32_t) override {
        last = std::to_string(b.bytes.size());
    }
    hyplink::Result<std::uint32_t> trade(const rpq::Buffer& b) override {
        if (b.ref.offset != 0) return hyplink::Errc::busy;
        return static_cast<std::uint32_t>(b.bytes.size());
    }
    void watch(rpq::Cookie p, rpq::Cookie user, std::uint32_t) override {
        CHECK(p == user);
        progress_cookie = user;
    }
    void ask(rpq::Cookie, rpq::Cookie user) override { question_cookie = user; }
};

}  // namespace test::rich
