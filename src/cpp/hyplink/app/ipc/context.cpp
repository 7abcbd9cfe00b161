#include "hyplink/app/ipc/context.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hyplink/base/text.hpp"

namespace hyplink::ipc {

using Lock = std::lock_guard<std::mutex>;

// --- a call -------------------------------------------------------------------------------------

Status Call::outcome() const {
    if (!done()) return Errc::would_block;
    if (error_.code() == Errc::ok) return {};
    return error_.copy();
}

std::span<std::byte> Call::data() const {
    if (buffer_ == kNoBuffer || context_ == nullptr) return {};
    mq::Queue& queue = *context_->queue_;
    if (queue.life() != life_) return {};
    return {queue.data(buffer_), queue.tx().data_max};
}

void Call::release() {
    if (context_ != nullptr) context_->give_up(*this);
    context_ = nullptr;
}

// --- the context --------------------------------------------------------------------------------

Context::Context(std::shared_ptr<mq::Queue> queue)
    : queue_(std::move(queue)),
      entries_(queue_->tx().msg_count),
      // 65,536 calls a nanosecond would be needed to catch up with a later context. Never 0.
      next_cookie_(static_cast<std::uint64_t>(queue_->end().application().runtime().now()) << 16 |
                   1),
      life_(queue_->life()),
      freed_(queue_->freed()) {}

Context::~Context() {
    const Lock lock(mutex_);
    abort_all(Error::make(Errc::cancelled, "vIPC: the context is gone"), true);
}

std::uint64_t Context::under_way() const {
    const Lock lock(mutex_);
    return under_way_;
}

std::uint64_t Context::unknown() const {
    const Lock lock(mutex_);
    return unknown_;
}

std::size_t Context::room() const {
    const std::size_t all = queue_->tx().msg_max;
    return all > kCookieBytes ? all - kCookieBytes : 0;
}

// --- sending ------------------------------------------------------------------------------------

Status Context::begin(Call& call, const CallOptions& options, Deadline deadline) {
    if (call.under_way())
        return Error::make(Errc::bad_argument, "vIPC begin: the call is under way");
    if (room() == 0)
        return Error::make(Errc::bad_argument,
                           text("vIPC: messages of ", queue_->tx().msg_max,
                                " bytes have no room for a cookie of ", kCookieBytes));
    call.release();
    {
        const Lock lock(mutex_);
        auto begun = try_begin(call, options);
        if (begun.code() == Errc::link_down)
            return Error::make(Errc::would_block, begun.error().text());
        if (begun.code() != Errc::would_block) return begun;
    }
    flush();  // else the other end might have nothing to answer
    return wait_until(nullptr, deadline, [&] { return try_begin(call, options); });
}

Status Context::try_begin(Call& call, const CallOptions& options) {
    notice_life();
    auto slot = queue_->try_allocate();
    if (slot.code() == Errc::would_block) {
        (void)take();
        slot = queue_->try_allocate();
    }
    if (!slot) return std::move(slot).error();
    std::uint64_t buffer = Call::kNoBuffer;
    if (options.data_bytes != 0) {
        auto found = queue_->data_allocate(options.data_bytes);
        if (found.code() == Errc::ring_full) {
            (void)take();
            found = queue_->data_allocate(options.data_bytes);
        }
        if (!found) {
            (void)queue_->discard(*slot);
            // Those of calls under way come back with their answers.
            if (found.code() == Errc::ring_full && buffers_ != 0) return Errc::would_block;
            return std::move(found).error();
        }
        buffer = *found;
    }
    Entry& entry = entries_[*slot];
    if (entry.used) end(entry, without_answer());  // its slot was freed just now
    notice_freed();
    entry = {true, &call, next_cookie_++, buffer};
    ++under_way_;
    if (buffer != Call::kNoBuffer) ++buffers_;
    const std::span<std::byte> header = queue_->header(*slot);
    std::memcpy(header.data(), &entry.cookie, kCookieBytes);
    call.context_ = this;
    call.cookie_ = entry.cookie;
    call.slot_ = *slot;
    call.life_ = life_;
    call.keep_ = options.keep;
    call.buffer_ = buffer;
    call.params_ = header.subspan(kCookieBytes);
    call.error_ = {};
    call.answer_.clear();
    call.state_.store(Call::State::begun, std::memory_order_release);
    return {};
}

Status Context::send_async(Call& call) {
    const Lock lock(mutex_);
    notice_life();
    if (call.context_ != this ||
        call.state_.load(std::memory_order_relaxed) != Call::State::begun) {
        if (call.done()) return call.outcome();
        return Error::make(Errc::bad_argument, "vIPC send: the call was not begun");
    }
    auto sent = queue_->send_async(call.slot_);
    if (!sent) return sent;
    call.params_ = {};
    call.state_.store(Call::State::sent, std::memory_order_release);
    return {};
}

void Context::flush() {
    {
        const Lock lock(mutex_);
        queue_->deliver();
    }
    queue_->hand_over();
}

void Context::flush_untold() {
    {
        const Lock lock(mutex_);
        if (!queue_->untold()) return;
        queue_->deliver();
    }
    queue_->hand_over();
}

Status Context::send(Call& call) {
    HYPLINK_TRY(send_async(call));
    flush();
    if (queue_->is_on()) return {};
    const Lock lock(mutex_);
    (void)take();  // ends them all
    return call.done() ? call.outcome() : Status();
}

Status Context::submit(Call& call, std::span<const std::byte> params,
                       std::span<const std::byte> data, const CallOptions& options,
                       Deadline deadline) {
    CallOptions wanted = options;
    wanted.data_bytes = std::max<std::uint64_t>(wanted.data_bytes, data.size());
    const std::size_t taken = wanted.data_bytes != 0 ? sizeof(std::uint64_t) : 0;
    if (params.size() + taken > room())
        return Error::make(Errc::too_long,
                           text("vIPC: ", params.size(), " bytes, a message has room for ",
                                room() > taken ? room() - taken : 0));
    HYPLINK_TRY(begin(call, wanted, deadline));
    const std::span<std::byte> at = call.params();
    if (!params.empty()) std::memcpy(at.data(), params.data(), params.size());
    std::memset(at.data() + params.size(), 0, at.size() - params.size() - taken);
    if (taken != 0) {
        if (!data.empty()) std::memcpy(call.data().data(), data.data(), data.size());
        std::memcpy(at.data() + at.size() - taken, &call.buffer_, taken);
    }
    return send(call);
}

// --- what comes back ----------------------------------------------------------------------------

Status Context::take() {
    notice_life();
    for (;;) {
        auto slot = queue_->try_return_receive();
        notice_freed();
        if (slot) {
            settle(*slot);
            continue;
        }
        if (slot.code() == Errc::would_block || slot.code() == Errc::link_down)
            return Errc::would_block;
        abort_all(slot.error(), true);
        return std::move(slot).error();
    }
}

void Context::settle(std::uint32_t slot) {
    const std::span<std::byte> header = queue_->header(slot);
    Entry& entry = entries_[slot];
    std::uint64_t cookie = 0;
    if (header.size() >= kCookieBytes) std::memcpy(&cookie, header.data(), kCookieBytes);
    ++came_;
    if (!entry.used || cookie != entry.cookie) {
        ++unknown_;
        end(entry,
            Error::make(Errc::corrupt, text("vIPC: VM ", queue_->end().peer(), " answered call ",
                                            entry.cookie, " with cookie ", cookie)));
    } else {
        if (entry.call != nullptr)
            entry.call->answer_.assign(header.begin() + kCookieBytes, header.end());
        end(entry, {});
    }
    (void)queue_->return_free(slot);
}

void Context::end(Entry& entry, Error error) {
    if (!entry.used) return;
    Call* const call = entry.call;
    const bool keeps = call != nullptr && call->keep_ && error.code() == Errc::ok;
    if (!keeps) drop_buffer(entry);
    if (entry.buffer != Call::kNoBuffer) --buffers_;
    entry = {};
    if (call == nullptr) return;
    if (!keeps) call->buffer_ = Call::kNoBuffer;
    call->params_ = {};
    call->error_ = std::move(error);
    --under_way_;
    ++ended_;
    call->state_.store(Call::State::ended, std::memory_order_release);
}

void Context::drop_buffer(Entry& entry) {
    if (entry.buffer == Call::kNoBuffer) return;
    if (queue_->life() == life_) (void)queue_->data_free(entry.buffer);
    entry.buffer = Call::kNoBuffer;
    --buffers_;
}

/// The link came back while nobody looked: of the calls of the earlier one nothing will be heard.
void Context::notice_life() {
    if (queue_->life() == life_) return;
    abort_all(Error::make(Errc::peer_dead, "vIPC: the link was lost meanwhile"), true);
    life_ = queue_->life();
    freed_ = queue_->freed();
}

/// Messages that were freed at the other end instead of returned: their calls get no answer.
void Context::notice_freed() {
    if (queue_->freed() == freed_) [[likely]]
        return;
    freed_ = queue_->freed();
    for (std::uint32_t slot = 0; slot < entries_.size(); ++slot)
        if (entries_[slot].used && queue_->is_free(slot)) {
            ++came_;
            end(entries_[slot], without_answer());
        }
}

Error Context::without_answer() const {
    return Error::make(Errc::protocol, text("vIPC: VM ", queue_->end().peer(),
                                            " gave the call back without an answer"));
}

std::uint64_t Context::abort_all(const Error& why, bool lost) {
    const std::uint64_t before = ended_;
    ++came_;
    for (std::uint32_t slot = 0; slot < entries_.size(); ++slot) {
        Entry& entry = entries_[slot];
        if (!entry.used) continue;
        const bool unsent =
            entry.call != nullptr &&
            entry.call->state_.load(std::memory_order_relaxed) == Call::State::begun;
        if (unsent) (void)queue_->discard(slot);
        if (lost || unsent) {
            end(entry, why.copy());
            continue;
        }
        // The message is at the other end: what is there stays in use until it comes back.
        Entry rest = entry;
        rest.call = nullptr;
        if (entry.buffer != Call::kNoBuffer) entry.buffer = Call::kNoBuffer, --buffers_;
        end(entry, why.copy());
        if (rest.buffer != Call::kNoBuffer) ++buffers_;
        entry = rest;
    }
    rouse(true);
    return ended_ - before;
}

std::uint64_t Context::abort_calls(const Error& why) {
    const Lock lock(mutex_);
    notice_life();
    return abort_all(why, !queue_->is_on());
}

bool Context::process_reply(std::uint32_t slot) {
    const Lock lock(mutex_);
    notice_life();
    if (slot >= entries_.size()) return false;
    const std::uint64_t before = unknown_;
    settle(slot);
    rouse(false);
    return unknown_ == before;
}

std::uint64_t Context::poll() {
    const Lock lock(mutex_);
    (void)take();
    rouse(false);
    return ended_ - std::exchange(polled_, ended_);
}

void Context::give_up(Call& call) {
    const Lock lock(mutex_);
    notice_life();
    const auto state = call.state_.load(std::memory_order_relaxed);
    if (state == Call::State::begun) {
        (void)queue_->discard(call.slot_);
        end(entries_[call.slot_], Error(Errc::cancelled));
    } else if (state == Call::State::sent) {
        entries_[call.slot_].call = nullptr;  // its answer is dropped
        --under_way_;
    } else if (call.buffer_ != Call::kNoBuffer && queue_->life() == call.life_) {
        (void)queue_->data_free(call.buffer_);
        rouse(false);
    }
    call.buffer_ = Call::kNoBuffer;
    call.params_ = {};
    call.state_.store(Call::State::idle, std::memory_order_release);
}

// --- waiting ------------------------------------------------------------------------------------

/// Ring those whose call has ended, those who wait for whatever comes, or everybody. The waiters
/// are there as long as the lock is held.
void Context::rouse(bool everybody) {
    Runtime& runtime = queue_->end().application().runtime();
    for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next)
        if (everybody || waiter->call == nullptr || waiter->call->done())
            ring(runtime, waiter->bell);
}

