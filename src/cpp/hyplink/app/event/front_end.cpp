#include "hyplink/app/event/front_end.hpp"

#include <algorithm>
#include <utility>

#include "hyplink/base/text.hpp"

namespace hyplink::vevent {

Result<std::unique_ptr<FrontEnd>> FrontEnd::open(std::shared_ptr<app::Application> application,
                                                 const FrontEndOptions& options,
                                                 Deadline deadline) {
    std::unique_ptr<FrontEnd> front(new FrontEnd);
    port::Lookup what;
    what.device = options.node.empty() ? "vevent" : options.node;
    what.name = options.name;
    what.role = guest::PortRole::client;
    what.peer = options.peer;
    if (options.node.empty())
        front->end_ = HYPLINK_TRY(find_end(std::move(application), what, deadline));
    else
        front->end_ = HYPLINK_TRY(port::End::lookup(std::move(application), what, deadline));
    return front;
}

Status FrontEnd::join(bool now, Deadline deadline) {
    if (is_on()) return {};
    membership_.reset();
    port::JoinOptions options;
    options.bytes = RingMemory::kFrontBytes;
    options.now = now;
    port::Joined joined = HYPLINK_TRY(end_->join(options, deadline));
    const auto hello = Hello::from_words(joined.words);
    if (!hello) return Error::make(Errc::protocol, hello.error().text());
    if (RingMemory(*hello).bytes > joined.peer_bytes)
        return Error::make(Errc::protocol, text("vEvent \"", end_->info(), "\": VM ", end_->peer(),
                                                " has ", joined.peer_bytes, " bytes for a ring of ",
                                                hello->ring, " events"));
    link_ = std::make_unique<Link>(joined, Role::client);
    properties_ = hello->properties;
    state_ = State(properties_);
    reader_.attach(RingMemory(*hello, joined.peer, joined.own), properties_);
    farewell_.clear();
    said_farewell_ = false;
    membership_ = std::move(joined.membership);
    return {};
}

Error FrontEnd::blocked(const char* doing) {
    if (!end_->is_open()) return Error::make(Errc::closed, text("vEvent ", doing, ": closed"));
    if (!link_)
        return Error::make(Errc::link_down, text("vEvent ", doing, ": no back end has come yet"));
    return link_->refused(doing, 0);
}

Result<std::size_t> FrontEnd::try_read(std::span<InputEvent> out) {
    if (!link_ || !end_->is_open()) [[unlikely]]
        return blocked("read");
    if (out.empty()) return Error::make(Errc::bad_argument, "vEvent read: room for no event");
    // The state first: what was published before the back end went is still delivered.
    const bool on = link_->is_on();
    if (membership_) {
        const std::size_t count = reader_.take(out, state_);
        if (count != 0) [[likely]] {
            Link::bump(link_->counters_->receives);
            Link::bump(link_->counters_->requests, count);
            link_->note(Event::receive, count, 0);
            return count;
        }
        if (reader_.fault().field != nullptr) {
            Error error = link_->fault_error("read", reader_.fault());
            membership_.reset();  // this end is off for the peer, too
            return error;
        }
        if (on) return Errc::would_block;
    }
    if (!std::exchange(said_farewell_, true)) {
        farewell_ = state_.releases();
        if (!farewell_.empty()) farewell_.push_back(State::make(EV_SYN, SYN_REPORT, 0));
        const std::int64_t now = link_->context().runtime->now();
        for (InputEvent& event : farewell_) {
            event.sec = now / 1'000'000'000;
            event.usec = now / 1'000 % 1'000'000;
            state_.apply(event);
        }
    }
    if (!farewell_.empty()) {
        const std::size_t count = std::min(out.size(), farewell_.size());
        const auto end = farewell_.begin() + static_cast<std::ptrdiff_t>(count);
        std::copy(farewell_.begin(), end, out.begin());
        farewell_.erase(farewell_.begin(), end);
        return count;
    }
    return blocked("read");
}

Result<std::size_t> FrontEnd::read(std::span<InputEvent> out, Deadline deadline) {
    if (!link_) return blocked("read");
    return link_->wait_for(deadline, [&] { return try_read(out); });
}

Result<int> FrontEnd::fileno() {
    if (!link_) return blocked("fileno");
    return link_->fileno();
}

void FrontEnd::fd_rearm() {
    if (link_) link_->fd_rearm();
}

void FrontEnd::close() {
    if (membership_) membership_->leave();
    membership_.reset();
    if (end_) end_->release();
}

}  // namespace hyplink::vevent
