// Generated client, server and callbacks of rich.vidl against each other, over a channel in one
// thread.
#include <cstdio>
#include <cstdlib>

#include "rich_handler.hpp"

namespace {

using namespace test::rich;
/// Both ends of a channel: what is posted or called is performed at once.
struct Loop {
    alignas(8) std::array<std::byte, 1 << 18> in{};
    alignas(8) std::array<std::byte, 1 << 14> out{};
    alignas(8) std::array<std::byte, 1 << 12> back{};
    RichServer* server = nullptr;
    std::function<std::int32_t(const rpq::RequestView&)> client;
    rpq::RequestView view{}, called{};
    hyplink::Errc broken = hyplink::Errc::ok;
    std::uint32_t requests = 0;
    std::pair<rpq::Drop, std::uint32_t> asked{};  ///< what a callback wants done when it is late
    static constexpr std::int64_t kOver = -1;     ///< in place of a deadline: no answer in time
    bool late = false;
    hyplink::Errc lost = hyplink::Errc::ok;  ///< what a call fails with once it was sent
    std::int64_t deadline_in(std::int64_t nanoseconds) { return late ? kOver : nanoseconds; }

    hyplink::Result<std::byte*> begin(std::uint32_t proc, std::uint32_t bytes) {
        in.fill(std::byte{0xee});
        view = {proc, in.data(), bytes, nullptr, 0, false};
        return in.data();
    }
    hyplink::Result<std::byte*> begin_call(std::uint32_t proc, std::uint32_t bytes,
                                           std::uint32_t room_for_answer) {
        begin(proc, bytes).has_value();
        out.fill(std::byte{0xdd});
        view.out = out.data();
        view.out_bytes = room_for_answer;
        view.is_call = true;
        return in.data();
    }
    hyplink::Status post() {
        const auto status = perform();
        return status.has_value() ? hyplink::Status() : hyplink::Status(status.code());
    }
    hyplink::Status notify() { return {}; }
    hyplink::Result<rpq::ReplyView> call() {
        auto status = perform();
        if (!status.has_value()) return std::move(status).error();
        if (lost != hyplink::Errc::ok) return lost;
        return rpq::ReplyView{*status, view.out, view.out_bytes};
    }
    hyplink::Result<std::int32_t> perform() {
        ++requests;
        auto status = server->dispatch(view);
        if (!status.has_value()) broken = status.code();
        return status;
    }

