/// What the handles of vmq.h point to: a queue, a thread that waits on it, and who waits for it.
///
/// Everything under the link's lock, which is never held while waiting or in a callback. A thread
/// that has to wait rings in on `waiters`; the link's own thread, which alone waits on the queue,
/// and whoever gives something back rouse them. Thread rule: any thread.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "hyplink/app/mq/queue.hpp"
#include "hyplink/backend/task_thread.hpp"
#include "hyplink/compat/vmq.h"

/// A thread that waits for something on a link.
struct VmqWaiter {
    hyplink::BellWords bell{};
    bool own_answer = false;  ///< not roused by what comes for anybody
    VmqWaiter* next = nullptr;
};

struct vmq_link_t {
    enum class Phase { down, on, lost };

    vmq_link_public_t pub{};  // first: the header reads it there
    vmq_links_t* links = nullptr;
    std::string rx_info, tx_info;

    std::mutex mutex;
    std::unique_ptr<hyplink::mq::Queue> queue;  ///< the thread's alone while the phase is `down`
    Phase phase = Phase::down;
    unsigned life = 0;       ///< how often it was on
    bool announced = false;  ///< the program has heard of this life: it is notified from now on
    bool leaving = false;
    bool aborted = false;  ///< by the program
    bool stale = false;    ///< because of what the peer wrote, until it is on again
    VmqWaiter* waiters = nullptr;
    unsigned slots_wanted = 0;  ///< threads that wait for a message or buffer

    int said_on = -1;  ///< what the program was told last; its own thread's
    hyplink::backend::TaskThread thread;

    hyplink::Runtime& runtime() { return queue->end().application().runtime(); }
    void start();
    void finish();

    /// Of vmq_links_sysconf.
    void sysconf();

    // With the lock held.
    bool on() const { return phase == Phase::on && queue->is_on(); }
    void rouse(bool everybody);
    /// Sleep until somebody rouses; the lock is free meanwhile. Returns ok, timed_out or
    /// interrupted.
    hyplink::Errc sleep(std::unique_lock<std::mutex>& lock, VmqWaiter& waiter,
                        hyplink::Deadline deadline = hyplink::Deadline::never());
    /// Have the link's own thread look.
    void poke() { hyplink::ring(runtime(), queue->link()->bell()); }
    /// Why nothing is allocated or handed over: ECONNABORTED, EAGAIN, or 0.
    int hindrance() const;
    /// The message's number, if it is one of those that `at(number)` gives; else no number.
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};
    std::uint32_t own_slot(const void* msg) const;
    std::uint32_t received_slot(const void* msg) const;

    /// Whoever gave something back, without the lock: the program may have to be told.
    void after_giving_back(std::unique_lock<std::mutex>& lock);
    bool in_own_thread() const;

   private:
    void run();
    bool join();
    bool lose();
    void notify();
    void say_sysconf();
};

struct vmq_links_t {
    vmq_links_public_t pub{};  // first
    const vmq_callbacks_t* callbacks = nullptr;
    std::list<vmq_link_t> all;  ///< newest first
    bool started = false;
    hyplink::backend::TaskThread first;  ///< says sysconf once
};
