#include "hyplink/compat/vmq_link.hpp"

#include <cerrno>
#include <utility>

#include "hyplink/compat/place.hpp"

using namespace hyplink;
using Lock = std::unique_lock<std::mutex>;

namespace {

thread_local const vmq_link_t* own_link = nullptr;

/// A peer whose configuration does not fit is met again after this time.
constexpr std::int64_t kUnfit = 250'000'000;

std::uint32_t number_of(const void* msg, const std::byte* first, std::size_t stride,
                        std::size_t count) {
    const auto distance =
        reinterpret_cast<std::uintptr_t>(msg) - reinterpret_cast<std::uintptr_t>(first);
    if (stride == 0 || distance % stride != 0 || distance / stride >= count)
        return vmq_link_t::kNone;
    return static_cast<std::uint32_t>(distance / stride);
}

std::size_t stride_of(const mq::Config& config) {
    return (std::size_t{config.msg_max} + 63) / 64 * 64;
}

}  // namespace

// --- the link's own thread ----------------------------------------------------------------------

void vmq_link_t::start() {
    thread = backend::TaskThread(runtime(), [this] { run(); });
}

void vmq_link_t::finish() {
    {
        const Lock lock(mutex);
        leaving = true;
        rouse(true);
        if (phase == Phase::on) poke();
    }
    queue->close();  // ends its wait, in the kernel or on the queue
    thread.join();
}

void vmq_link_t::run() {
    own_link = this;
    while (join()) {
        say_sysconf();
        (void)queue->wait_until("wait", Deadline::never(), [this]() -> Status {
            {
                const Lock lock(mutex);
                if (leaving || !queue->is_on()) return Errc::peer_dead;
                if (!announced) return Errc::would_block;
            }
            notify();
            return Errc::would_block;
        });
        if (!lose()) return;
    }
}

/// The link has gone: wait until the program has given everything back. False: it is over.
bool vmq_link_t::lose() {
    bool notified;
    {
        const Lock lock(mutex);
        if (leaving) return false;
        notified = announced;
    }
    if (notified) notify();  // what was said before the end
    {
        const Lock lock(mutex);
        if (leaving) return false;
        phase = Phase::lost;
        rouse(true);
    }
    say_sysconf();
    Lock lock(mutex);
    VmqWaiter waiter;
    while (phase == Phase::lost && !leaving) (void)sleep(lock, waiter);
    return !leaving;
}

/// Until both ends are there. False: it is over, the program or its VM.
bool vmq_link_t::join() {
    for (;;) {
        const Status joined = queue->wait_on(Deadline::never());
        Lock lock(mutex);
        if (leaving) return false;
        if (joined) {
            phase = Phase::on;
            stale = announced = false;
            ++life;
            pub.tx_data_area = reinterpret_cast<char*>(queue->data(0));
            pub.rx_data_area = reinterpret_cast<char*>(queue->received_data(0));
            return true;
        }
        if (joined.code() != Errc::protocol) return false;
        VmqWaiter waiter;
        (void)sleep(lock, waiter, runtime().in(kUnfit));
        if (leaving) return false;
    }
}

void vmq_link_t::notify() {
    if (links->callbacks->receive_notify != nullptr) links->callbacks->receive_notify(this);
    if (links->callbacks->return_notify != nullptr) links->callbacks->return_notify(this);
    const Lock lock(mutex);
    queue->rouse_sender();
    rouse(false);
}

void vmq_link_t::say_sysconf() { links->callbacks->sysconf_notify(links); }

bool vmq_link_t::in_own_thread() const { return own_link == this; }

// --- what has become of it ----------------------------------------------------------------------

void vmq_link_t::sysconf() {
    const vmq_callbacks_t& call = *links->callbacks;
    Lock lock(mutex);
    const bool is_on = on();
    const bool completed = phase == Phase::lost && queue->held() == 0;
    if (completed) {
        pub.tx_data_area = pub.rx_data_area = nullptr;
        phase = Phase::down;
        rouse(true);
    }
    lock.unlock();
    if (completed && call.link_off_completed != nullptr) call.link_off_completed(this);
    if (is_on && said_on != 1) {
        said_on = 1;
        if (call.link_on != nullptr) call.link_on(this);
        lock.lock();
        announced = true;
        if (phase == Phase::on) poke();
    } else if (!is_on && said_on != 0) {
        said_on = 0;
        if (call.link_off != nullptr) call.link_off(this);
    }
}

void vmq_link_t::after_giving_back(Lock& lock) {
    if (waiters != nullptr) rouse(false);
    const bool completed = phase == Phase::lost && queue->held() == 0;
    lock.unlock();
    if (completed) say_sysconf();
}

// --- waiting ------------------------------------------------------------------------------------

void vmq_link_t::rouse(bool everybody) {
    for (VmqWaiter* waiter = waiters; waiter != nullptr; waiter = waiter->next)
        if (everybody || !waiter->own_answer) ring(runtime(), waiter->bell);
}

Errc vmq_link_t::sleep(Lock& lock, VmqWaiter& waiter, Deadline deadline) {
    waiter.bell.rung.store(0, std::memory_order_relaxed);  // nobody knows it yet
    waiter.next = std::exchange(waiters, &waiter);
    lock.unlock();
    const BellWait wait{&waiter.bell, 0};
    const Errc outcome = runtime().wait(std::span(&wait, 1), deadline);
    lock.lock();
    VmqWaiter** at = &waiters;
    while (*at != &waiter) at = &(*at)->next;
    *at = waiter.next;
    return outcome;
}

int vmq_link_t::hindrance() const {
    if ((aborted || stale) && phase != Phase::down)
        return compat::failed(Errc::peer_dead, "vMQ: the link was aborted"), ECONNABORTED;
    if (!on()) return compat::failed(Errc::would_block, "vMQ: the other end is not on");
    return 0;
}

// --- messages by their address ------------------------------------------------------------------

std::uint32_t vmq_link_t::own_slot(const void* msg) const {
    if (phase == Phase::down) return kNone;
    return number_of(msg, queue->header(0).data(), stride_of(queue->tx()), queue->tx().msg_count);
}

std::uint32_t vmq_link_t::received_slot(const void* msg) const {
    if (phase == Phase::down) return kNone;
    return number_of(msg, queue->received(0).data(), stride_of(queue->rx()), queue->rx().msg_count);
}
