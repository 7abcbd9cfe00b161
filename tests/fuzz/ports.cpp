// vRPC and vMQ: an application's two ends of what it shares with another VM, which writes anything
// anywhere: words and slots of the ports, and what the two kernels tell each other about them.
#include "hyplink/app/mq/queue.hpp"
#include "hyplink/app/rpc/rpc.hpp"
#include "hyplink/guest/port_end.hpp"
#include "peers.hpp"

using namespace hyplink;
using fuzz::kNow;

namespace {

constexpr std::uint64_t kSides = 2 * sizeof(guest::PortSide);
constexpr std::uint64_t kProcedureBytes = 256;
constexpr std::uint32_t kAsks = 0, kAnswers = 1, kQueue = 2;  // the victim's part of each link
constexpr const char* kDevices[] = {"vrpc", "vrpc", "vmq"};
constexpr const char* kNames[] = {"asks", "answers", "queue"};

class Victim {
   public:
    Victim(fuzz::Pair& pair, fuzz::Input& input) : pair_(pair), input_(input) {}

    void asks() {
        if (!client_) {
            if (auto made = rpc::Client::open(pair_.application, {.name = "asks"}, kNow))
                client_ = *std::move(made);
            return;
        }
        FUZZ_CHECK(client_->maxsize() == kProcedureBytes - rpc::kHeadBytes);
        if (input_.byte() % 8 == 0) return client_.reset();
        const std::uint32_t size = input_.number() % 300;
        const auto answer = client_->call(size, kNow);
        if (!answer) return;
        FUZZ_CHECK(*answer <= client_->maxsize() && size <= client_->maxsize());
        fuzz::touch(std::span(client_->data(), *answer));
    }

    void answers() {
        if (!server_) {
            if (auto made = rpc::Server::open(pair_.application, {.name = "answers"}, kNow))
                server_ = *std::move(made);
            return;
        }
        if (input_.byte() % 8 == 0) return server_.reset();
        const auto asked = server_->receive(kNow);
        if (!asked) return;
        FUZZ_CHECK(*asked <= server_->maxsize());
        fuzz::touch(std::span(server_->data(), *asked));
        if (input_.byte() % 4 == 0) pair_.disturb_port(input_, 320);
        (void)server_->answer(input_.number() % 300);
    }

    void queue() {
        if (!queue_) {
            mq::QueueOptions options;
            options.name = "queue";
            options.tx = {4, 40, 2, 100};
            options.returns = input_.byte() % 2 == 0;
            if (auto made = mq::Queue::open(pair_.application, options, kNow))
                queue_ = *std::move(made);
            return;
        }
        const std::uint8_t what = input_.byte() % 16;
        if (!queue_->is_on()) {
            if (what == 0) return close_queue();
            give_up();
            if (queue_->wait_on(kNow)) again();
            return;
        }
        switch (what) {
            case 0:
                return close_queue();
            case 1:
            case 2:
                if (auto slot = queue_->try_allocate()) {
                    FUZZ_CHECK(*slot < 4 && own_.insert(*slot).second);
                    std::memset(queue_->header(*slot).data(), 0x11, queue_->header(*slot).size());
                }
                return;
            case 3:
            case 4:
                if (own_.empty()) return;
                FUZZ_CHECK(!queue_->is_on() || queue_->send_async(*own_.begin()));
                own_.erase(own_.begin());
                if (what == 4) queue_->send_flush();
                return;
            case 5:
                if (const std::uint32_t slot = input_.number(); queue_->discard(slot))
                    FUZZ_CHECK(own_.erase(slot) == 1);
                return;
            case 6:
            case 7:
            case 8:
                return receive();
            case 9:
            case 10:
                if (theirs_.empty()) return;
                FUZZ_CHECK(what == 9
                               ? queue_->free(*theirs_.begin()).has_value()
                               : queue_->return_(*theirs_.begin()).code() != Errc::bad_argument);
                theirs_.erase(theirs_.begin());
                return;
            case 11:
            case 12:
                if (auto slot = queue_->try_return_receive()) {
                    FUZZ_CHECK(*slot < 4);
                    fuzz::touch(queue_->header(*slot));
                    if (what == 11) FUZZ_CHECK(queue_->return_free(*slot));
                }
                return;
            case 13:
                if (auto at = queue_->data_allocate(input_.byte())) {
                    FUZZ_CHECK(*at <= 128);
                    std::memset(queue_->data(*at), 0x22, 100);
                }
                return;
            case 14:
                return (void)queue_->data_free(input_.byte() % 2 == 0 ? 128 : input_.number());
            default:
                if (const std::uint32_t slot = input_.number(); queue_->free(slot))
                    FUZZ_CHECK(theirs_.erase(slot) == 1);
                (void)queue_->return_free(input_.number());
        }
    }

