#include "hyplink/app/rpc/rpc.hpp"

#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::rpc {

using rings::ChannelState;

namespace {

// Each beside the bell that announces it.
constexpr std::size_t kCallAt = 72;
constexpr std::size_t kCallSizeAt = 80;
constexpr std::size_t kAnswerAt = 200;
constexpr std::size_t kAnswerSizeAt = 208;

Result<std::unique_ptr<port::End>> lookup(std::shared_ptr<app::Application> application,
                                          const Name& name, guest::PortRole role,
                                          Deadline deadline) {
    port::Lookup what;
    what.device = "vrpc";
    what.name = name.name;
    what.role = role;
    what.over = name.over;
    what.peer = name.peer;
    return port::End::lookup(std::move(application), what, deadline);
}

}  // namespace

Words::Words(const port::Joined& joined, Role role)
    : ChannelEnd(joined.context, role),
      call_(&rpq::port_word<std::atomic<std::uint64_t>>(context_.port, kCallAt)),
      call_size_(&rpq::port_word<std::atomic<std::uint32_t>>(context_.port, kCallSizeAt)),
      answer_(&rpq::port_word<std::atomic<std::uint64_t>>(context_.port, kAnswerAt)),
      answer_size_(&rpq::port_word<std::atomic<std::uint32_t>>(context_.port, kAnswerSizeAt)),
      data_(role == Role::client ? joined.own : joined.peer) {
    own_.attach(*context_.runtime, rpq::port_bell(context_.port, role), context_.own_fd);
    peer_.attach(*context_.runtime, rpq::port_bell(context_.port, other(role)), context_.peer_fd);
}

Result<std::uint32_t> Words::size(const std::atomic<std::uint32_t>& word, std::uint64_t limit,
                                  const char* doing) {
    const std::uint32_t found = word.load(std::memory_order_relaxed);
    if (found > limit) return fault_error(doing, rings::Fault{"size", found, limit});
    return found;
}

// --- client -------------------------------------------------------------------------------------

Result<std::unique_ptr<Client>> Client::open(std::shared_ptr<app::Application> application,
                                             const Name& name, Deadline deadline) {
    return open(
        HYPLINK_TRY(lookup(std::move(application), name, guest::PortRole::client, deadline)),
        deadline);
}

Result<std::unique_ptr<Client>> Client::open(std::shared_ptr<port::End> end, Deadline deadline) {
    std::unique_ptr<Client> client(new Client);
    client->end_ = std::move(end);
    port::JoinOptions options;
    options.alone = true;
    options.bytes = client->end_->bytes();
    port::Joined joined = HYPLINK_TRY(client->end_->join(options, deadline));
    client->maxsize_ = client->end_->bytes() - kHeadBytes;
    client->words_ = std::make_unique<Words>(joined, Role::client);
    client->membership_ = std::move(joined.membership);
    return client;
}

Result<std::uint32_t> Client::call(std::uint32_t size, Deadline deadline) {
    if (!is_open()) return Error::make(Errc::closed, "vRPC call: closed");
    end_->application().runtime().switch_point(SwitchPoint::publish);
    if (size > maxsize_)
        return Error::make(Errc::too_long,
                           text(words_->where("call"), " of ", size, " bytes: there is room for ",
                                maxsize_, "; raise the size in the info"));
    if (calling_) {  // given up earlier
        auto late = attempt();
        if (late.code() == Errc::would_block && words_->open() && whom_ == end_->presence())
            return Error::make(Errc::busy,
                               words_->where("call") + ": the last one is still being handled");
        if (!late) return late;
    }
    if (!words_->open()) return attempt();
    whom_ = end_->presence();
    if (whom_ == 0) return std::uint32_t{0};
    words_->call_size_->store(size, std::memory_order_relaxed);
    ++number_;
    calling_ = true;
    // partner: Server::attempt
    words_->call_->store(std::uint64_t{number_} << 32 | (whom_ & ~port::kPresent),
                         std::memory_order_release);
    words_->ring_peer();
    Words::bump(words_->counters_->calls);
    Words::bump(words_->counters_->in_place_bytes, size);
    if (words_->context_.runtime->seeded())
        words_->context_.runtime->switch_point(SwitchPoint::publish);
    return wait_for_answer(deadline);
}

Result<std::uint32_t> Client::resume(Deadline deadline) {
    if (!is_open()) return Error::make(Errc::closed, "vRPC call: closed");
    if (!calling_) return Error::make(Errc::bad_argument, "vRPC: no call was given up");
    return wait_for_answer(deadline);
}

Result<std::uint32_t> Client::wait_for_answer(Deadline deadline) {
    // A lost link is would_block, too: what the loop waits on must be another word.
    auto outcome = words_->wait_for(deadline, [this]() -> Result<std::uint32_t> {
        auto answer = attempt();
        if (answer.code() == Errc::would_block && !(words_->open() && whom_ == end_->presence()))
            return Error::make(Errc::link_down, answer.error().text());
        return answer;
    });
    if (outcome.code() == Errc::link_down)
        return Error::make(Errc::would_block, outcome.error().text());
    return outcome;
}

