/// vUpipe: a ring of bytes that both applications map and use in place: no copy.
///
///     auto out = HYPLINK_TRY(Upipe::open(application, "vupipe0", {.read = false}, deadline));
///     HYPLINK_TRY(out->available_room(4096, deadline));
///     fill(out->area(), out->offset(), 4096);          // goes on at the start behind the end
///     HYPLINK_TRY(out->notify_write(4096));
///
/// What is in the area is the peer's to change at any time: copy what must not. Errors common to
/// all: closed, cancelled, corrupt (for good), interrupted. Thread rule: any thread; the calls of
/// an end take turns. Source: document 001 3.3; vlx-facts 4.3.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "hyplink/app/pipe/opened.hpp"

namespace hyplink::pipe {

class Upipe final : public Opened {
   public:
    /// Errors: as Opened::open; bad_argument when the device is no vUpipe.
    static Result<std::unique_ptr<Upipe>> open(std::shared_ptr<app::Application> application,
                                               const std::string& device, const OpenFlags& flags,
                                               Deadline deadline);

    /// The whole data area, of the configured size.
    std::span<std::byte> area() const {
        return {end().ring.data(), static_cast<std::size_t>(end().ring.capacity())};
    }
    /// What keeps the area mapped.
    const std::shared_ptr<mem::Region>& region() const { return end().port; }
    /// Where in the area the next byte of this end lies.
    std::uint64_t offset() const { return end().ring.position(); }
    bool reads() const { return in_ != nullptr; }

    /// Wait until `bytes` are there; how many are. Fewer when the other end has gone (0: all were
    /// read). Non-blocking: would_block when there are fewer. Errors: bad_argument (more than the
    /// area holds), closed (the end that writes), timed_out.
    Result<std::uint64_t> available_data(std::uint64_t bytes, Deadline deadline);
    /// Wait until `bytes` are free; returns `bytes`. Errors: peer_dead, bad_argument (more than the
    /// area holds), closed (the end that reads), would_block, timed_out.
    Result<std::uint64_t> available_room(std::uint64_t bytes, Deadline deadline);
    /// So many bytes were read, or written: the peer may have their room, or them. Errors:
    /// bad_argument (more than there are, or is free), closed (the other end's call).
    Status notify_read(std::uint64_t bytes) { return notify(in_.get(), bytes, "read_notify"); }
    Status notify_write(std::uint64_t bytes) { return notify(out_.get(), bytes, "write_notify"); }

   private:
    Upipe() = default;
    const Direction& end() const { return in_ ? *in_ : *out_; }
    Status notify(Direction* direction, std::uint64_t bytes, const char* doing);
    Result<std::uint64_t> wait_amount(Direction* direction, std::uint64_t bytes, const char* doing,
                                      Deadline deadline);
};

}  // namespace hyplink::pipe
