#include "hyplink/backend/socket_link.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "hyplink/backend/app_messages.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/real_runtime.hpp"
#include "hyplink/sys/spin_budget.hpp"

namespace hyplink::backend {
namespace {
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kBeat = kSecond / 2;  // a waiter looks at its own state now and then
constexpr std::uint32_t kWatched = 1;        // epoll's word for what somebody watches
constexpr std::int64_t kMostLook =
    250'000;  // nanoseconds; what a question to a peer's program takes

constexpr int kPauses = 16;  // between two looks: about as long as a look

/// Requests that are answered when somebody else has done something.
constexpr bool waits_for_others(guest::Sys op) {
    return op == guest::Sys::rpq_session_create || op == guest::Sys::rpq_session_accept ||
           op == guest::Sys::rpq_channel_accept || op == guest::Sys::umem_server_create ||
           op == guest::Sys::umem_session_create || op == guest::Sys::umem_receive ||
           op == guest::Sys::umem_respond_receive || op == guest::Sys::pipe_open ||
           op == guest::Sys::port_join;
}

/// This thread's signals wait meanwhile, and are heard by a sleep with `before`: one that comes
/// while the thread looks, or between its last look and the sleep, would not end the sleep.
class SignalsHeld {
   public:
    SignalsHeld() {
        sigset_t held;
        sigfillset(&held);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT})
            sigdelset(&held, fault);
        ::pthread_sigmask(SIG_BLOCK, &held, &before_);
    }
    ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsHeld(const SignalsHeld&) = delete;
    SignalsHeld& operator=(const SignalsHeld&) = delete;
    const sigset_t& before() const { return before_; }

   private:
    sigset_t before_{};
};
}  // namespace

SocketLink::SocketLink(sys::Fd socket, sys::Fd poke, sys::Fd poll, app::Application& application,
                       VmId vm)
    : socket_(std::move(socket)),
      poke_(std::move(poke)),
      poll_(std::move(poll)),
      application_(&application),
      vm_(vm),
      may_look_(sys::has_processors_to_spare()) {}

Result<std::unique_ptr<SocketLink>> SocketLink::make(sys::Fd socket, app::Application& application,
                                                     VmId vm) {
    sys::Fd poke = HYPLINK_TRY(sys::make_eventfd());
    sys::Fd poll(
        HYPLINK_TRY(sys::call("epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); })));
    for (const int fd : {socket.get(), poke.get()}) {
        struct epoll_event event{};
        event.events = EPOLLIN;
        HYPLINK_TRY(sys::call("epoll_ctl",
                              [&] { return ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event); }));
    }
    std::unique_ptr<SocketLink> link(
        new SocketLink(std::move(socket), std::move(poke), std::move(poll), application, vm));
    link->thread_ = TaskThread(application.runtime(), [raw = link.get()] { raw->loop(); });
    return link;
}

SocketLink::~SocketLink() { close(); }

Status SocketLink::send(guest::SysRequest&& request) {
    std::lock_guard lock(send_mutex_);
    return send_request(socket_.get(), request);
}

void SocketLink::close() {
    stop_ = true;
    sys::signal_eventfd(poke_.get());  // never drained: every reader leaves
    thread_.join();
    std::scoped_lock lock(reading_, send_mutex_);
    socket_.reset();
}

// --- the link's own thread
// --------------------------------------------------------------------------------------

void SocketLink::loop() {
    for (int next = -1;;) {
        struct epoll_event event{};
        const int met = ::epoll_wait(poll_.get(), &event, 1, next);
        if (met < 0) continue;
        const bool watched = met == 1 && event.data.u32 == kWatched;
        next = look(watched || next >= 0);
        if (met == 0 || watched) continue;
        // What is told here is told before anybody reads on: answers find it done.
        std::lock_guard lock(reading_);
        if (stop_) return;
        sys::drain_eventfd(poke_.get());
        if (stop_) return sys::signal_eventfd(poke_.get());  // drained what close() has just said
        if (auto handed = std::exchange(handed_, {}))
            if (!take(std::move(*handed))) return;
        if (!take(sys::receive_message(socket_.get(), false, true))) return;
    }
}

int SocketLink::look(bool due) {
    if (!due) return -1;
    std::lock_guard lock(watch_mutex_);
    return ready_ ? ready_() : -1;
}

Status SocketLink::when_readable(int fd, std::function<int()> ready) {
    std::lock_guard lock(watch_mutex_);
    if (watched_ >= 0) (void)::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, watched_, nullptr);
    watched_ = -1;
    ready_ = {};
    if (fd < 0) return {};
    struct epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = kWatched;
    HYPLINK_TRY(sys::call("epoll_ctl",
                          [&] { return ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event); }));
    watched_ = fd;
    ready_ = std::move(ready);
    return {};
}

