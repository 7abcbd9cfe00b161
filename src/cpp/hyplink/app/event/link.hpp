/// The port of one end of a vEvent link: its bells, its counters, how it fails; and how an end is
/// found.
#pragma once

#include "hyplink/app/port/end.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::vevent {

/// In the journal: a = channel, b = input events that found no room, c = in all.
constexpr Event kEventLost{50};
/// In the journal: a = channel, b = 1 has the focus now, 0 no longer; c = events that say so.
constexpr Event kEventFocus{51};

class Link : public rings::ChannelEnd {
   public:
    Link(const port::Joined& joined, Role role) : ChannelEnd(joined.context, role) {
        own_.attach(*context_.runtime, rpq::port_bell(context_.port, role), context_.own_fd);
        peer_.attach(*context_.runtime, rpq::port_bell(context_.port, other(role)),
                     context_.peer_fd);
    }
    using ChannelEnd::bump;
    using ChannelEnd::counters_;
    using ChannelEnd::fault_error;
    using ChannelEnd::note;
    using ChannelEnd::raise;
    using ChannelEnd::refused;
    using ChannelEnd::ring_peer;
    using ChannelEnd::set;
    using ChannelEnd::wait_for;
    using ChannelEnd::where;
    bool is_on() const { return open(); }
};

/// The next end whose device has exactly this name; longer ones that begin like it are passed over,
/// and counted in `what.over`. Errors: those of `End::lookup`.
inline Result<std::unique_ptr<port::End>> find_end(std::shared_ptr<app::Application> application,
                                                   port::Lookup& what, Deadline deadline) {
    for (;; ++what.over) {
        auto end = HYPLINK_TRY(port::End::lookup(application, what, deadline));
        if (end->info() == what.name) return end;
    }
}

}  // namespace hyplink::vevent