Result<std::uint32_t> Client::attempt() {
    // Whether somebody is there comes first: what was answered before is still good.
    const std::uint32_t presence = end_->presence();
    const bool open = words_->open();
    // partner: Server::answer
    if (calling_ && words_->answer_->load(std::memory_order_acquire) == number_) {
        calling_ = false;
        return words_->size(*words_->answer_size_, maxsize_, "call");
    }
    if (open && (!calling_ || presence == whom_)) return Errc::would_block;
    Error why = words_->refused("call", calling_ ? 1 : 0);
    if (why.code() == Errc::corrupt || why.code() == Errc::closed) return why;
    return Error::make(Errc::would_block,
                       text(words_->where("call"), ": the server in VM ", end_->peer(),
                            " or the link was lost; close and open again"));
}

void Client::off_notifier(std::function<void(VmId)> off) {
    if (!is_open()) return;
    end_->application().unwatch(membership_.handle());
    end_->application().watch(membership_.handle(),
                              [off = std::move(off), peer = end_->peer()] { off(peer); });
}

void Client::close() {
    membership_.leave();
    if (end_) end_->release();
}

// --- server -------------------------------------------------------------------------------------

Result<std::unique_ptr<Server>> Server::open(std::shared_ptr<app::Application> application,
                                             const Name& name, Deadline deadline) {
    return open(
        HYPLINK_TRY(lookup(std::move(application), name, guest::PortRole::server, deadline)),
        deadline);
}

Result<std::unique_ptr<Server>> Server::open(std::shared_ptr<port::End> end, Deadline deadline) {
    std::unique_ptr<Server> server(new Server);
    server->end_ = std::move(end);
    server->maxsize_ = server->end_->bytes() - kHeadBytes;
    // From now on calls wait for `receive` and are not answered with nothing.
    port::JoinOptions options;
    options.now = true;
    auto joined = server->end_->join(options, deadline);
    if (joined)
        HYPLINK_TRY(server->enter(*std::move(joined)));
    else if (joined.code() != Errc::would_block && joined.code() != Errc::link_down)
        return std::move(joined).error();
    return server;
}

Status Server::enter(port::Joined joined) {
    if (joined.peer_bytes < maxsize_)
        return Error::make(Errc::protocol, text("vRPC: VM ", end_->peer(), " gave ",
                                                joined.peer_bytes, " bytes of ", maxsize_));
    membership_.reset();
    words_ = std::make_unique<Words>(joined, Role::server);
    membership_ = std::move(joined.membership);
    wish_ = joined.wish;
    number_ = static_cast<std::uint32_t>(words_->answer_->load(std::memory_order_relaxed));
    answering_ = false;
    ++clients_;
    if (off_)
        end_->application().watch(membership_.handle(),
                                  [off = off_, peer = end_->peer()] { off(peer); });
    return {};
}

Result<std::uint32_t> Server::receive(Deadline deadline) {
    if (answering_) (void)answer(0);
    for (;;) {
        if (!end_->is_open()) return Error::make(Errc::closed, "vRPC receive: closed");
        if (membership_) {
            auto size = words_->wait_for(deadline, [this] { return attempt(); });
            if (size || (size.code() != Errc::peer_dead && size.code() != Errc::corrupt))
                return size;
            if (words_->state() == ChannelState::closed)
                return Error::make(Errc::closed, "vRPC receive: closed");
            // Of a client that wrote nonsense nothing more is heard; the next one is welcome.
            if (size.code() == Errc::corrupt) {
                membership_.reset();
                return size;
            }
        }
        auto joined = end_->join({}, deadline);
        if (!joined) return std::move(joined).error();
        HYPLINK_TRY(enter(*std::move(joined)));
    }
}

Result<std::uint32_t> Server::attempt() {
    const bool open = words_->open();
    const std::uint64_t call = words_->call_->load(std::memory_order_acquire);  // Client::call
    const auto number = static_cast<std::uint32_t>(call >> 32);
    if (number != number_ && static_cast<std::uint32_t>(call) == wish_) {
        number_ = number;
        answering_ = true;
        Words::bump(words_->counters_->requests);
        std::atomic_ref(words_->counters_->ring_now).store(1, std::memory_order_relaxed);
        return words_->size(*words_->call_size_, maxsize_, "receive");
    }
    if (open) return Errc::would_block;
    return words_->refused("receive", 0);
}

Status Server::answer(std::uint32_t size) {
    if (!answering_) return Error::make(Errc::bad_argument, "vRPC answer: no call to answer");
    if (size > maxsize_)
        return Error::make(Errc::too_long,
                           text("vRPC answer of ", size, " bytes: there is room for ", maxsize_));
    answering_ = false;
    Words::bump(words_->counters_->in_place_bytes, size);
    std::atomic_ref(words_->counters_->ring_now).store(0, std::memory_order_relaxed);
    words_->answer_size_->store(size, std::memory_order_relaxed);
    words_->answer_->store(number_, std::memory_order_release);  // partner: Client::attempt
    words_->ring_peer();
    if (words_->context_.runtime->seeded())
        words_->context_.runtime->switch_point(SwitchPoint::publish);
    if (!words_->open()) return Error(Errc::would_block);
    return {};
}

void Server::close() {
    membership_.leave();
    if (end_) end_->release();
}

}  // namespace hyplink::rpc