bool SocketLink::take(Result<sys::Message> message) {
    if (!message) {
        if (message.code() == Errc::would_block) return true;
        if (message.code() != Errc::peer_dead) {
            application_->on_lost(message.error().text());
            return false;
        }
        // That the other end closed may be told before what it said last.
        if (!std::exchange(closed_, true)) return true;
        application_->on_lost(text(vm_ != 0 ? text("VM ", vm_) : "the VM", " died"));
        return false;
    }
    auto reply = decode_reply(*message);
    if (!reply) {
        application_->on_lost(reply.error().text());
        return false;
    }
    if (auto said = application_->on_reply(*std::move(reply))) (void)send(std::move(*said));
    return true;
}

// --- threads that wait
// ------------------------------------------------------------------------------------------

void SocketLink::thread_listens(bool listens) {
    struct epoll_event event{};
    event.events = listens ? std::uint32_t{EPOLLIN} : std::uint32_t{0};
    (void)::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, socket_.get(), &event);
}

app::KernelLink::Turn SocketLink::take_turn() {
    if (!reading_.try_lock()) return Turn();
    if (stop_ || handed_) {
        reading_.unlock();
        return Turn();
    }
    thread_listens(false);
    return Turn(*this);
}

void SocketLink::end_turn() {
    thread_listens(true);
    reading_.unlock();
}

Errc SocketLink::wait(const BellWait& until, Deadline deadline, Turn& turn, guest::Sys asked) {
    if (!turn) turn = take_turn();
    if (turn) {
        if (bell_seen(*until.bell) != until.seen) return Errc::ok;
        if (const auto outcome = read_until(until, deadline, asked)) return *outcome;
        turn.end();
    }
    return application_->runtime().wait(std::span(&until, 1), deadline);
}

std::optional<Errc> SocketLink::read_until(const BellWait& until, Deadline deadline,
                                           guest::Sys asked) {
    const SignalsHeld signals;
    Runtime& runtime = application_->runtime();
    const std::int64_t began = runtime.now();
    const std::int64_t end = std::min(deadline.at, began + kBeat);
    sys::LookOrSleep* const way = may_look_ && !waits_for_others(asked) ? &ways_[asked] : nullptr;
    const bool looking = way != nullptr && way->looks();
    const std::int64_t looks_until = looking ? std::min(end, began + kMostLook) : began;
    for (std::int64_t now = began;; now = runtime.now()) {
        const bool looks = now < looks_until;
        const std::int64_t left = looks ? 0 : std::max<std::int64_t>(end - now, 0);
        struct timespec time{};
        time.tv_sec = static_cast<std::time_t>(left / kSecond);
        time.tv_nsec = static_cast<long>(left % kSecond);
        struct pollfd fds[2] = {{socket_.get(), POLLIN, 0}, {poke_.get(), POLLIN, 0}};
        const int ready = ::ppoll(fds, 2, &time, looks ? nullptr : &signals.before());
        if (ready < 0 && errno == EINTR) return Errc::interrupted;
        if (ready == 0 && looks) {
            // The other thread of this core may be who answers.
            for (int turn = 0; turn < kPauses; ++turn) sys::pause_cpu();
            continue;
        }
        if (ready == 0) return deadline.at <= end ? Errc::timed_out : runtime.after_a_while();
        if (ready < 0 || fds[1].revents != 0) return std::nullopt;
        auto message = sys::receive_message(socket_.get(), false, true);
        if (!message && message.code() == Errc::would_block) continue;
        if (message.code() == Errc::peer_dead) return std::nullopt;  // the thread finds the same
        // Answers only. Anything else may be told to things whose locks the caller holds.
        Result<guest::SysReply> reply = Errc::protocol;
        if (message && answers_a_request(*message)) {
            reply = decode_reply(*message);
            if (!reply) message = std::move(reply).error();
        }
        if (!reply) {
            handed_ = std::move(message);
            sys::signal_eventfd(poke_.get());
            return std::nullopt;
        }
        (void)application_->on_reply(*std::move(reply));
        if (bell_seen(*until.bell) == until.seen) continue;
        if (way != nullptr) way->took(looking, runtime.now() - began);
        return Errc::ok;
    }
}

Result<std::shared_ptr<app::Application>> application_from_fd(int fd) {
    auto runtime = std::make_shared<sys::RealRuntime>();
    auto application = std::make_shared<app::Application>(*runtime);
    auto link = HYPLINK_TRY(SocketLink::make(sys::Fd(fd), *application, 0));
    HYPLINK_TRY(application->attach(std::move(link), runtime));
    return application;
}

}  // namespace hyplink::backend
