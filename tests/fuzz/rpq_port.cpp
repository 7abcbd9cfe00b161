// A vRPQ port whose other end writes anything anywhere: both ends, over a whole mutated port.
#include <atomic>
#include <memory>

#include "fuzz.hpp"
#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/rpq/server_channel.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;

namespace {

constexpr std::size_t kBytes = 4096;
constexpr std::uint32_t kCallbacksAt = rpq::port_layout(kBytes).callback_at;
constexpr std::uint32_t kHot[] = {rpq::kServerBellAt,
                                  rpq::kHeadAt,
                                  rpq::kHeadAt + 4,
                                  rpq::kWantedAt,
                                  rpq::kClientBellAt,
                                  rpq::kFaultAt,
                                  rpq::kTailAt,
                                  rpq::kTailAt + 4,
                                  rpq::kReplyAt,
                                  rpq::kReplyAt + 4,
                                  128,
                                  256,
                                  rpq::kRingAt,
                                  rpq::kRingAt + 4,
                                  rpq::kRingAt + 8,
                                  rpq::kRingAt + 12,
                                  rpq::kDoneAt,
                                  rpq::kNestedDoneAt,
                                  rpq::kCallbackHeadAt,
                                  rpq::kCallbackHeadAt + 4,
                                  rpq::kNestedReplyAt,
                                  rpq::kCallbackWantedAt,
                                  rpq::kCallbackDoneAt,
                                  rpq::kRefusalAt,
                                  rpq::kCallbackTailAt,
                                  rpq::kCallbackTailAt + 4,
                                  rpq::kCallbackReplyAt,
                                  rpq::kCallbackReplyAt + 4,
                                  kCallbacksAt,
                                  kCallbacksAt + 4,
                                  kCallbacksAt + 8,
                                  kCallbacksAt + 12};

class Ends {
   public:
    explicit Ends(fuzz::Input& input) : input_(input) {
        const std::uint8_t how = input.byte();
        limit_ = how / 4 % 32;
        rpq::port_reset(port(), kBytes);
        state_ = 1;
        if ((how & 2) != 0) overlay();
        // Each end starts as its kernel makes it: on a port with the mark of one.
        rpq::port_word<std::uint32_t>(port(), 0) = rpq::PortHeader::kMagic;
        rpq::port_word<std::uint32_t>(port(), 4) = rpq::PortHeader::kVersion;
        if ((how & 1) != 0)
            server_ = *rpq::ServerChannel::make(context());
        else
            client_ = *rpq::ClientChannel::make(context());
        if (client_)
            client_->on_callback([this](const rpq::RequestView& view) { return handle(view); });
        else if ((how & 128) != 0)
            server_->on_nested([this](const rpq::Request& request) { return nested(request); });
    }

    void run() {
        for (int step = 0; step < 60 && !input_.empty(); ++step) {
            if (input_.byte() % 3 == 0)
                scribble();
            else if (server_)
                serve();
            else
                ask();
        }
    }

   private:
    std::byte* port() { return memory_; }
    rpq::ChannelContext context() {
        rpq::ChannelContext made;
        made.runtime = &runtime();
        made.port = port();
        made.port_bytes = kBytes;
        made.state = &state_;
        made.label = "fuzz0";
        made.max_requests = limit_;
        return made;
    }
    static sys::RealRuntime& runtime() {
        static sys::RealRuntime only(0);
        return only;
    }

    void overlay() {
        const std::size_t from = input_.below(kBytes);
        const auto bytes = input_.take(input_.below(1200));
        std::memcpy(port() + from, bytes.data(), std::min(bytes.size(), kBytes - from));
    }
    void scribble() {
        const std::uint8_t how = input_.byte();
        if (how < 24) return overlay();
        if (how < 32) {
            state_ = input_.byte() % 6;
            return;
        }
        if (how < 96) {  // a record as an honest writer would put it, or nearly
            const std::uint32_t at = input_.below(96) * 8;
            const rings::RecordHeader header{input_.number(), input_.number(), input_.number(),
                                             input_.byte() % 7U};
            std::memcpy(port() + (how % 2 == 0 ? rpq::kRingAt : kCallbacksAt) + at, &header,
                        sizeof header);
            return;
        }
        const std::uint32_t at =
            how < 200 ? kHot[how % std::size(kHot)] : input_.below(kBytes / 4) * 4;
        auto& word = rpq::port_word<std::atomic<std::uint32_t>>(port(), at);
        const std::uint32_t value = input_.number();
        if ((how & 1) != 0)
            word = word + value;
        else
            word = value;
    }
    bool inside(const std::byte* at, std::uint64_t bytes) {
        const std::byte* const ring = port() + rpq::kRingAt;
        const std::uint64_t size = rpq::port_layout(kBytes).ring_bytes;
        return at >= ring && at <= ring + size &&
               bytes <= size - static_cast<std::uint64_t>(at - ring);
    }

