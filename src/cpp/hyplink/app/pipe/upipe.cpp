#include "hyplink/app/pipe/upipe.hpp"

#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/syscalls.hpp"

namespace hyplink::pipe {

Result<std::unique_ptr<Upipe>> Upipe::open(std::shared_ptr<app::Application> application,
                                           const std::string& device, const OpenFlags& flags,
                                           Deadline deadline) {
    std::unique_ptr<Upipe> pipe(new Upipe);
    HYPLINK_TRY(
        pipe->Opened::open(std::move(application), device, flags, guest::kPipeArea, deadline));
    return pipe;
}

Status Upipe::notify(Direction* direction, std::uint64_t bytes, const char* doing) {
    if (direction == nullptr)
        return Error::make(Errc::closed, where(doing) + ": that is the other end's call");
    const Use use(*this, *direction);
    HYPLINK_TRY(usable(doing));
    Turn turn(*this, *direction);
    HYPLINK_TRY(turn.take(!nonblock(), Deadline::never()));
    const std::uint64_t most = HYPLINK_TRY(amount(*direction, doing));
    if (bytes > most)
        return Error::make(Errc::bad_argument,
                           text(where(doing), ": ", bytes, " bytes, there are ", most));
    direction->ring.advance(bytes);
    const bool reading = direction == in_.get();
    bump(reading ? direction->counters->receives : direction->counters->posts);
    bump(direction->counters->in_place_bytes, bytes);
    const std::uint64_t held = reading ? most : direction->ring.capacity() - most + bytes;
    note_held(*direction, held, reading ? most - bytes : held);
    ring_peer(*direction);
    return {};
}

Result<std::uint64_t> Upipe::wait_amount(Direction* direction, std::uint64_t bytes,
                                         const char* doing, Deadline deadline) {
    if (direction == nullptr)
        return Error::make(Errc::closed, where(doing) + ": that is the other end's call");
    if (bytes > direction->ring.capacity())
        return Error::make(Errc::bad_argument, text(where(doing), ": ", bytes, " of ",
                                                    direction->ring.capacity(), " bytes"));
    const Use use(*this, *direction);
    HYPLINK_TRY(usable(doing));
    const bool wait = !nonblock();
    Turn turn(*this, *direction);
    HYPLINK_TRY(turn.take(wait, deadline));
    for (;;) {
        const std::uint32_t seen = bell_seen(*direction->bell);
        const bool alive = connected();  // before the data, as in Pipe::read
        HYPLINK_TRY(usable(doing));
        if (!alive && direction == out_.get()) return gone(doing);
        const std::uint64_t now = HYPLINK_TRY(amount(*direction, doing));
        if (now != 0 && now >= bytes) return now;
        if (!alive || (bytes == 0 && wait)) return now;
        if (direction == out_.get()) bump(direction->counters->full_events);
        if (!wait) return Errc::would_block;
        const Errc outcome = wait_on(*direction, *direction->bell, seen, deadline);
        if (outcome != Errc::ok) return outcome;
    }
}

Result<std::uint64_t> Upipe::available_data(std::uint64_t bytes, Deadline deadline) {
    return wait_amount(in_.get(), bytes, "available_data", deadline);
}

Result<std::uint64_t> Upipe::available_room(std::uint64_t bytes, Deadline deadline) {
    HYPLINK_TRY(wait_amount(out_.get(), bytes, "available_room", deadline));
    return bytes;
}

}  // namespace hyplink::pipe
