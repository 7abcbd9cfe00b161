#include "hyplink/backend/control_loop.hpp"

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/serve_hypercall.hpp"
#include "hyplink/sys/eventfd.hpp"

namespace hyplink::backend {
namespace {
constexpr int kTurns = 32;          // hypercalls of one VM before the others get theirs
thread_local bool looping = false;  // it looks at `events_due` before it sleeps
}  // namespace

VmChannel::VmChannel(hyp::Hypervisor& owner, VmId id, int poke_fd)
    : hypervisor(&owner), vm(id), hypercalls(owner, id), poke_fd_(poke_fd) {}

void VmChannel::wake() {
    if (!events_due.exchange(true) && !looping) sys::signal_eventfd(poke_fd_);
}

void VmChannel::offer(std::uint32_t slot, const hyp::Loan& loan) {
    const int fd = loan.object->get();
    Packer packer;
    packer.put(slot).put(loan.at).put(loan.bytes).put(loan.offset);
    // One that does not read its offers asks.
    if (offers) (void)sys::send_message(offers.get(), packer.bytes(), std::span(&fd, 1), false);
}

Result<std::unique_ptr<ControlLoop>> ControlLoop::make(hyp::Hypervisor& hypervisor) {
    std::unique_ptr<ControlLoop> loop(
        new ControlLoop(hypervisor, HYPLINK_TRY(sys::make_eventfd())));
    hypervisor.leave_to_tidy();
    loop->thread_ = TaskThread(hypervisor.runtime(), [raw = loop.get()] { raw->loop(); });
    return loop;
}

ControlLoop::~ControlLoop() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    sys::signal_eventfd(poke_.get());
    thread_.join();
}

Status ControlLoop::in_loop(std::function<Status()> body) {
    auto job = std::make_shared<Job>();
    job->body = std::move(body);
    {
        std::lock_guard lock(mutex_);
        jobs_.push_back(job);
    }
    sys::signal_eventfd(poke_.get());
    const BellWait wait{&job->done, 0};
    while (bell_seen(job->done) == 0)
        (void)hypervisor_->runtime().wait(std::span(&wait, 1), Deadline::never());
    return std::move(job->status);
}

void ControlLoop::add(std::shared_ptr<VmChannel> channel) {
    std::lock_guard lock(mutex_);
    channels_.push_back(std::move(channel));
}

void ControlLoop::run_jobs() {
    std::vector<std::shared_ptr<Job>> jobs;
    {
        std::lock_guard lock(mutex_);
        jobs.swap(jobs_);
    }
    for (const auto& job : jobs) {
        job->status = job->body();
        ring(hypervisor_->runtime(), job->done);
    }
}

void ControlLoop::loop() {
    Runtime& runtime = hypervisor_->runtime();
    looping = true;
    for (;;) {
        run_jobs();
        hypervisor_->on_time();
        std::vector<std::shared_ptr<VmChannel>> channels;
        {
            std::lock_guard lock(mutex_);
            if (stop_) return;
            std::erase_if(channels_, [](const auto& channel) { return channel->gone; });
            channels = channels_;
        }
        // Who waits for an answer goes first, then those who are told of its consequences.
        if (std::exchange(answered_, false)) ::sched_yield();
        std::vector<struct pollfd> fds{{poke_.get(), POLLIN, 0}};
        for (const auto& channel : channels) {
            short events = POLLIN;
            if (channel->events_due.exchange(false)) {
                Packer packer;
                packer.put(VmMessage::events);
                // A guest that does not read, or that there was no memory to tell, is told again;
                // one that has ended is seen below.
                const Errc told =
                    sys::send_message(channel->socket.get(), packer.bytes(), {}, false).code();
                if (told != Errc::ok && told != Errc::peer_dead) {
                    channel->events_due = true;
                    events |= POLLOUT;
                }
            }
            fds.push_back({channel->socket.get(), events, 0});
            fds.push_back({channel->child.pidfd.get(), POLLIN, 0});
        }
        int timeout = -1;
        if (const Deadline next = hypervisor_->next_deadline(); !next.is_never()) {
            const std::int64_t left = next.at - runtime.now();
            timeout = left <= 0 ? 0
                                : static_cast<int>(std::min<std::int64_t>(
                                      (left + 999'999) / 1'000'000, 3'600'000));
        }
        const bool untidy = hypervisor_->untidy();
        const int ready = ::poll(fds.data(), fds.size(), untidy ? 0 : timeout);
        if (ready < 0) continue;
        if (ready == 0 && untidy) hypervisor_->tidy();
        if (fds[0].revents != 0) sys::drain_eventfd(poke_.get());
        for (std::size_t i = 0; i < channels.size(); ++i) {
            VmChannel& channel = *channels[i];
            if (fds[1 + 2 * i].revents != 0) serve(channel);
            if (!channel.gone && fds[2 + 2 * i].revents != 0) end(channel);
        }
    }
}

void ControlLoop::serve(VmChannel& channel) {
    for (int turn = 0; turn < kTurns; ++turn) {
        auto message = sys::receive_message(channel.socket.get(), false);
        if (message.code() == Errc::would_block) return;
        if (message.code() == Errc::peer_dead) return end(channel);
        // Nonsense: the VM is killed for it.
        if (!message) return drop(channel, message.code());
        const Status served = serve_hypercall(channel.hypercalls, channel.socket.get(), *message);
        answered_ = true;
        if (served.code() == Errc::peer_dead) return end(channel);
        if (!served) return drop(channel, served.code());
    }
}

void ControlLoop::drop(VmChannel& channel, Errc code) {
    Dropped reason = Dropped::broken;
    if (code == Errc::protocol || code == Errc::corrupt) reason = Dropped::malformed;
    if (code == Errc::would_block) reason = Dropped::unread;
    channel.hypervisor->journal(Event::vm_dropped, Record::kNoLink, channel.vm,
                                static_cast<std::uint64_t>(reason),
                                static_cast<std::uint64_t>(code));
    end(channel);
}

void ControlLoop::end(VmChannel& channel) {
    sys::kill_child(channel.child);
    channel.exit_status = sys::reap(channel.child, true);
    channel.hypervisor->vm_gone(channel.vm);
    channel.socket.reset();
    channel.offers.reset();
    {
        std::lock_guard lock(mutex_);
        channel.gone = true;
    }
    ring(hypervisor_->runtime(), channel.ended);
}

}  // namespace hyplink::backend