    bool in_callbacks(const std::byte* at, std::uint64_t bytes) {
        const std::byte* const ring = port() + kCallbacksAt;
        const std::uint64_t size = rpq::port_layout(kBytes).callback_bytes;
        return at >= ring && at <= ring + size &&
               bytes <= size - static_cast<std::uint64_t>(at - ring);
    }

    /// The client's handler: looks at everything, and asks in the middle of it.
    std::int32_t handle(const rpq::RequestView& view) {
        FUZZ_CHECK(client_->in_callback());
        FUZZ_CHECK(in_callbacks(view.in, view.in_bytes));
        FUZZ_CHECK(in_callbacks(view.out, view.out_bytes));
        FUZZ_CHECK(view.is_call || view.out_bytes == 0);
        fuzz::touch(std::span(view.in, view.in_bytes));
        for (std::uint32_t i = 0; i < view.out_bytes; ++i) FUZZ_CHECK(view.out[i] == std::byte{0});
        std::memset(view.out, 0x5a, view.out_bytes);
        for (int step = input_.byte() % 4; step > 0; --step) ask();
        return static_cast<std::int32_t>(input_.byte());
    }
    std::int32_t nested(const rpq::Request& request) {
        FUZZ_CHECK(inside(request.in, request.in_bytes));
        FUZZ_CHECK(inside(request.out, request.out_bytes));
        fuzz::touch(std::span(request.in, request.in_bytes));
        std::memset(request.out, 0x5a, request.out_bytes);
        FUZZ_CHECK(!server_->try_receive(1));
        FUZZ_CHECK(!server_->callback_begin_call(1, 8, 8, Deadline{0}));
        if (input_.byte() % 16 == 0) server_->fail(Error::make(Errc::corrupt, "D7"));
        return static_cast<std::int32_t>(input_.byte());
    }

    void call_back() {
        const std::uint32_t in_bytes = input_.number() % 600;
        const std::uint32_t out_bytes = input_.number() % 600;
        const std::uint8_t what = input_.byte() % 8;
        const bool was_corrupt = server_->corrupt();
        if (what == 0) return server_->callback_forget();
        if (what < 5) {
            const auto drop = static_cast<rpq::Drop>(what % 3);
            auto block = server_->callback_begin(what, in_bytes, drop, input_.byte() % 4);
            if (!block) return;
            FUZZ_CHECK(!was_corrupt);
            FUZZ_CHECK(drop != rpq::Drop::refuse || in_callbacks(*block, in_bytes));
            std::memset(*block, 0x33, in_bytes);
            if (input_.byte() % 8 != 0) static_cast<void>(server_->callback_post());
            FUZZ_CHECK(server_->callbacks_kept() <= 3 * 4);
            return;
        }
        auto block = server_->callback_begin_call(what, in_bytes, out_bytes, Deadline{0});
        if (block) {
            FUZZ_CHECK(in_callbacks(*block, std::uint64_t{in_bytes} + out_bytes));
            std::memset(*block, 0x44, in_bytes);
            if (input_.byte() % 4 == 0) scribble();
        }
        auto reply = server_->callback_call(Deadline{0});
        if (!reply) return;
        FUZZ_CHECK(!was_corrupt);
        FUZZ_CHECK(in_callbacks(reply->out, reply->out_bytes));
        fuzz::touch(std::span(reply->out, reply->out_bytes));
    }