/// A thread that leaves while nobody takes what comes must not leave the others asleep.
void Context::hand_on() {
    if (!pumping_ && waiters_ != nullptr)
        ring(queue_->end().application().runtime(), waiters_->bell);
}

template <class Ready>
Status Context::wait_until(const Call* call, Deadline deadline, Ready&& ready) {
    Runtime& runtime = queue_->end().application().runtime();
    Waiter waiter;
    waiter.call = call;
    Errc slept = Errc::ok;
    for (;;) {
        {
            const Lock lock(mutex_);
            Status status = ready();
            if (status.code() == Errc::would_block && slept != Errc::ok) status = slept;
            if (status.code() != Errc::would_block) {
                hand_on();
                return status;
            }
            if (!pumping_) {
                pumping_ = true;
                break;
            }
            waiter.next = std::exchange(waiters_, &waiter);
        }
        const BellWait wait{&waiter.bell, 0};
        slept = runtime.wait(std::span(&wait, 1), deadline);
        const Lock lock(mutex_);
        Waiter** at = &waiters_;
        while (*at != &waiter) at = &(*at)->next;
        *at = waiter.next;
        waiter.bell.rung.store(0, std::memory_order_relaxed);  // nobody else knows it now
    }
    // This thread takes what comes for all, until it has what it wants.
    Status outcome = queue_->wait_until("call", deadline, [&]() -> Status {
        const Lock lock(mutex_);
        const std::uint64_t before = came_;
        Status taken = take();
        if (came_ != before) rouse(false);
        Status status = ready();
        return status.code() != Errc::would_block ? std::move(status) : std::move(taken);
    });
    const Lock lock(mutex_);
    pumping_ = false;
    hand_on();
    return outcome;
}

Status Context::wait(Call& call, Deadline deadline) {
    if (!call.under_way()) {
        if (call.done()) return call.outcome();
        return Error::make(Errc::bad_argument, "vIPC wait: the call was not made");
    }
    flush_untold();
    return wait_until(&call, deadline, [&]() -> Status {
        return call.done() ? call.outcome() : Status(Errc::would_block);
    });
}

Status Context::wait_any(Deadline deadline) {
    flush_untold();
    std::uint64_t before;
    {
        const Lock lock(mutex_);
        before = came_;
    }
    return wait_until(nullptr, deadline, [&]() -> Status {
        return came_ != before ? Status() : Status(Errc::would_block);
    });
}

}  // namespace hyplink::ipc
