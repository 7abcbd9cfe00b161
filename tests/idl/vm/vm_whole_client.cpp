// Uses all of whole.vidl inside a VM against a server in another one, whatever that is written in.
#include <array>

#include "hyplink/app/buffers/client.hpp"
#include "hyplink/app/rpq/hello.hpp"
#include "vm.hpp"
#include "whole.hpp"

namespace {

using namespace test::whole;
using namespace hyplink;
namespace px = test::pixels;
using Calls = WholeClient<rpq::ClientChannel>;

std::string last(Calls& client) {
    auto told = client.fetch(64);
    if (!told) vm::say("fetch: %s", told.error().text().c_str());
    if (!told) return {};
    EXPECT(told->result == told->text.size() &&
           told->values == std::vector<std::uint32_t>{0, 1, 4});
    return told->text;
}

/// `bits`: of a size and an address at the server.
void values(Calls& client, Device device, unsigned bits) {
    const std::uint64_t most = 1ULL << (bits - 4), far = 1ULL << (bits * 5 / 8);
    EXPECT(client.scalars(255, -5, 0.5, true, most, -3, far));
    EXPECT(last(client) == "255 -5 0.5 1 " + std::to_string(most) + " -3 " + std::to_string(far));
    EXPECT(client.keywords(1, 2, 3, device, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13));
    EXPECT(last(client) == "1 77 13");
    const std::vector<std::byte> bytes(64);
    EXPECT(client.upload(3, 2, std::span(bytes).first(24)) && last(client) == "3x2 24");
    EXPECT(client.set_align(8, Mode::FAST) && last(client) == "8 1");
    EXPECT(client.upload(3, 2, std::span(bytes).first(8)) && last(client) == "3x2 8");
    EXPECT(client.upload(3, 2, {}) && last(client) == "3x2 -1");
    EXPECT(client.image(3, 2, px::PixelFormat::RGB, px::PixelType::UNSIGNED_BYTE,
                        std::span(bytes).first(25)));
    EXPECT(last(client) == "25");
    const std::array<std::string_view, 3> texts{"void", "", "main"};
    EXPECT(client.sources(3, texts) && last(client) == "void||main|");
    const std::array<Point, 4> points{Point{1, 2}, Point{3, 4}, Point{5, 6}, Point{0, 9}};
    const std::array<std::span<const Point>, 2> rows{std::span(points).first(2),
                                                     std::span(points).last(2)};
    EXPECT(client.rows(2, 2, rows) && last(client) == "2 44");
    const std::array<std::uint16_t, 3> three{1, 2, 3};
    EXPECT(client.words("name", three) && last(client) == "name 6");
    EXPECT(client.label(std::as_bytes(std::span("a label", 7))) && last(client) == "a label");
    EXPECT(client.counted(std::span(points).first(2)) && last(client) == "2");
    const std::array<Attribute, 3> list{Attribute::RED, Attribute{8}, Attribute::NONE};
    EXPECT(client.choose(list) && last(client) == "3");
    EXPECT(client.choose({}) && last(client) == "-1");
    std::array<float, 16> matrix{};
    matrix[15] = 2.5F;
    EXPECT(client.fixed(matrix, {'t', 'a', 'g', '!'}) && last(client) == "2.5 t");
    EXPECT(client.maybe(2, {}, {}, {}, {}, {}, {}, {}) && last(client) == "2 0000000");
    EXPECT(client.maybe(2, "x", points[0], 1, Mode::FAST, std::span(three).first(2),
                        std::span<const float>(matrix).first(4), device));
    EXPECT(last(client) == "2 1111111");
    const std::vector<float> many(20000, 0.5F);
    EXPECT(client.bulk(20000, many) && last(client) == "20000 10000");
    EXPECT(client.raw(5, far) && last(client) == "5 " + std::to_string(far));
    EXPECT(client.internal(6) && last(client) == "internal 6");
}

void answers(Calls& client) {
    const auto list = client.list();
    EXPECT(list && list->result == 2 && list->points.size() == 2 && list->points[1].y == 4);
    EXPECT(list && list->name == "ab");
    Point point{1, 2};
    std::uint32_t n = 3;
    std::array<std::byte, 3> data{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    EXPECT(client.swap(point, n, data));
    EXPECT(point.x == 2 && point.y == 1 && n == 4 && data[0] == std::byte{'c'});
    const auto partly = client.partly();
    EXPECT(partly && partly->first == 7 && partly->pair[1] == 2 && partly->mode == Mode::SLOW);
    EXPECT(*client.version() == "1.3" && *client.version() == "1.3");
    EXPECT(!client.extension(0)->has_value() && *client.extension(1) == "ext");
    EXPECT(*client.location("seven..") == 7);
}

void callbacks(Calls& client) {
    std::string seen;
    EXPECT(client.on_progress([&](std::uint32_t done) { seen += std::to_string(done); }));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // it is, and has to work
    EXPECT(client.draw(3));
#pragma GCC diagnostic pop
    EXPECT(last(client) == "internal 6" && seen == "012");
    EXPECT(client.run(
        [](std::string_view question) -> Result<WholeAskReply> {
            return WholeAskReply{static_cast<std::uint32_t>(question[1] - '0'), 4};
        },
        3));
    EXPECT(last(client) == "42");
}

}  // namespace

int main(int count, char** words) {
    auto application = vm::enter(count, words);
    auto memory = umem::Session::create(application, "vumem-clt-vogl0", false, Deadline::never());
    auto session = rpq::Session::create(application, "vrpq-clt-vogl0", rpq::hello_bytes(groups()),
                                        Deadline::never());
    EXPECT(memory.has_value() && session.has_value());
    auto open = (*session)->create_channel(0, {}, Deadline::never());
    EXPECT(open.has_value());
    buffers::ClientBuffers all;
    auto table = all.table();
    Calls client((*open)->channel());
    client.use(table.get());

    Options options;
    options.mode = Mode::SLOW;
    options.weights = {1, 2, 3, 4};
    options.level = 7;
    EXPECT(client.open("none", options).thrown() == test::whole::Status::NO_MEMORY);
    const auto device = client.open("front", options);
    EXPECT(device.has_value() && last(client) == "front 7 1.5 4");
    values(client, *device, count > 3 ? static_cast<unsigned>(std::atoi(words[1])) : 64);
    answers(client);
    callbacks(client);

    const auto started = client.start(*device);
    EXPECT(started && started->result == test::whole::Status::OK);
    EXPECT(*client.configure(*device, options) == 7);
    EXPECT(client.configure(*device, {}).thrown() == test::whole::Status::BUSY);

    std::shared_ptr<umem::Buffer> frame = *(*memory)->alloc("4096", Deadline::never());
    std::byte* const data = *frame->map(Deadline::never());
    const rpq::BufferRef ref = *all.attach(frame, data, Deadline::never());
    data[0] = std::byte{5};
    rpq::BufferRef back;
    std::uint32_t level = 0;
    client.callbacks.frame_done = [&](Queue queue, const rpq::Buffer& given, const Options& o) {
        EXPECT(queue == started->queue);
        back = given.ref;
        level = o.level;
    };
    EXPECT(*client.sum(ref, {}) == 5);
    EXPECT(client.submit(started->queue, ref));
    EXPECT(client.sum(ref, {}).code() == Errc::not_permitted);
    while (!back) EXPECT((*open)->channel().handle_callbacks(Deadline::never()));
    EXPECT(back == ref && level == 5 && *client.sum(ref, {}) == 5);
    EXPECT(client.stop(started->queue) && client.close(*device));
    const Errc dead = client.configure(*device, options).code();
    EXPECT(dead == Errc::corrupt || dead == Errc::peer_dead);
    application->close();
    vm::say("ok");
    return 0;
}
