// Uses rich.vidl inside a VM against a server in another one, whatever that is written in. Modes:
// (none) the whole story; "slow" callbacks that nobody takes in time; "break" a block that no
// generated client sends; "refuse" another version, text or wire version; "wait" until it dies.
#include <array>

#include "hyplink/app/rpq/hello.hpp"
#include "rich.hpp"
#include "vm.hpp"

namespace {

using namespace test::rich;
using namespace hyplink;
using Client = RichClient<rpq::ClientChannel>;

struct World {
    std::unique_ptr<rpq::Session> session;
    std::unique_ptr<rpq::OpenClient> open;
    std::unique_ptr<Client> client;
    std::uint32_t asked = 1000;

    explicit World(const std::shared_ptr<app::Application>& application,
                   const std::string& hello = rpq::hello_bytes(groups())) {
        auto made = rpq::Session::create(application, "vrpq-clt-vogl0", hello, Deadline::never());
        EXPECT(made.has_value());
        session = *std::move(made);
        open = channel();
        client = std::make_unique<Client>(open->channel());
    }
    std::unique_ptr<rpq::OpenClient> channel() {
        auto channel = session->create_channel(0, {}, Deadline::never());
        EXPECT(channel.has_value());
        return *std::move(channel);
    }
    /// What the server's last request without an answer did.
    std::string last() {
        auto said = client->name_of(asked++);
        return said.has_value() ? *said : said.error().text();
    }
};

void state(World& w) {
    std::array<std::byte, 64> bytes{};
    EXPECT(w.client->scaled(3, std::span(bytes).first(6)));
    EXPECT(w.last() == "3:6");
    EXPECT(w.client->set_scale(5, true));
    EXPECT(w.client->scaled(3, std::span(bytes).first(15)));
    EXPECT(w.last() == "3:15");
    EXPECT(w.client->scaled(3, std::span(bytes).first(6)).code() == Errc::bad_argument);
}

void shapes(World& w) {
    EXPECT(w.client->maybe(3, {}, {}, {}, {}, {}));
    EXPECT(w.last() == "3 - - - - -");
    const std::array<std::uint16_t, 3> three{1, 2, 3};
    EXPECT(w.client->maybe(3, three, "x", Rect{0, 0, 5, 6}, 9, Options{}));
    EXPECT(w.last() == "3 a3 sx r5 v9 o7,8");
    EXPECT(w.client->maybe(0, std::span<const std::uint16_t>(), "", {}, {}, {}));
    EXPECT(w.last() == "0 a0 s - - -");
    const std::array<std::int32_t, 5> list{1, 0x3038, 2, 3, 0x3038};
    EXPECT(w.client->listed(list) && w.last() == "5");
    const std::array<std::uint32_t, 2> values{4, 8};
    EXPECT(w.client->counted(values) && w.last() == "2,8");
    const std::array<std::span<const std::uint16_t>, 2> rows{std::span(three).first(2),
                                                             std::span(three).last(2)};
    EXPECT(w.client->rows(2, 2, rows) && w.last() == "1 2 2 3 ");
    const std::array<std::string_view, 3> words{"one", "", "eighteen"};
    EXPECT(w.client->words(3, words) && w.last() == "[one][][eighteen]");
    const std::vector<std::byte> large(10000, std::byte{3});
    EXPECT(w.client->upload(10000, large) && w.last() == "10000,3");
}

void handles(World& w) {
    const auto store = w.client->open("a");
    EXPECT(store.has_value());
    EXPECT(w.client->open("full").thrown() == Fault::NO_ROOM);
    EXPECT(w.client->open("broken").thrown() == Fault::BROKEN);
    const auto busy = w.client->open("busy");
    EXPECT(busy.thrown() == Fault::NONE && busy.code() == Errc::busy);
    const auto item = w.client->add(*store, 1);
    const auto other = w.client->add(*store, 1);
    EXPECT(item && other && *item != *other);
    EXPECT(w.client->drop_item(*item) && w.client->use(*store, *other));
    EXPECT(w.client->use(Store{}, Item{}) && w.client->close(*store));
    // Dead handles end a channel, and only this one.
    auto second = w.channel();
    Client lost(second->channel());
    EXPECT(lost.add(*store, 1).code() == Errc::corrupt);
    EXPECT(lost.add(*store, 1).code() == Errc::corrupt);
    EXPECT(w.client->open("again").has_value());
}

void answers(World& w) {
    const auto data = w.client->reply_data(100);
    EXPECT(data && data->result == 100 && data->data.size() == 100 && data->data[99] == 7);
    const auto capped = w.client->capped(10, 4);
    EXPECT(capped && capped->data.size() == 5 && capped->data[4] == -5 && capped->name == "nnn");
    const auto none = w.client->capped(0, 0);
    EXPECT(none && none->data.empty() && none->name.empty());
    EXPECT(w.client->maybe_name(0) && !w.client->maybe_name(0)->has_value());
    EXPECT(*w.client->maybe_name(1) == "there");
    std::uint32_t a = 4;
    std::array<std::uint16_t, 2> list{10, 20};
    Rect rect{0, 0, 1, 2};
    EXPECT(w.client->both(a, 2, list, rect));
    EXPECT(a == 5 && list[1] == 40 && rect.w == 2 && rect.h == 1);
    std::array<std::byte, 5> bytes{};
    const auto options = w.client->options(5, bytes);
    EXPECT(options && options->width == 5 && options->limit == 1ULL << 40U);
    EXPECT(bytes[4] == std::byte{9});
    EXPECT(*w.client->name_of(1) == "first" && w.client->rename(1, "second"));
    EXPECT(*w.client->name_of(1) == "second");
}

void callbacks(World& w) {
    std::string seen;
    const auto progress = [&](std::uint32_t done, std::string_view what) {
        seen += std::string(what) + std::to_string(done) + " ";
    };
    EXPECT(w.client->watch(progress, 1));
    EXPECT(*w.client->limit("progress 3") == 3 && seen == "step0 step1 step2 ");
    EXPECT(w.client->ask([&](std::uint32_t number) -> Result<std::int32_t> {
        if (number == 0) return Errc::busy;
        // Both ways at once: a call from inside the callback that the server waits for.
        if (number == 7) return static_cast<std::int32_t>(*w.client->limit("seven of them"));
        return static_cast<std::int32_t>(number) * 2;
    }));
    EXPECT(*w.client->limit("question 21") == 42);
    EXPECT(static_cast<std::int32_t>(*w.client->limit("question 0")) == -1);  // on_lost
    EXPECT(*w.client->limit("question 7") == 13);
    EXPECT(w.client->ask([](std::uint32_t) -> Result<std::int32_t> { return 1; }));
    EXPECT(*w.client->limit("question 22") == 1);  // the last registration counts
    EXPECT(*w.client->limit("tick 5") == 5);       // nobody listens: ignored
    std::uint64_t at = 0;
    w.client->callbacks.tick = [&](std::uint64_t now, const Options& o) { at = now + o.width; };
    EXPECT(*w.client->limit("tick 6") == 6 && at == 13);
    EXPECT(w.client->refused() == 0);
}

void slow(World& w) {
    constexpr std::uint32_t kSent = 20000;
    std::uint32_t taken = 0;
    std::uint32_t highest = 0;
    const auto count = [&](std::uint32_t done, std::string_view) {
        EXPECT(done > highest);
        highest = done;
        ++taken;
    };
    EXPECT(w.client->watch(count, kSent + 1) && w.open->channel().notify());
    auto second = w.channel();
    EXPECT(*Client(second->channel()).limit("flooded") == 1);
    EXPECT(taken == 0);  // nobody looked
    const auto dropped = w.client->limit("dropped");
    EXPECT(dropped && *dropped > 0 && taken > 0 && *dropped + taken == kSent);
    EXPECT(highest < kSent);  // @drop_newest
}

void breaks(World& w) {
    rpq::ClientChannel& channel = w.open->channel();
    auto block = channel.begin(rich_proc::set_scale, 8);
    EXPECT(block.has_value());
    std::memset(*block, 0xff, 8);
    EXPECT(channel.post_and_notify());
    EXPECT(w.client->reply_data(1).code() == Errc::corrupt);
    EXPECT(w.client->reply_data(1).code() == Errc::corrupt);
}

void refuses(const std::shared_ptr<app::Application>& application) {
    const auto own = groups();
    auto text = own, major = own, minor = own, other = own;
    text[0].hash ^= 1;
    major[0].major += 1;
    minor[0].minor += 1;
    minor[0].hash ^= 1;
    other[0].number += 1;
    other[0].hash ^= 1;
    std::string wire = rpq::hello_bytes(own);
    wire[4] = 9;
    for (const std::string& hello :
         {rpq::hello_bytes(text), rpq::hello_bytes(major), wire, wire.substr(0, 12)}) {
        World w(application, hello);
        EXPECT(w.client->reply_data(1).code() == Errc::version);
    }
    // A newer minor, a group the server does not know, and info without a hello are served.
    for (const std::string& hello :
         {rpq::hello_bytes(minor), rpq::hello_bytes(other), std::string("plain")}) {
        World w(application, hello);
        EXPECT(w.client->reply_data(1).has_value());
    }
}

/// Memory of this VM only: what counts is who owns it.
struct Buffers : rpq::BufferTable {
    std::array<std::byte, 64> memory{};
    std::uint32_t moved = 0;
    Result<std::span<std::byte>> resolve(const rpq::BufferRef& ref, std::uint32_t) override {
        return std::span(memory).first(static_cast<std::size_t>(ref.length));
    }
    void transferred(const rpq::BufferRef&, bool) override { ++moved; }
};

void waits(World& w) {
    Buffers buffers;
    w.client->use(&buffers);
    EXPECT(w.client->reply_data(1).has_value());
    vm::say("ready");
    auto handled = w.open->channel().handle_callbacks(Deadline::never());
    EXPECT(handled.code() == Errc::peer_dead);
    EXPECT(w.client->reply_data(1).code() == Errc::peer_dead);
    EXPECT(w.client->set_scale(1, false).code() == Errc::peer_dead);
    // What could not even be begun is still this side's.
    EXPECT(w.client->give(rpq::BufferRef{1, 1, 0, 8}, {}).code() == Errc::peer_dead);
    EXPECT(w.client->trade(rpq::BufferRef{1, 1, 0, 8}).code() == Errc::peer_dead);
    EXPECT(buffers.moved == 0);
}

}  // namespace

int main(int count, char** words) {
    auto application = vm::enter(count, words);
    const std::string mode = count > 3 ? words[1] : "";
    if (mode == "refuse") {
        refuses(application);
    } else {
        World w(application);
        if (mode == "slow") {
            slow(w);
        } else if (mode == "break") {
            breaks(w);
        } else if (mode == "wait") {
            waits(w);
        } else {
            state(w);
            shapes(w);
            handles(w);
            answers(w);
            callbacks(w);
        }
    }
    application->close();
    vm::say("ok");
    return 0;
}