    void on_callback(std::function<std::int32_t(const rpq::RequestView&)> function) {
        client = std::move(function);
    }
    hyplink::Result<std::byte*> callback_begin(std::uint32_t proc, std::uint32_t bytes,
                                               rpq::Drop drop, std::uint32_t keep) {
        asked = {drop, keep};
        called = {proc, back.data(), bytes, nullptr, 0, false};
        return back.data();
    }
    hyplink::Status callback_post() {
        CHECK(client(called) == 0);
        return {};
    }
    hyplink::Result<std::byte*> callback_begin_call(std::uint32_t proc, std::uint32_t bytes,
                                                    std::uint32_t bytes_out, std::int64_t = 0) {
        called = {proc, back.data(), bytes, back.data() + 1024, bytes_out, true};
        return back.data();
    }
    hyplink::Result<rpq::ReplyView> callback_call(std::int64_t limit = 0) {
        if (limit == kOver) return hyplink::Errc::peer_dead;
        return rpq::ReplyView{client(called), called.out, called.out_bytes};
    }
};

struct Buffers : rpq::BufferTable {
    alignas(8) std::array<std::byte, 1 << 17> memory{};
    std::uint64_t placed = 0;
    std::vector<std::pair<std::uint32_t, bool>> moved;  ///< slot, given
    void transferred(const rpq::BufferRef& ref, bool given) override {
        moved.emplace_back(ref.slot, given);
    }
    hyplink::Result<std::span<std::byte>> resolve(const rpq::BufferRef& ref,
                                                  std::uint32_t) override {
        if (ref.slot < 1 || ref.slot > 3 || ref.length > memory.size())
            return hyplink::Errc::bad_address;
        return std::span<std::byte>(memory).first(static_cast<std::size_t>(ref.length));
    }
    hyplink::Result<rpq::BufferRef> place(std::span<const std::byte> data, bool first) override {
        CHECK(first);
        std::copy(data.begin(), data.end(), memory.begin());
        ++placed;
        return rpq::BufferRef{1, 1, 0, data.size()};
    }
};

struct World {
    Remembering handler;
    rpq::HandleTable handles;
    Buffers buffers;
    RichServer server{handler, RichContext{&handles, &buffers, {}}};
    Loop loop;
    RichClient<Loop> client{loop};
    RichCallbacks<Loop> callbacks{loop};
    World() { loop.server = &server; }
};

/// Lengths follow the shadow state on both sides, and a wrong one is refused at the client.
void state() {
    World w;
    std::array<std::byte, 64> bytes{};
    CHECK(w.client.scaled(3, std::span(bytes).first(6)));
    CHECK(w.handler.last == "3:6");
    CHECK(w.client.set_scale(5, true));
    CHECK(w.client.scaled(3, std::span(bytes).first(15)));
    CHECK(w.handler.last == "3:15");
    CHECK(w.server.context().state.scale == 5 && w.server.context().state.seen == 1);
    CHECK(w.client.scaled(3, std::span(bytes).first(6)).code() == hyplink::Errc::bad_argument);
    CHECK(w.client.picked(Mode::OFF, 9, {}));
    CHECK(w.client.picked(Mode::AUTO, 9, {}).code() == hyplink::Errc::bad_argument);
}

void shapes() {
    World w;
    CHECK(w.client.maybe(3, {}, {}, {}, {}, {}));
    CHECK(w.handler.last == "3 - - - - -");
    const std::array<std::uint16_t, 3> three{1, 2, 3};
    CHECK(w.client.maybe(3, three, "x", Rect{0, 0, 5, 6}, 9, Options{}));
    CHECK(w.handler.last == "3 a3 sx r5 v9 o7,8");
    CHECK(w.client.maybe(0, std::span<const std::uint16_t>(), "", {}, {}, {}));
    CHECK(w.handler.last == "0 a0 s - - -");
    CHECK(!w.client.maybe(2, three, {}, {}, {}, {}) && !w.client.maybe(0, {}, {}, {}, 10, {}));
    const std::array<std::int32_t, 5> list{1, 0x3038, 2, 3, 0x3038};
    CHECK(w.client.listed(list) && w.handler.last == "5");
    CHECK(!w.client.listed(std::span(list).first(4)));
    const std::array<std::uint32_t, 2> values{4, 8};
    CHECK(w.client.counted(values) && w.handler.last == "2,8");
    const std::array<std::span<const std::uint16_t>, 2> rows{std::span(three).first(2),
                                                             std::span(three).last(2)};
    CHECK(w.client.rows(2, 2, rows) && w.handler.last == "1 2 2 3 ");
    CHECK(!w.client.rows(2, 3, rows) && !w.client.rows(1, 2, rows));
    const std::array<std::string_view, 3> words{"one", "", "eighteen"};
    CHECK(w.client.words(3, words) && w.handler.last == "[one][][eighteen]");
    CHECK(w.loop.broken == hyplink::Errc::ok);
}

void handles() {
    World w;
    const auto store = w.client.open("a");
    CHECK(store && *store == w.handler.opened && w.handles.size() == 1);
    const auto full = w.client.open("full");
    CHECK(!full && full.thrown() == Fault::NO_ROOM);
    CHECK(w.client.open("broken").thrown() == Fault::BROKEN);
    const auto busy = w.client.open("busy");
    CHECK(busy.thrown() == Fault::NONE && busy.code() == hyplink::Errc::busy);
    CHECK(w.handles.size() == 1);  // a failure leaves no handle behind
    const auto item = w.client.add(*store, 1);
    const auto other = w.client.add(*store, 1);
    CHECK(item && other && w.handles.size() == 3);
    CHECK(w.client.drop_item(*item) && w.handles.size() == 2);
    CHECK(w.client.use(*store, *other) && w.client.use(Store{}, Item{}));
    CHECK(!w.client.use(*store, *item) && w.loop.broken == hyplink::Errc::corrupt);
    CHECK(w.client.close(*store) && w.handles.size() == 0);  // and its children with it
    CHECK(w.client.add(*store, 1).code() == hyplink::Errc::corrupt);
}

void answers() {
    World w;
    const auto data = w.client.reply_data(100);
    CHECK(data && data->result == 100 && data->data.size() == 100 && data->data[99] == 7);
    CHECK(w.client.reply_data(101).code() == hyplink::Errc::internal);
    const auto capped = w.client.capped(10, 4);
    CHECK(capped && capped->data.size() == 5 && capped->name == "nnn");
    const auto none = w.client.capped(0, 0);
    CHECK(none && none->data.empty() && none->name.empty());
    CHECK(w.client.maybe_name(0) && !w.client.maybe_name(0)->has_value());
    CHECK(*w.client.maybe_name(1) == "there");
    std::uint32_t a = 4;
    std::array<std::uint16_t, 2> list{10, 20};
    Rect rect{0, 0, 1, 2};
    CHECK(w.client.both(a, 2, list, rect));
    CHECK(a == 5 && list[1] == 40 && rect.w == 2 && rect.h == 1);
    std::array<std::byte, 5> bytes{};
    const auto options = w.client.options(5, bytes);
    CHECK(options && options->width == 5 && options->limit == 1ULL << 40U);
    CHECK(bytes[4] == std::byte{9});
    CHECK(w.client.options(5, {}));  // no use for the bytes
}

void kept_answers() {
    World w;
    CHECK(*w.client.name_of(1) == "first");
    const auto before = w.loop.requests;
    CHECK(*w.client.name_of(1) == "first" && w.loop.requests == before);
    CHECK(*w.client.name_of(2) == "first" && w.loop.requests == before + 1);
    CHECK(w.client.rename(1, "second"));
    CHECK(*w.client.name_of(1) == "second");
    CHECK(w.client.limit("a") && w.client.limit("a") && w.client.limit("b"));
    CHECK(w.loop.requests == before + 5);
}

void buffers() {
    World w;
    std::vector<std::byte> large(10000, std::byte{3});
    CHECK(w.client.upload(10000, large) && w.handler.last == "10000,3");
    CHECK(w.buffers.placed == 0);
    w.client.use(&w.buffers);
    CHECK(w.client.upload(10000, large) && w.handler.last == "10000,3" && w.buffers.placed == 1);
    CHECK(w.loop.view.in_bytes == 40);  // the data went another way
    CHECK(w.client.upload(10, std::span(large).first(10)) && w.buffers.placed == 1);
    CHECK(w.client.lend(rpq::BufferRef{1, 1, 0, 77}, 0) && w.handler.last == "77");
    CHECK(!w.client.lend(rpq::BufferRef{9, 1, 0, 77}, 0));
    CHECK(w.buffers.moved.empty());
}

using Moved = std::vector<std::pair<std::uint32_t, bool>>;

/// A buffer changes hands once for each side and way, whatever becomes of its request.
void gifts() {
    World w;
    Buffers own;
    const auto moved = [&](const Moved& client, const Moved& server) {
        const bool same = own.moved == client && w.buffers.moved == server;
        own.moved.clear();
        w.buffers.moved.clear();
        return same;
    };
    w.client.use(&own);
    const rpq::BufferRef one{1, 1, 0, 8}, two{2, 1, 0, 8}, three{3, 1, 8, 8};
    CHECK(w.client.give(one, {}) && moved({{1, true}}, {{1, false}}));
    CHECK(w.client.give(one, two) && moved({{1, true}, {2, true}}, {{1, false}, {2, false}}));
    CHECK(w.client.give(one, one).code() == hyplink::Errc::bad_argument && moved({}, {}));
    CHECK(w.client.give({}, two).code() == hyplink::Errc::bad_argument && moved({}, {}));
    CHECK(*w.client.trade(two) == 8 && moved({{2, true}}, {{2, false}}));
    // Refused by the handler, and lost with the server: handed over all the same, and once.
    CHECK(w.client.trade(three).code() == hyplink::Errc::busy);
    CHECK(moved({{3, true}}, {{3, false}}));
    w.loop.lost = hyplink::Errc::peer_dead;
    CHECK(w.client.trade(one).code() == hyplink::Errc::peer_dead);
    CHECK(moved({{1, true}}, {{1, false}}));
    // Back: also where nobody listens.
    w.callbacks.use(&w.buffers);
    CHECK(w.callbacks.returned(one) && moved({{1, false}}, {{1, true}}));
    std::uint64_t bytes = 0;
    w.client.callbacks.returned = [&](const rpq::Buffer& b) { bytes = b.bytes.size(); };
    CHECK(w.callbacks.returned(two) && bytes == 8 && moved({{2, false}}, {{2, true}}));
    // The server's table knows no such buffer: the request breaks a rule and takes nothing.
    CHECK(!w.client.give(rpq::BufferRef{9, 1, 0, 8}, {}) && moved({{9, true}}, {}));
    // A hostile client gives one buffer twice.
    auto* const at = *w.loop.begin(rich_proc::give, 48);
    rpq::wire_put(at, one);
    rpq::wire_put(at + 24, one);
    CHECK(w.loop.post().code() == hyplink::Errc::corrupt && moved({}, {}));
}

void callbacks() {
    World w;
    std::string seen;
    CHECK(w.client.watch(
        [&](std::uint32_t done, std::string_view what) {
            seen = std::string(what) + std::to_string(done);
        },
        1));
    CHECK(w.callbacks.progress(3, "step", w.handler.progress_cookie) && seen == "step3");
    CHECK(w.callbacks.progress(4, "no", rpq::Cookie{0x50001}) && seen == "step3");
    CHECK(w.loop.asked == std::pair(rpq::Drop::newest, 0U));
    CHECK(w.client.ask([](std::uint32_t number) -> hyplink::Result<std::int32_t> {
        if (number == 0) return hyplink::Errc::busy;
        return static_cast<std::int32_t>(number) * 2;
    }));
    CHECK(*w.callbacks.question(21, w.handler.question_cookie) == 42);
    CHECK(*w.callbacks.question(0, w.handler.question_cookie) == -1);  // on_lost
    w.loop.late = true;
    CHECK(*w.callbacks.question(21, w.handler.question_cookie) == -1);
    w.loop.late = false;
    const auto first = w.handler.question_cookie;
    CHECK(w.client.ask([](std::uint32_t) -> hyplink::Result<std::int32_t> { return 1; }));
    CHECK(*w.callbacks.question(21, first) == -1);  // that registration is gone
    CHECK(*w.callbacks.question(21, w.handler.question_cookie) == 1);
    std::uint64_t at = 0;
    CHECK(w.callbacks.tick(5, Options{}) && at == 0);
    w.client.callbacks.tick = [&](std::uint64_t now, const Options& o) { at = now + o.width; };
    CHECK(w.callbacks.tick(5, Options{}) && at == 12);
    CHECK(w.client.refused() == 0);
}

void greetings() {
    const auto mine = groups();
    const std::string info = rpq::hello_bytes(mine, "own");
    CHECK(info.size() == 8 + 16 + 3 && info.substr(0, 4) == "VIDL");
    CHECK(*rpq::check_hello(mine, info) == "own" && *rpq::check_hello(mine, "plain") == "plain");
    auto other = mine;
    other[0].hash ^= 1;
    CHECK(rpq::check_hello(other, info).code() == hyplink::Errc::version);
    other[0].minor += 1;
    CHECK(rpq::check_hello(other, info));
    other[0].major += 1;
    CHECK(rpq::check_hello(other, info).code() == hyplink::Errc::version);
    CHECK(rpq::check_hello(mine, info.substr(0, 12)).code() == hyplink::Errc::version);
}

}  // namespace

int main() {
    state();
    shapes();
    handles();
    answers();
    kept_answers();
    buffers();
    gifts();
    callbacks();
    greetings();
    std::puts("good");
    return 0;
}
