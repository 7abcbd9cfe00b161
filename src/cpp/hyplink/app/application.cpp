#include "hyplink/app/application.hpp"

#include <algorithm>
#include <new>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/eventfd.hpp"

namespace hyplink::app {

using guest::StatusPage;
using guest::Sys;
using guest::SysReply;
using guest::SysRequest;

namespace {
constexpr std::int64_t kPatience = 1'000'000'000;
constexpr std::int64_t kHelloPatience = 10'000'000'000;

/// Requests whose answer is a handle that must not be lost.
constexpr bool makes_handle(Sys op) {
    return op == Sys::open || op == Sys::rpq_session_create || op == Sys::rpq_session_accept ||
           op == Sys::rpq_channel_create || op == Sys::rpq_channel_accept ||
           op == Sys::umem_server_create || op == Sys::umem_session_create ||
           op == Sys::umem_alloc || op == Sys::umem_import || op == Sys::pipe_open ||
           op == Sys::port_lookup || op == Sys::port_join;
}
}  // namespace

Status KernelLink::when_readable(int, std::function<int()>) {
    return Error::make(Errc::unsupported, "this way to a kernel has no thread of its own");
}

Application::~Application() { close(); }

Status Application::attach(std::unique_ptr<KernelLink> link, std::shared_ptr<void> keep) {
    link_ = std::move(link);
    keep_ = std::move(keep);
    SysRequest hello;
    hello.op = Sys::hello;
    SysReply reply = HYPLINK_TRY(call(std::move(hello), runtime_->in(kHelloPatience)));
    if (reply.regions.size() != 2 || reply.regions[0]->size() < StatusPage::kBytes ||
        reply.regions[1]->size() < Scope::kBytes)
        return Error::make(Errc::protocol, "the guest kernel's greeting is incomplete");
    std::lock_guard lock(mutex_);
    if (lost_) return lost_error();  // the kernel greeted and was gone
    vm_ = static_cast<VmId>(reply.values[0]);
    id_ = static_cast<std::uint32_t>(reply.values[1]);
    status_ = reply.regions[0];
    scope_region_ = reply.regions[1];
    scope_.~Scope();
    ::new (&scope_) Scope(scope_region_->data(), vm_, id_);
    return {};
}

void Application::close_first(const std::weak_ptr<ClosesFirst>& opened) {
    std::lock_guard lock(mutex_);
    std::erase_if(first_, [](const auto& other) { return other.expired(); });
    first_.push_back(opened);
}

void Application::close() {
    std::vector<std::weak_ptr<ClosesFirst>> first;
    {
        std::lock_guard lock(mutex_);
        if (!closed_) first = first_;
    }
    for (const auto& one : first)
        if (const auto opened = one.lock()) opened->close_first();
    std::shared_ptr<KernelLink> link;
    {
        std::lock_guard lock(mutex_);
        if (closed_) return;
        closed_ = true;
        link = std::move(link_);
    }
    if (link) link->close();
    on_lost("the application was closed");
}

bool Application::closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
}

bool Application::lost() const {
    std::lock_guard lock(mutex_);
    return lost_;
}

Error Application::lost_error() const {
    return Error::make(closed_ ? Errc::closed : Errc::peer_dead, lost_why_);
}

