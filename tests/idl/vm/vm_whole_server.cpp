// Serves whole.vidl inside a VM, buffers and callbacks included. What a request without an answer
// brought is what `fetch` tells next.
#include <numeric>
#include <sstream>
#include <thread>

#include "hyplink/app/rpq/serve.hpp"
#include "vm_lender.hpp"
#include "whole_mock.hpp"

namespace {

using namespace test::whole;
using namespace hyplink;
namespace px = test::pixels;

class Served final : public WholeMock {
   public:
    Served(rpq::ServerChannel& channel, rpq::BufferTable& table) : back_(channel) {
        back_.use(&table);
    }
    void scalars(std::uint8_t a, std::int64_t b, double c, bool d, std::uint64_t e, std::int64_t f,
                 std::uint64_t g) override {
        say(unsigned{a}, ' ', b, ' ', c, ' ', d, ' ', e, ' ', f, ' ', g);
    }
    void keywords(std::uint32_t a, std::uint32_t b, std::uint32_t c, Device, std::uint32_t d,
                  std::uint32_t e, std::uint32_t f, std::uint32_t g, std::uint32_t h,
                  std::uint32_t i, std::uint32_t j, std::uint32_t k, std::uint32_t l,
                  std::uint32_t m) override {
        say(a, ' ', b + c + d + e + f + g + h + i + j + k + l, ' ', m);
    }
    void set_align(std::uint32_t to, Mode mode) override {
        say(to, ' ', static_cast<unsigned>(mode));
    }
    void upload(std::uint32_t w, std::uint32_t h,
                std::optional<std::span<const std::byte>> data) override {
        say(w, 'x', h, ' ', data ? static_cast<long>(data->size()) : -1);
    }
    void image(std::uint32_t, std::uint32_t, px::PixelFormat, px::PixelType,
               std::span<const std::byte> data) override {
        say(data.size());
    }
    void sources(std::int32_t, std::span<const std::string_view> texts) override {
        std::string all;
        for (const auto one : texts) all += std::string(one) + "|";
        say(all);
    }
    void rows(std::uint32_t n, std::uint32_t,
              std::span<const std::span<const Point>> rows) override {
        float sum = 0;
        for (const auto& row : rows)
            for (const Point& point : row) sum += point.x * point.y;
        say(n, ' ', sum);
    }
    void words(std::string_view name, std::span<const std::uint16_t> values) override {
        say(name, ' ', std::accumulate(values.begin(), values.end(), 0));
    }
    void label(std::span<const std::byte> text) override {
        say(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
    }
    void counted(std::span<const Point> points) override { say(points.size()); }
    void choose(std::optional<std::span<const Attribute>> list) override {
        say(list ? static_cast<long>(list->size()) : -1);
    }
    void fixed(const std::array<float, 16>& m, const std::array<std::uint8_t, 4>& tag) override {
        say(m[15], ' ', static_cast<char>(tag[0]));
    }
    void maybe(std::uint32_t n, std::optional<std::string_view> name,
               const std::optional<Point>& at, const std::optional<std::uint32_t>& number,
               const std::optional<Mode>& mode, std::optional<std::span<const std::uint16_t>> list,
               std::optional<std::span<const float>> four, Device device) override {
        say(n, ' ', name.has_value(), at.has_value(), number.has_value(), mode.has_value(),
            list.has_value(), four.has_value(), device.value != 0);
    }
    Result<WholeFetchReply> fetch(std::uint32_t room) override {
        WholeFetchReply answer;
        answer.result = static_cast<std::uint32_t>(last_.size());
        for (std::uint32_t i = 0; i < std::min(room, 3U); ++i) answer.values.push_back(i * i);
        if (room != 0) answer.text = last_.substr(0, room - 1);
        return answer;
    }
    Result<WholeListReply> list() override {
        return WholeListReply{2, {Point{1, 2}, Point{3, 4}}, "ab"};
    }
    hyplink::Status swap(Point& point, std::uint32_t& n, std::span<std::byte> data) override {
        std::swap(point.x, point.y);
        std::reverse(data.begin(), data.end());
        ++n;
        return {};
    }
    Result<WholePartlyReply> partly() override { return WholePartlyReply{7, {1, 2}, Mode::SLOW}; }
    Result<std::string> version() override { return std::string("1.3"); }
    Result<std::optional<std::string>> extension(std::uint32_t index) override {
        return index == 0 ? std::optional<std::string>() : std::optional<std::string>("ext");
    }
    Result<std::int32_t> location(std::string_view name) override {
        return static_cast<std::int32_t>(name.size());
    }
    rpq::Outcome<void, test::whole::Status> open(std::string_view name, const Options& options,
                                                 Device) override {
        if (name == "none") return test::whole::Status::NO_MEMORY;
        say(name, ' ', options.level, ' ', options.scale, ' ', options.weights[3]);
        return {};
    }
    Result<WholeStartReply> start(Device, Queue fresh) override {
        return WholeStartReply{test::whole::Status::OK, fresh};
    }
    rpq::Outcome<std::uint32_t, test::whole::Status> configure(
        Device, const std::optional<Options>& options) override {
        if (!options) return test::whole::Status::BUSY;
        return options->level;
    }
    void submit(Queue queue, const rpq::Buffer& frame) override {
        Options options;
        options.mode = Mode::FAST;
        options.level = static_cast<std::uint32_t>(frame.bytes[0]);
        EXPECT(back_.frame_done(queue, frame.ref, options));
    }
    Result<std::uint32_t> sum(const rpq::Buffer& a, const rpq::Buffer& b) override {
        std::uint32_t all = 0;
        for (const auto part : {a.bytes, b.bytes})
            for (const std::byte one : part) all += static_cast<std::uint32_t>(one);
        return all;
    }
    void bulk(std::uint32_t n, std::span<const float> data) override {
        say(n, ' ', std::accumulate(data.begin(), data.end(), 0.0F));
    }
    void on_progress(rpq::Cookie, rpq::Cookie user) override { progress_ = user; }
    hyplink::Status run(rpq::Cookie, rpq::Cookie user, std::uint32_t rounds) override {
        std::uint32_t all = 0;
        for (std::uint32_t i = 0; i < rounds; ++i) {
            auto answer = back_.ask("q" + std::to_string(i), user);
            if (!answer) return std::move(answer).error();
            all += answer->result * 10 + answer->second;
        }
        say(all);
        return {};
    }
    void raw(std::uint32_t index, std::uint64_t pointer) override { say(index, ' ', pointer); }
    void internal(std::uint32_t index) override { say("internal ", index); }
    void draw(std::uint32_t count) override {
        for (std::uint32_t i = 0; i < count; ++i) EXPECT(back_.progress(i, progress_));
    }

   private:
    template <class... Parts>
    void say(const Parts&... parts) {
        std::ostringstream out;
        (out << ... << parts);
        last_ = out.str();
    }

    WholeCallbacks<rpq::ServerChannel> back_;
    rpq::Cookie progress_{};
    std::string last_;
};

}  // namespace

int main(int count, char** words) {
    auto application = vm::enter(count, words);
    buffers::ServerBuffers all;
    std::thread lender([&] { vm::lend(application, all); });
    vm::say("server");
    for (;;) {
        auto session = rpq::Session::accept(application, "vrpq-srv-vogl0", Deadline::never());
        if (session.code() == Errc::peer_dead) continue;
        if (!session.has_value()) break;
        auto open = (*session)->accept_channel(Deadline::never());
        if (!open.has_value()) continue;
        rpq::HandleTable handles;
        auto table = all.table(**session);
        Served handler((*open)->channel(), *table);
        WholeServer server(handler, WholeContext{&handles, table.get(), {}});
        const Error why = rpq::serve((*open)->channel(), [&](const rpq::Request& request) {
            table->next();
            return server.dispatch(request);
        });
        vm::say("served: %s", name(why.code()));
    }
    application->close();
    lender.join();
    return 0;
}
