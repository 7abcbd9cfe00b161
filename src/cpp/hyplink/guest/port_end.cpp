#include "hyplink/guest/port_end.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/link_memory.hpp"
#include "hyplink/guest/port_status.hpp"
#include "hyplink/guest/rpc_link.hpp"

namespace hyplink::guest {
namespace {

using rpq::ChannelState;

constexpr std::uint32_t kPresent = std::uint32_t{1} << 31;

constexpr std::uint64_t round64(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }

class PortHandle final : public Handle {
   public:
    PortHandle(PortEnd& end, std::shared_ptr<JoinedPort> port)
        : end_(&end), port_(std::move(port)) {}
    void close() override { end_->leave(port_); }

   private:
    PortEnd* end_;
    std::shared_ptr<JoinedPort> port_;
};

}  // namespace

PortEnd::PortEnd(GuestKernel& kernel, PortLinkEnd link)
    : kernel_(&kernel),
      end_(link.end),
      // An input has one name, which its back end gives; the others are each end's own.
      info_(link.end->role() == Role::server || device() == "vevent" ? link.server_info
                                                                     : link.client_info) {
    end_->add_user(*this);
}

Status PortEnd::allocate() {
    if (device() == "vrpc") {
        const std::string own = info_;
        memory_bytes_ = HYPLINK_TRY(RpcInfo::parse(own)).bytes;
        const hyp::VlinkDescriptor& link = end_->descriptor();
        const std::string other = kernel_->string_at(is_client() ? link.s_info : link.c_info);
        memory_bytes_ = std::max(memory_bytes_, HYPLINK_TRY(RpcInfo::parse(other)).bytes);
    }
    const LinkMemory memory =
        HYPLINK_TRY(link_memory(*kernel_, *end_, 2 * sizeof(PortSide), device()));
    sides_ = reinterpret_cast<PortSide*>(memory.pmem);
    own_xirq_ = memory.own_xirq;
    peer_xirq_ = memory.peer_xirq;
    own_bell_ = memory.own_bell;
    return {};
}

// --- the end of an application ------------------------------------------------------------------

void PortEnd::take(Pending pending, std::unique_ptr<Handle> handle) {
    auto presence = kernel_->take_status_word(pending.app);
    if (!presence) return kernel_->fail(pending, presence.code(), presence.error().text());
    taken_ = true;
    app_ = pending.app;
    presence_ = *presence;
    SysReply reply;
    reply.values[EndReply::handle] = kernel_->add_handle(app_, std::move(handle));
    reply.values[EndReply::role] = static_cast<std::uint64_t>(end_->role());
    reply.values[EndReply::peer] = end_->peer_vm();
    reply.values[EndReply::link] = end_->index();
    reply.values[EndReply::number] = end_->descriptor().link;
    reply.values[EndReply::bytes] = memory_bytes_;
    reply.values[EndReply::presence] = presence_.index;
    reply.data = info_;
    kernel_->answer(pending, std::move(reply));
}

void PortEnd::release() {
    if (!taken_) return;
    if (port_) drop();
    // Whoever closes the end while another thread waits in it.
    if (pending_)
        kernel_->fail(*std::exchange(pending_, {}), Errc::cancelled, "the end was closed");
    withdraw();
    kernel_->drop_status_word(app_, presence_);
    presence_ = {};
    taken_ = false;
}

void PortEnd::join(Pending pending, JoinWish wish) {
    if (found_again()) look();  // who came and went since is not to be taken for who is there
    if (pending_ || (port_ && port_->handle != 0 && !port_->lost))
        return kernel_->fail(pending, Errc::busy, text(device(), ": the end has joined already"));
    if (end_->stopping()) return kernel_->fail(pending, Errc::shutting_down, "the VM shuts down");
    if (wish.words.size() > kMaxPortWords || wish.bytes > kPortLinkBudget / 4)
        return kernel_->fail(
            pending, Errc::too_long,
            text(device(), ": ", wish.bytes, " bytes, at most ", kPortLinkBudget / 4));
    if (port_ && port_->handle != 0) {
        const bool stays = this->stays();
        drop();
        if (!stays) withdraw();
        wanted_ = stays;
    }
    if (!wanted_ && !port_) {
        said_ = std::move(wish);
        wanted_ = true;
        publish_wish();
    } else {
        said_.wait = wish.wait;
    }
    match();
    if (port_) return hand_over(pending);
    if (!wanted_)
        return kernel_->fail(pending, Errc::no_memory, text(device(), ": no memory for a port"));
    if (!said_.wait)
        return kernel_->fail(pending, end_->is_up() ? Errc::would_block : Errc::link_down,
                             text(device(), " \"", info_, "\": ",
                                  end_->is_up() ? "nobody at the other end" : "the link is down"));
    pending_ = pending;
    kernel_->wait(pending, [this] {
        pending_.reset();
        if (!port_) withdraw();
    });
}

void PortEnd::hand_over(const Pending& pending) {
    const std::shared_ptr<JoinedPort> port = port_;
    wanted_ = false;
    if (!said_.alone) presence_.word->store(0, std::memory_order_release);  // it has been fetched
    port->handle = kernel_->add_handle(app_, std::make_unique<PortHandle>(*this, port));
    const Role own = end_->role();
    SysReply reply;
    reply.values[PortReply::handle] = port->handle;
    reply.values[PortReply::port] = port->port.id;
    reply.values[PortReply::peer] = end_->peer_vm();
    reply.values[PortReply::status_word] = port->status.index;
    reply.values[PortReply::link] = end_->index();
    reply.values[PortReply::own_bytes] = said_.bytes;
    reply.values[PortReply::peer_bytes] = port->peer_bytes;
    reply.values[PortReply::wish] = wish_;
    reply.data = port->peer_words;
    reply.regions = {port->port.region};
    reply.fds = {port->port.fds[static_cast<std::size_t>(own)],
                 port->port.fds[1 - static_cast<std::size_t>(own)]};
    kernel_->journal(Event::channel_open, end_->index(), port->port.id,
                     static_cast<std::uint64_t>(own), port->port.region->size());
    kernel_->answer(pending, std::move(reply));
}

void PortEnd::leave(const std::shared_ptr<JoinedPort>& port) {
    if (port->retired) return free_port(*port);
    if (port != port_) return;  // replaced, or dropped with the end
    drop();
    withdraw();
}

void PortEnd::drop() {
    const std::shared_ptr<JoinedPort> port = std::exchange(port_, nullptr);
    port->status.word->store(word(ChannelState::closed), std::memory_order_release);
    wake_port(kernel_->runtime(), port->port.region->data(), end_->role(),
              port->port.fds[static_cast<std::size_t>(end_->role())]);
    free_port(*port);
}

void PortEnd::free_port(const JoinedPort& port) {
    kernel_->drop_status_word(port.app, port.status);
    (void)kernel_->hypercalls().port_free(end_->slot(), port.port.id);
    if (port.handle != 0)
        kernel_->journal(Event::channel_close, end_->index(), port.port.id,
                         static_cast<std::uint64_t>(end_->role()));
}

// --- the other end ------------------------------------------------------------------------------

void PortEnd::ring() {
    if (end_->is_up()) (void)kernel_->hypercalls().xirq_trigger(peer_xirq_, end_->peer_vm());
}

void PortEnd::publish_wish() {
    wish_ = (wish_ + 1) | 1;
    if (end_->local() != LocalState::started && !end_->is_up()) return;  // start() does
    write_wish();
    ring();
}

void PortEnd::write_wish() {
    PortSide& side = own();
    std::memset(side.words, 0, kMaxPortWords);
    std::memcpy(side.words, said_.words.data(), said_.words.size());
    side.words_bytes.store(static_cast<std::uint32_t>(said_.words.size()),
                           std::memory_order_relaxed);
    side.bytes.store(said_.bytes, std::memory_order_relaxed);
    side.wish.store(wish_, std::memory_order_release);  // partner: match
}

void PortEnd::withdraw() {
    wanted_ = false;
    if ((wish_ & 1) == 0) return;
    ++wish_;
    if (end_->local() != LocalState::started && !end_->is_up()) return;
    own().offer.store(0, std::memory_order_relaxed);
    own().wish.store(wish_, std::memory_order_release);
    ring();
}

void PortEnd::match() {
    // Who is dead is not met, though this kernel has yet to hear of it: up() comes here again.
    if (!wanted_ || port_ || !end_->is_met()) return;
    if (!is_client()) {
        // partner: the store below, in the other kernel
        const std::uint64_t offer = peer().offer.load(std::memory_order_acquire);
        const auto wish = static_cast<std::uint32_t>(offer);
        if (offer == 0 || (wish != 0 && wish != wish_)) return;
        auto grant =
            kernel_->hypercalls().port_open(end_->slot(), static_cast<std::uint32_t>(offer >> 32));
        if (!grant) return;  // it left meanwhile, or never was there
        return joined(*std::move(grant), offer, peer().bytes.load(std::memory_order_relaxed));
    }
    const std::uint32_t wish = peer().wish.load(std::memory_order_acquire);  // publish_wish
    if (!said_.alone && (wish & 1) == 0) return;
    const std::uint64_t theirs = said_.alone ? 0 : peer().bytes.load(std::memory_order_relaxed);
    if (theirs > kPortLinkBudget / 4) return corrupt("bytes", theirs);
    auto grant = kernel_->hypercalls().port_alloc(
        end_->slot(), (rpq::kRingAt + round64(said_.bytes) + round64(theirs) + 4095) / 4096 * 4096);
    if (!grant) return refuse(grant.error());
    rpq::port_reset(grant->region->data(), grant->region->size());
    const std::uint32_t id = grant->id;
    // Before its application has the port: it calls at once, and only a server that it sees.
    if (said_.alone) say_presence(wish);
    joined(*std::move(grant), wish, theirs);
    if (!port_) return;
    own().offer.store(std::uint64_t{id} << 32 | (said_.alone ? 0 : wish),
                      std::memory_order_release);
    ring();
}

bool PortEnd::stays() const { return !is_client() && (port_->key & 0xffffffff) == 0; }

void PortEnd::refuse(const Error& error) {
    if (pending_) kernel_->fail(*std::exchange(pending_, {}), error.code(), error.text());
    withdraw();
}

bool PortEnd::hear(JoinedPort& port) {
    const std::uint32_t bytes = peer().words_bytes.load(std::memory_order_relaxed);
    if (bytes > kMaxPortWords) {
        corrupt("words_bytes", bytes);
        return false;
    }
    port.peer_words.assign(reinterpret_cast<const char*>(peer().words), bytes);
    return true;
}

void PortEnd::joined(hyp::PortGrant grant, std::uint64_t key, std::uint64_t peer_bytes) {
    const std::uint32_t id = grant.id;
    auto port = std::make_shared<JoinedPort>();
    port->port = std::move(grant);
    port->key = key;
    port->peer_bytes = peer_bytes;
    auto status = kernel_->take_status_word(app_);
    const bool heard = status && hear(*port);
    if (!heard) {
        (void)kernel_->hypercalls().port_free(end_->slot(), id);
        if (status) return kernel_->drop_status_word(app_, *status);
        return refuse(status.error());
    }
    port->status = *status;
    port->app = app_;
    port->status.word->store(word(ChannelState::open), std::memory_order_release);
    port_ = std::move(port);
    if (pending_) return hand_over(*std::exchange(pending_, {}));
    if (!said_.alone) say_presence(1);  // to be fetched by the next join
}

void PortEnd::say_presence(std::uint32_t wish) {
    const std::uint32_t said = (wish & 1) != 0 ? wish | kPresent : 0;
    if (presence_.word == nullptr ||
        presence_.word->exchange(said, std::memory_order_acq_rel) == said || !port_)
        return;
    wake_port(kernel_->runtime(), port_->port.region->data(), end_->role(),
              port_->port.fds[static_cast<std::size_t>(end_->role())]);
}

void PortEnd::look() {
    if (!end_->is_up()) return;
    if (port_ && !port_->lost) {
        if (!is_client()) {
            if (peer().offer.load(std::memory_order_acquire) != port_->key) lose(false);
        } else {
            const std::uint32_t wish = peer().wish.load(std::memory_order_acquire);
            if (said_.alone)
                say_presence(wish);
            else if (wish != port_->key)
                lose(false);
        }
    }
    match();
}

void PortEnd::lose(bool dead) {
    if (!port_ || port_->lost) return;
    if (port_->handle == 0) {  // nobody has seen it
        drop();
        say_presence(0);
        if (!found_again()) withdraw();
        wanted_ = true;
        return found_again() ? void() : publish_wish();
    }
    port_->lost = true;
    // Else whoever comes to the other end would take this application, which does not know yet, for
    // one that waits there.
    if (!stays() && !found_again()) withdraw();
    if (said_.alone) say_presence(0);
    port_->status.word->store(word(dead ? ChannelState::dead : ChannelState::peer_closed),
                              std::memory_order_release);
    wake_port(kernel_->runtime(), port_->port.region->data(), end_->role(),
              port_->port.fds[static_cast<std::size_t>(end_->role())]);
    SysReply gone;
    gone.code = Errc::peer_dead;
    gone.values[0] = port_->handle;
    kernel_->tell(app_, std::move(gone));
    if (!found_again()) return;
    // Its wish stands as it is (or is said anew when the link comes up), so nobody misses it who
    // has come since.
    std::exchange(port_, nullptr)->retired = true;
    wanted_ = true;
}

void PortEnd::corrupt(const char* field, std::uint64_t found) {
    std::uint64_t name = 0;
    std::memcpy(&name, field, std::min(sizeof name, std::strlen(field)));
    kernel_->journal(Event::corrupt, end_->index(), static_cast<std::uint32_t>(end_->role()), name,
                     found);
    end_->fail();
    kernel_->kick();
}

// --- life cycle ---------------------------------------------------------------------------------

Status PortEnd::reset() {
    PortSide& side = own();
    side.wish.store(0, std::memory_order_relaxed);
    side.offer.store(0, std::memory_order_relaxed);
    side.bytes.store(0, std::memory_order_relaxed);
    side.words_bytes.store(0, std::memory_order_relaxed);
    std::memset(side.words, 0, kMaxPortWords);
    return {};
}

Status PortEnd::start() {
    kernel_->attach_xirq(own_xirq_, *own_bell_, *this);
    // Before the peer can see us ON: who comes up there finds who is here, also a server that stays
    // and has yet to hear that its last client is dead.
    if (wanted_ || (wish_ & 1) != 0) {
        wish_ = (wish_ + 1) | 1;
        write_wish();
    }
    return {};
}

void PortEnd::up() {
    ring();
    look();
}

void PortEnd::abort() { lose(true); }

void PortEnd::stop() { kernel_->detach_xirq(own_xirq_); }

void PortEnd::on_xirq(XirqNumber) { look(); }

}  // namespace hyplink::guest
