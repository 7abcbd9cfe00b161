#include "hyplink/app/pipe/pipe.hpp"

#include <algorithm>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/syscalls.hpp"

namespace hyplink::pipe {

Result<std::unique_ptr<Pipe>> Pipe::open(std::shared_ptr<app::Application> application,
                                         const std::string& device, const OpenFlags& flags,
                                         Deadline deadline) {
    std::unique_ptr<Pipe> pipe(new Pipe);
    HYPLINK_TRY(
        pipe->Opened::open(std::move(application), device, flags, guest::kPipeStream, deadline));
    return pipe;
}

Result<std::size_t> Pipe::read(std::span<std::byte> into, Deadline deadline) {
    return read(into, How{!nonblock(), 1, deadline});
}

Result<std::size_t> Pipe::try_read(std::span<std::byte> into) {
    return read(into, How{false, reads_available() || nonblock() ? 1 : into.size(), {}});
}

Result<std::size_t> Pipe::read(std::span<std::byte> into, const How& how) {
    if (!in_ || !flags_.read)
        return Error::make(Errc::closed, where("read") + ": not open for reading");
    const Use use(*this, *in_);
    HYPLINK_TRY(usable("read"));
    if (into.empty()) return std::size_t{0};
    Turn turn(*this, *in_);
    HYPLINK_TRY(turn.take(how.wait, how.deadline));
    bump(in_->counters->receives);
    std::size_t done = 0;
    for (;;) {
        const std::uint32_t seen = bell_seen(*in_->bell);
        const bool alive = connected();  // before the data: what was written before the end is read
        HYPLINK_TRY(usable("read"));
        const std::uint64_t there = HYPLINK_TRY(amount(*in_, "read"));
        if (there != 0 && (there >= how.least || !alive)) {
            const std::uint64_t some = std::min<std::uint64_t>(there, into.size() - done);
            take_bytes(in_->ring, into.data() + done, some);
            ring_peer(*in_);
            done += static_cast<std::size_t>(some);
            bump(in_->counters->copies);
            bump(in_->counters->copied_bytes, some);
            note_held(*in_, there, there - some);
        }
        if (done == into.size() || (done != 0 && (reads_available() || !how.wait))) return done;
        if (!alive) {
            // Written between the two looks: once more, now that nothing can follow.
            if (HYPLINK_TRY(amount(*in_, "read")) == 0) return done;
            continue;
        }
        if (!how.wait) return Errc::would_block;
        const Errc outcome = wait_on(*in_, *in_->bell, seen, how.deadline);
        if (outcome == Errc::timed_out && done != 0) return done;
        if (outcome != Errc::ok) return outcome;
    }
}

Result<std::size_t> Pipe::write(std::span<const std::byte> from, Deadline deadline) {
    const bool wait = !nonblock() && !flags_.exclusive;
    // Without waiting all of it must fit at once, if it ever can.
    const std::uint64_t least = wait || from.size() > out_capacity() ? 1 : from.size();
    return write(from, How{wait, least, deadline});
}

Result<std::size_t> Pipe::try_write(std::span<const std::byte> from) {
    const bool part = nonblock() && from.size() > out_capacity();
    return write(from, How{false, part ? 1 : from.size(), {}});
}

Result<std::size_t> Pipe::write(std::span<const std::byte> from, const How& how) {
    if (!out_ || !flags_.write)
        return Error::make(Errc::closed, where("write") + ": not open for writing");
    const Use use(*this, *out_);
    HYPLINK_TRY(usable("write"));
    if (from.empty()) return std::size_t{0};
    if (!connected()) return gone("write");
    Turn turn(*this, *out_);
    HYPLINK_TRY(turn.take(how.wait, how.deadline));
    bump(out_->counters->posts);
    std::size_t done = 0;
    for (;;) {
        const std::uint32_t seen = bell_seen(*out_->bell);
        HYPLINK_TRY(usable("write"));
        if (!connected()) return gone("write");
        const std::uint64_t room = HYPLINK_TRY(amount(*out_, "write"));
        if (room >= how.least) {
            const std::uint64_t some = std::min<std::uint64_t>(room, from.size() - done);
            put_bytes(out_->ring, from.data() + done, some);
            ring_peer(*out_);
            done += static_cast<std::size_t>(some);
            bump(out_->counters->copies);
            bump(out_->counters->copied_bytes, some);
            const std::uint64_t held = out_capacity() - room + some;
            note_held(*out_, held, held);
        }
        if (done == from.size() || (done != 0 && !how.wait)) return done;
        bump(out_->counters->full_events);
        if (!how.wait) return Errc::would_block;
        const Errc outcome = wait_on(*out_, *out_->bell, seen, how.deadline);
        if (outcome == Errc::timed_out && done != 0) return done;
        if (outcome != Errc::ok) return outcome;
    }
}

}  // namespace hyplink::pipe