Result<SysReply> Application::call(SysRequest request, Deadline deadline, Signals signals) {
    runtime_->switch_point(SwitchPoint::syscall);
    close_late();
    auto waiting = std::make_shared<Waiting>();
    waiting->makes_handle = makes_handle(request.op);
    const Sys asked = request.op;
    std::uint32_t sequence = 0;
    std::shared_ptr<KernelLink> link;
    {
        std::lock_guard lock(mutex_);
        if (lost_ || !link_) return lost_error();
        link = link_;
        sequence = request.sequence = next_sequence_++;
        waiting_[sequence] = waiting;
    }
    KernelLink::Turn turn = link->take_turn();
    if (Status sent = link->send(std::move(request)); !sent) {
        std::lock_guard lock(mutex_);
        waiting_.erase(sequence);
        if (lost_) return lost_error();
        // The link's thread has yet to find what this one has.
        if (auto why = dropped(); why && sent.code() == Errc::peer_dead)
            return Error::make(Errc::peer_dead, *std::move(why));
        return std::move(sent).error();
    }
    bool withdrawn = false;
    Deadline patience;
    Errc why = Errc::ok;
    for (;;) {
        const std::uint32_t seen = bell_seen(waiting->bell);
        {
            std::lock_guard lock(mutex_);
            if (waiting->done) {
                waiting_.erase(sequence);
                SysReply& reply = waiting->reply;
                if (reply.code == Errc::ok) return std::move(reply);
                if (withdrawn && reply.code == Errc::cancelled) return Error(why);
                return Error::make(reply.code, reply.data);
            }
            if (lost_) {
                waiting_.erase(sequence);
                return lost_error();
            }
        }
        const BellWait wait{&waiting->bell, seen};
        Errc outcome = link->wait(wait, withdrawn ? patience : deadline, turn, asked);
        if (outcome == Errc::interrupted) turn.end();  // whoever is asked now may call in turn
        if (outcome == Errc::interrupted &&
            (signals == Signals::deferred || !interrupt_check_ || !interrupt_check_()))
            outcome = Errc::ok;
        if (outcome == Errc::ok) continue;
        if (!withdrawn) {
            // Withdrawn, the request is answered promptly, unless the kernel itself is stuck.
            withdrawn = true;
            why = outcome;
            patience = runtime_->in(kPatience);
            SysRequest cancel;
            cancel.op = Sys::cancel;
            cancel.args[0] = sequence;
            (void)link->send(std::move(cancel));
            continue;
        }
        if (outcome == Errc::interrupted) continue;
        std::lock_guard lock(mutex_);
        if (waiting->done) continue;
        waiting->abandoned = true;  // what comes later is closed at the next call
        return Error(why);
    }
}

void Application::post(SysRequest request) {
    runtime_->switch_point(SwitchPoint::syscall);
    std::shared_ptr<KernelLink> link;
    {
        std::lock_guard lock(mutex_);
        if (lost_ || !link_) return;
        link = link_;
    }
    request.sequence = 0;
    (void)link->send(std::move(request));
}

void Application::close_late() {
    std::vector<std::uint32_t> late;
    std::shared_ptr<KernelLink> link;
    {
        std::lock_guard lock(mutex_);
        late.swap(late_handles_);
        link = link_;
        if (!link) return;
    }
    for (std::uint32_t handle : late) {
        SysRequest request;
        request.op = Sys::close;
        request.handle = handle;
        (void)link->send(std::move(request));
    }
}

const std::atomic<std::uint32_t>* Application::status_word(std::uint64_t index) const {
    if (index >= StatusPage::kWords) return nullptr;
    return reinterpret_cast<const std::atomic<std::uint32_t>*>(status_->data()) + index;
}

BellWords& Application::sysconf_bell() {
    return *reinterpret_cast<BellWords*>(status_->data() + StatusPage::kSysconfBellAt);
}

void Application::add_sleeper(const Sleeper& sleeper) {
    std::lock_guard lock(mutex_);
    sleepers_.push_back(sleeper);
}

void Application::remove_sleeper(const Sleeper& sleeper) {
    std::lock_guard lock(mutex_);
    std::erase_if(sleepers_, [&](const Sleeper& other) { return other.bell == sleeper.bell; });
}

void Application::set_listener(Listener listener) {
    std::lock_guard lock(listener_mutex_);
    listener_ = std::move(listener);
}

Status Application::when_readable(int fd, std::function<int()> ready) {
    std::shared_ptr<KernelLink> link;
    {
        std::lock_guard lock(mutex_);
        if (!link_) return lost_error();
        link = link_;
    }
    return link->when_readable(fd, std::move(ready));
}

void Application::watch(std::uint32_t handle, std::function<void()> gone) {
    bool already = false;
    {
        std::lock_guard lock(mutex_);
        already = gone_unwatched_.erase(handle) != 0 || lost_;
        if (!already) watches_[handle] = std::move(gone);
    }
    if (already) gone();
}

