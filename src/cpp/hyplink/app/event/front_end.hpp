/// vEvent's front end: a VM reads the events of a device that another VM has.
///
///     auto front = HYPLINK_TRY(FrontEnd::open(application, {.name = "vkp"}, deadline));
///     HYPLINK_TRY(front->wait_on(deadline));                  // the back end is there
///     InputEvent events[64];
///     std::size_t count = HYPLINK_TRY(front->read(events, deadline));
///
/// Events are copied once, out of the port. Where some are missing SYN_DROPPED stands, and `state`
/// is right behind it. When the back end goes, releases of what is still held come first, then
/// peer_dead; `wait_on` waits for the next one. A back end that writes what cannot be is corrupt,
/// for this link only. Thread rule: one thread at a time. Source: document 001 4.5; vlx-facts 5.4.
#pragma once

#include <memory>
#include <string>

#include "hyplink/app/event/link.hpp"
#include "hyplink/app/event/ring.hpp"

namespace hyplink::vevent {

struct FrontEndOptions {
    std::string name;  ///< the device's; or
    std::string node;  ///< "input/event0": the VM's n-th front end in the board's order
    VmId peer = 0;     ///< the back end's VM, 0 for any
};

class FrontEnd {
   public:
    static Result<std::unique_ptr<FrontEnd>> open(std::shared_ptr<app::Application> application,
                                                  const FrontEndOptions& options,
                                                  Deadline deadline);
    FrontEnd(const FrontEnd&) = delete;
    FrontEnd& operator=(const FrontEnd&) = delete;
    ~FrontEnd() { close(); }

    /// Until a back end is there. Errors: timed_out, protocol.
    Status wait_on(Deadline deadline) { return join(false, deadline); }
    /// would_block or link_down when none is.
    Status try_on() { return join(true, Deadline::never()); }
    bool is_on() const { return membership_ != nullptr && link_->is_on(); }

    /// At least one event. Errors: peer_dead, corrupt, timed_out, closed, link_down (never on).
    Result<std::size_t> read(std::span<InputEvent> out, Deadline deadline);
    Result<std::size_t> try_read(std::span<InputEvent> out);

    /// Of the back end that is, or was last, there.
    const Properties& properties() const { return properties_; }
    /// After what was read.
    const State& state() const { return state_; }
    /// Events that found no room in the ring, as the back end says.
    std::uint64_t lost() const { return link_ ? reader_.lost() : 0; }

    Result<int> fileno();
    void fd_rearm();
    void close();
    bool is_open() const { return end_ && end_->is_open(); }
    port::End& end() { return *end_; }
    Link* link() { return link_.get(); }

   private:
    FrontEnd() = default;
    Status join(bool now, Deadline deadline);
    Error blocked(const char* doing);

    std::unique_ptr<port::End> end_;
    std::unique_ptr<port::Membership> membership_;
    std::unique_ptr<Link> link_;
    Properties properties_;
    Reader reader_;
    State state_;
    std::vector<InputEvent> farewell_;  ///< releases, when the back end went
    bool said_farewell_ = false;
};

}  // namespace hyplink::vevent
