#include "hyplink/guest/pipe_device.hpp"

#include <algorithm>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/pipe_local.hpp"
#include "hyplink/ring/pipe_port.hpp"

namespace hyplink::guest {
namespace {

constexpr std::size_t kMaxOpeners = 1024;

class OpenerHandle final : public Handle {
   public:
    OpenerHandle(PipeDevice& device, std::uint32_t opener) : device_(&device), opener_(opener) {}
    void close() override { device_->close(opener_); }

   private:
    PipeDevice* device_;
    std::uint32_t opener_;
};

pipe::Local& local_of(const std::shared_ptr<mem::Region>& region) {
    return *reinterpret_cast<pipe::Local*>(region->data());
}

/// Wake whoever sleeps on it, whatever `armed` says: others may write that word.
void rouse(Runtime& runtime, BellWords& bell) {
    bell_ring(bell);
    runtime.wake(bell);
}

}  // namespace

Status PipeDevice::add(VlinkEnd& end, PipeConfig config) {
    auto& link = end.role() == Role::server ? in_ : out_;
    link = std::make_unique<PipeLink>(*kernel_, end, std::move(config), *this);
    return link->allocate();
}

const PipeConfig& PipeDevice::config() const { return in_ ? in_->config() : out_->config(); }

void PipeDevice::want(bool on) {
    each_link([&](PipeLink& link) { link.want(on); });
}

// --- opening ------------------------------------------------------------------------------------

void PipeDevice::open(Pending pending, std::uint64_t how) {
    const std::uint64_t access = how & ~(kPipeStream | kPipeArea);
    const bool mapped = kind_ == PipeKind::mapped;
    const auto refuse = [&](Errc code, const std::string& why) {
        kernel_->fail(pending, code, text("open ", name_, ": ", why));
    };
    // Before anybody waits for the other end.
    if ((how & (mapped ? kPipeStream : kPipeArea)) != 0)
        return refuse(Errc::bad_argument,
                      mapped ? "a vUpipe is not read and written but mapped, and by an application "
                               "of its VM only"
                             : "it is read and written, not mapped");
    if (kind_ == PipeKind::both && (!in_ || !out_))
        return refuse(Errc::shutting_down, "its vlink of the other direction is missing");
    if (kind_ != PipeKind::both && access != (in_ ? kPipeRead : kPipeWrite))
        return refuse(Errc::access_denied,
                      in_ ? "this end is for reading" : "this end is for writing");
    if (access < kPipeRead || access > (kPipeRead | kPipeWrite))
        return refuse(Errc::bad_argument, "neither for reading nor for writing");
    if (kernel_->stopping()) return refuse(Errc::peer_dead, "the VM shuts down");
    if (openers_.size() + waiting_.size() >= kMaxOpeners)
        return refuse(Errc::no_memory, text(kMaxOpeners, " have it open already"));
    if (state_ == State::open || state_ == State::lost) return answer(pending);
    waiting_.push_back(pending);
    kernel_->wait(pending, [this, pending] {
        std::erase_if(waiting_, [&](const Pending& other) {
            return other.app == pending.app && other.sequence == pending.sequence;
        });
        end_if_unused();
    });
    if (state_ == State::closed) {
        state_ = State::opening;
        want(true);
    }
}

void PipeDevice::link_up() {
    bool all = true;
    each_link([&](PipeLink& link) { all = all && link.end().is_up(); });
    if (all && state_ == State::opening) complete(State::open);
}

void PipeDevice::complete(State state) {
    auto local = mem::Region::make("hyplink-pipe", sizeof(pipe::Local));
    if (!local) return link_failed(local.error());
    memory_ = {*std::move(local), in_ ? in_->port() : nullptr, out_ ? out_->port() : nullptr};
    state_ = state;
    each_link([&](PipeLink& link) {
        link.mark_opened();
        kernel_->journal(Event::pipe_open, link.end().index(),
                         static_cast<std::uint32_t>(link.end().role()), link.config().capacity());
    });
    for (const Pending& pending : std::exchange(waiting_, {})) answer(pending);
    end_if_unused();
}

void PipeDevice::answer(const Pending& pending) {
    auto status = kernel_->take_status_word(pending.app);
    if (!status) return kernel_->fail(pending, status.code(), status.error().text());
    const std::uint32_t opener = next_opener_;
    next_opener_ = next_opener_ % (pipe::kTurnWanted - 1) + 1;
    openers_[opener] = {pending.app, *status};
    local_of(memory_.local).openers.store(static_cast<std::uint32_t>(openers_.size()));
    tell(*status,
         state_ == State::open ? rings::ChannelState::open : rings::ChannelState::peer_closed);
    SysReply reply;
    reply.values[PipeReply::handle] =
        kernel_->add_handle(pending.app, std::make_unique<OpenerHandle>(*this, opener));
    reply.values[PipeReply::opener] = opener;
    reply.values[PipeReply::status_word] = status->index;
    reply.values[PipeReply::kind] =
        static_cast<std::uint64_t>(kind_) | std::uint64_t{config().available} << 8;
    reply.values[PipeReply::in_capacity] = in_ ? in_->config().capacity() : 0;
    reply.values[PipeReply::out_capacity] = out_ ? out_->config().capacity() : 0;
    const VlinkEnd& end = (in_ ? in_ : out_)->end();
    reply.values[PipeReply::peer] = end.peer_vm();
    reply.values[PipeReply::links] =
        (in_ ? in_->end().index() : 0) | std::uint64_t{out_ ? out_->end().index() : 0} << 32;
    reply.regions.push_back(memory_.local);
    if (memory_.in) reply.regions.push_back(memory_.in);
    if (memory_.out) reply.regions.push_back(memory_.out);
    kernel_->answer(pending, std::move(reply));
}

// --- ending -------------------------------------------------------------------------------------

void PipeDevice::link_down(bool peer_had_opened) {
    if (state_ == State::open) return lose();
    if (state_ != State::opening || !peer_had_opened) return;  // the next peer will do
    bool whole = true;
    each_link([&](PipeLink& link) { whole = whole && link.port() != nullptr; });
    if (whole) complete(State::lost);
    if (state_ == State::lost) want(false);
}

void PipeDevice::lose() {
    state_ = State::lost;
    for (const auto& [number, opener] : openers_)
        tell(opener.status, rings::ChannelState::peer_closed);
    want(false);
}

void PipeDevice::tell(const StatusWord& word, rings::ChannelState state) {
    word.word->store(static_cast<std::uint32_t>(state), std::memory_order_release);
    Runtime& runtime = kernel_->runtime();
    if (memory_.in) rouse(runtime, pipe::port_bell(memory_.in->data(), Role::server));
    if (memory_.out) rouse(runtime, pipe::port_bell(memory_.out->data(), Role::client));
    rouse(runtime, local_of(memory_.local).in.turn_bell);
    rouse(runtime, local_of(memory_.local).out.turn_bell);
}

void PipeDevice::close(std::uint32_t number) {
    auto found = openers_.find(number);
    if (found == openers_.end()) return;
    const Opener opener = found->second;
    openers_.erase(found);
    local_of(memory_.local).openers.store(static_cast<std::uint32_t>(openers_.size()));
    tell(opener.status, rings::ChannelState::closed);
    kernel_->drop_status_word(opener.app, opener.status);
    recover(number);
    end_if_unused();
}

void PipeDevice::recover(std::uint32_t opener) {
    // Who ended inside a read or write had perhaps counted bytes that it did not publish.
    pipe::Local& local = local_of(memory_.local);
    const auto one = [&](pipe::LocalDirection& direction, const std::shared_ptr<mem::Region>& port,
                         Role role) {
        if (!port) return;
        if ((direction.turn.load(std::memory_order_acquire) & ~pipe::kTurnWanted) != opener) return;
        pipe::port_count(port->data(), role)
            .store(direction.own.load(std::memory_order_relaxed), std::memory_order_release);
        rouse(kernel_->runtime(), pipe::port_bell(port->data(), other(role)));
        (void)pipe::end_turn(direction, opener);
        rouse(kernel_->runtime(), direction.turn_bell);
    };
    one(local.in, memory_.in, Role::server);
    one(local.out, memory_.out, Role::client);
}

void PipeDevice::end_if_unused() {
    if (state_ == State::closed || !openers_.empty() || !waiting_.empty()) return;
    if (state_ != State::opening)
        each_link([&](PipeLink& link) {
            kernel_->journal(Event::pipe_close, link.end().index(),
                             static_cast<std::uint32_t>(link.end().role()));
        });
    state_ = State::closed;
    memory_ = {};
    want(false);
}

void PipeDevice::fail_waiting(const Error& why) {
    for (const Pending& pending : std::exchange(waiting_, {}))
        kernel_->fail(pending, why.code(), text("open ", name_, ": ", why.text()));
}

void PipeDevice::link_failed(const Error& why) {
    fail_waiting(why);
    end_if_unused();
}

}  // namespace hyplink::guest