void Application::unwatch(std::uint32_t handle) {
    std::lock_guard lock(mutex_);
    watches_.erase(handle);
    gone_unwatched_.erase(handle);
}

void Application::on_gone(std::uint32_t handle) {
    std::function<void()> gone;
    {
        std::lock_guard lock(mutex_);
        auto found = watches_.find(handle);
        if (found == watches_.end()) {
            gone_unwatched_.insert(handle);
            return;
        }
        gone = std::move(found->second);
        watches_.erase(found);
    }
    gone();
}

std::optional<SysRequest> Application::on_reply(SysReply&& reply) {
    if (reply.sequence == 0 && reply.code == Errc::peer_dead) {
        on_gone(static_cast<std::uint32_t>(reply.values[0]));
        return {};
    }
    if (reply.sequence == 0) {
        std::optional<SysRequest> said;
        {
            std::lock_guard lock(listener_mutex_);
            if (listener_) said = listener_(std::move(reply));
        }
        std::lock_guard lock(mutex_);
        if (said) said->sequence = next_sequence_++;
        return said;
    }
    std::shared_ptr<Waiting> waiting;
    {
        std::lock_guard lock(mutex_);
        auto found = waiting_.find(reply.sequence);
        if (found == waiting_.end()) return {};
        waiting = found->second;
        if (waiting->abandoned) {
            if (waiting->makes_handle && reply.code == Errc::ok)
                late_handles_.push_back(static_cast<std::uint32_t>(reply.values[0]));
            waiting_.erase(found);
            return {};
        }
        waiting->reply = std::move(reply);
        waiting->done = true;
    }
    ring(*runtime_, waiting->bell);
    return {};
}

std::optional<std::string> Application::dropped() const {
    if (!status_ || closed_) return std::nullopt;
    const auto& said =
        *reinterpret_cast<const guest::AppDropped*>(status_->data() + StatusPage::kDroppedAt);
    const char* why = nullptr;
    switch (static_cast<Dropped>(said.reason.load(std::memory_order_acquire))) {
        case Dropped::unread:
            why = "it does not read what it is told";
            break;
        case Dropped::malformed:
            why = "it sent what is no request";
            break;
        case Dropped::broken:
            why = "their connection failed";
            break;
        default:
            return std::nullopt;
    }
    return text("the kernel of VM ", vm_, " dropped this application: ", why, " (",
                sys::explain(said.code), ")");
}

void Application::on_lost(const std::string& why) {
    std::map<std::uint32_t, std::function<void()>> watches;
    {
        std::lock_guard lock(mutex_);
        if (lost_) return;
        lost_ = true;
        lost_why_ = dropped().value_or(why);
        watches.swap(watches_);
        // Nobody else writes the status page any more: the kernel is gone.
        if (status_) {
            auto* words = reinterpret_cast<std::atomic<std::uint32_t>*>(status_->data());
            for (std::uint32_t word = 0; word < StatusPage::kWords; ++word) {
                const auto state =
                    static_cast<rpq::ChannelState>(words[word].load(std::memory_order_relaxed));
                if (state == rpq::ChannelState::open || state == rpq::ChannelState::peer_closed)
                    words[word].store(static_cast<std::uint32_t>(rpq::ChannelState::dead),
                                      std::memory_order_release);
            }
            ring(*runtime_, sysconf_bell());
        }
        for (auto& [sequence, waiting] : waiting_) ring(*runtime_, waiting->bell);
        for (const Sleeper& sleeper : sleepers_) {
            bell_ring(*sleeper.bell);
            runtime_->wake(*sleeper.bell);
            if (sleeper.fd >= 0) sys::signal_shared_eventfd(sleeper.fd);
        }
    }
    for (auto& [handle, gone] : watches) gone();
    std::lock_guard lock(listener_mutex_);
    SysReply word;
    word.code = Errc::peer_dead;
    if (listener_) listener_(std::move(word));
}

}  // namespace hyplink::app
