// Lends memory through vUmem and serves frames.vidl, in one program inside a VM: one thread for the
// memory, one for the calls, client after client.
#include <numeric>
#include <thread>
#include <vector>

#include "frames.hpp"
#include "hyplink/app/rpq/serve.hpp"
#include "vm.hpp"
#include "vm_lender.hpp"

namespace {

using namespace test::frames;
using namespace hyplink;

class Served final : public FramesHandler {
   public:
    Served(rpq::ServerChannel& channel, rpq::BufferTable& table) : callbacks_(channel) {
        callbacks_.use(&table);
    }
    Result<std::uint32_t> sum(const rpq::Buffer& a, const rpq::Buffer& b) override {
        return add(a) + add(b);
    }
    Result<std::uint32_t> touch(const rpq::Buffer& frame, std::uint32_t value) override {
        std::fill(frame.bytes.begin(), frame.bytes.end(), static_cast<std::byte>(value));
        return static_cast<std::uint32_t>(frame.bytes.size());
    }
    void fill(const rpq::Buffer& frame, std::uint32_t value) override {
        std::memcpy(frame.bytes.data(), &value, sizeof value);
        EXPECT(callbacks_.filled(frame.ref, value));
    }
    Result<std::uint32_t> keep(const rpq::Buffer& frame) override {
        mine_.push_back(frame);
        return static_cast<std::uint32_t>(mine_.size());
    }
    void give_back(std::uint32_t value) override {
        const rpq::Buffer frame = mine_.back();
        mine_.pop_back();
        std::memcpy(frame.bytes.data(), &value, sizeof value);
        const auto seen = callbacks_.look(frame.ref);
        EXPECT(seen.has_value());
        EXPECT(callbacks_.filled(frame.ref, value + (seen ? *seen : 0)));
    }
    Result<std::uint32_t> kept() override {
        std::uint32_t all = 0;
        for (const auto& frame : mine_) all += static_cast<std::uint32_t>(frame.bytes[0]);
        return all;
    }
    Result<bool> try_to_write(const rpq::Buffer&) override { return false; }
    void upload(std::uint32_t, std::span<const std::byte> data) override {
        last_ = add({{}, data});
        for (const std::byte b : data) {
            if (b == data[0]) continue;
            ++mixed_;
            break;
        }
    }
    Result<std::uint32_t> uploaded() override { return last_; }
    Result<std::uint32_t> mixed() override { return mixed_; }
    void words(std::span<const std::uint16_t> text) override {
        last_ = std::accumulate(text.begin(), text.end(), std::uint32_t{0});
    }
    Result<std::uint32_t> both(std::uint32_t, std::optional<std::span<const std::byte>> a,
                               std::uint32_t, std::span<const float> b) override {
        return (a ? add({{}, *a}) : 0) +
               static_cast<std::uint32_t>(std::accumulate(b.begin(), b.end(), 0.0F));
    }

   private:
    struct Bytes {
        rpq::BufferRef ref;
        std::span<const std::byte> bytes;
    };
    static std::uint32_t add(const rpq::Buffer& buffer) { return add(Bytes{{}, buffer.bytes}); }
    static std::uint32_t add(const Bytes& buffer) {
        return std::accumulate(
            buffer.bytes.begin(), buffer.bytes.end(), std::uint32_t{0},
            [](std::uint32_t sum, std::byte b) { return sum + static_cast<std::uint32_t>(b); });
    }

    FramesCallbacks<rpq::ServerChannel> callbacks_;
    std::vector<rpq::Buffer> mine_;
    std::uint32_t last_ = 0, mixed_ = 0;
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
        auto table = all.table(**session);
        Served handler((*open)->channel(), *table);
        FramesServer server(handler, FramesContext{table.get()});
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