    void serve() {
        const std::uint8_t what = input_.byte() % 12;
        if (what >= 8) return call_back();
        if (what == 6) {
            static_cast<void>(server_->acknowledge());
        } else if (what == 7) {
            server_->set_reason(static_cast<std::int32_t>(input_.number()));
            if (input_.byte() % 8 == 0) server_->fail(Error::make(Errc::corrupt, "D7"));
        } else {
            const std::uint32_t most = what == 5 ? 1000 : what;
            const bool was_corrupt = server_->corrupt();
            auto batch =
                what == 4 ? server_->receive(most, Deadline{0}) : server_->try_receive(most);
            if (!batch) return;
            FUZZ_CHECK(!was_corrupt);
            FUZZ_CHECK(batch->size() <= std::min(most, rpq::ServerChannel::kMaxBatch));
            for (const rpq::Request& request : *batch) {
                FUZZ_CHECK(inside(request.in, request.in_bytes));
                FUZZ_CHECK(inside(request.out, request.out_bytes));
                FUZZ_CHECK(request.in + request.in_bytes <= request.out);
                FUZZ_CHECK(reinterpret_cast<std::uintptr_t>(request.in) % 8 == 0);
                FUZZ_CHECK(request.is_call || request.out_bytes == 0);
                FUZZ_CHECK(!request.is_call || &request == &batch->back());
                fuzz::touch(std::span(request.in, request.in_bytes));
                for (std::uint32_t i = 0; i < request.out_bytes; ++i)
                    FUZZ_CHECK(request.out[i] == std::byte{0});
                std::memset(request.out, 0x5a, request.out_bytes);
            }
        }
    }

    void ask() {
        const std::uint32_t in_bytes = input_.number() % 2000;
        const std::uint32_t out_bytes = input_.number() % 2000;
        const bool was_corrupt = client_->corrupt();
        switch (input_.byte() % 12) {
            case 10:
            case 11: {
                auto handled = client_->try_handle_callbacks();
                if (handled) FUZZ_CHECK(!was_corrupt && !client_->in_callback());
                break;
            }
            case 0:
            case 1:
            case 2: {
                auto block = input_.byte() % 8 == 0 ? client_->begin(1, in_bytes, Deadline{0})
                                                    : client_->try_begin(1, in_bytes);
                if (!block) return;
                FUZZ_CHECK(!was_corrupt);
                FUZZ_CHECK(inside(*block, in_bytes));
                std::memset(*block, 0x11, in_bytes);
                begun_ = true;
                break;
            }
            case 3:
            case 4:
                if (client_->post()) FUZZ_CHECK(std::exchange(begun_, false));
                break;
            case 5:
                static_cast<void>(client_->notify());
                break;
            case 6: {
                auto block = client_->try_begin_call(2, in_bytes, out_bytes);
                if (!block) return;
                FUZZ_CHECK(inside(*block, std::uint64_t{in_bytes} + out_bytes));
                std::memset(*block, 0x22, in_bytes);
                asked_[client_->in_callback()] = out_bytes;
                begun_ = false;  // what was begun before is void
                break;
            }
            case 7:
                static_cast<void>(client_->call_start());
                break;
            case 8: {
                auto reply =
                    input_.byte() % 4 == 0 ? client_->call(Deadline{0}) : client_->try_reply();
                if (!reply) return;
                FUZZ_CHECK(!was_corrupt);
                FUZZ_CHECK(reply->out_bytes == asked_[client_->in_callback()]);
                FUZZ_CHECK(inside(reply->out, reply->out_bytes));
                fuzz::touch(std::span(reply->out, reply->out_bytes));
                break;
            }
            default:
                client_->call_forget();
                FUZZ_CHECK(client_->pending() <= kBytes / rings::kHeaderBytes);
        }
    }

    fuzz::Input& input_;
    alignas(64) std::byte memory_[kBytes];
    std::atomic<std::uint32_t> state_{1};
    std::uint32_t limit_ = 0;
    std::uint32_t asked_[2] = {};  ///< by an outer call, by one from inside a handler
    bool begun_ = false;
    std::unique_ptr<rpq::ServerChannel> server_;
    std::unique_ptr<rpq::ClientChannel> client_;
};

}  // namespace

void fuzz::one(Input& input) {
    // On the heap, so that a step outside the port meets a red zone or another object's page.
    std::make_unique<Ends>(input)->run();
}