    void receive() {
        const auto slot = queue_->try_receive();
        if (!slot) return;
        FUZZ_CHECK(*slot < queue_->rx().msg_count && theirs_.insert(*slot).second);
        const auto message = queue_->received(*slot);
        FUZZ_CHECK(message.size() == queue_->rx().msg_max);
        fuzz::touch(message);
        // A message of the peer's speaks of its buffers as it likes.
        std::uint64_t at = input_.number();
        if (message.size() >= sizeof at) std::memcpy(&at, message.data(), sizeof at);
        if (queue_->data_offset_ok(at))
            fuzz::touch(std::span(queue_->received_data(at), queue_->rx().data_max));
    }

   private:
    /// Give everything of the last link back, as a caller must before the next one.
    void give_up() {
        for (std::uint32_t slot = 0; slot < 4; ++slot) {
            (void)queue_->discard(slot);
            (void)queue_->return_free(slot);
        }
        for (const std::uint64_t at : {0U, 128U}) (void)queue_->data_free(at);
        for (const std::uint32_t slot : theirs_) FUZZ_CHECK(queue_->free(slot));
        again();
    }
    void again() {
        own_.clear();
        theirs_.clear();
    }
    void close_queue() {
        queue_.reset();
        again();
    }
    fuzz::Pair& pair_;
    fuzz::Input& input_;
    std::unique_ptr<rpc::Client> client_;
    std::unique_ptr<rpc::Server> server_;
    std::unique_ptr<mq::Queue> queue_;
    std::set<std::uint32_t> own_, theirs_;
};

/// What the peer's application says to its kernel, mostly as the library would.
void join(fuzz::Pair& pair, fuzz::Input& input, std::uint32_t (&ends)[3]) {
    const std::uint32_t which = input.byte() % 3;
    std::uint32_t& end = ends[which];
    if (end == 0) {
        const std::uint32_t device = pair.writer.ask(guest::Sys::open, 0, {}, kDevices[which]);
        end = pair.writer.ask(guest::Sys::port_lookup, device, {2, 0, 0}, kNames[which]);
        pair.writer.close(device);
        if (end == 0) return;
    }
    const std::uint8_t how = input.byte();
    if (how < 24) return pair.writer.close(std::exchange(end, 0));
    const std::uint32_t shape = input.byte();
    const mq::Config config{1U << shape % 4, 1 + shape, shape % 3, shape % 3 * 50};
    std::string words = which == kQueue ? config.to_words() : "";
    std::uint64_t bytes = which == kQueue ? mq::Direction(config).bytes : kProcedureBytes;
    if (how < 40) words = input.text(140);
    if (how >= 40 && how < 56) bytes = input.number();
    if (how < 72 && words.size() == sizeof config)
        words[input.byte() % words.size()] = static_cast<char>(input.byte());
    const std::uint64_t flags = which == kAnswers && how < 250 ? 1 : how % 4;
    pair.writer.ask(guest::Sys::port_join, end, {bytes, flags & (how % 2 == 0 ? 3U : 1U)}, words);
}

}  // namespace

void fuzz::one(Input& input) {
    Pair pair({{"vrpc", 0, kClientVm, kServerVm, "asks,256", "asks,256", 1 << 20},
               {"vrpc", 1, kServerVm, kClientVm, "answers,256", "answers,64", 1 << 20},
               {"vmq", 2, kServerVm, kClientVm, "queue", "queue", 1 << 20}},
              {{kAsks, kSides, true}, {kAnswers, kSides, true}, {kQueue, kSides, true}});
    std::uint32_t ends[3] = {};
    Victim victim(pair, input);
    for (int step = 0; step < 120 && !input.empty(); ++step) {
        const std::uint8_t what = input.byte();
        if (what < 48) {
            join(pair, input, ends);
        } else if (what < 80) {
            pair.disturb_port(input, 2048);
        } else if (what < 96) {
            pair.disturb_kernel(input);
        } else if (what < 100) {
            pair.writer.start_again(what % 2 == 0);
            for (std::uint32_t& end : ends) end = 0;
        } else if (what < 136) {
            victim.asks();
        } else if (what < 176) {
            victim.answers();
        } else {
            victim.queue();
        }
    }
}
