/// vBpipe and vPipe: a stream of bytes between applications of two VMs, with the manners of a named
/// pipe.
///
///     auto pipe = HYPLINK_TRY(Pipe::open(application, "vbpipe0", {}, deadline));  // rendez-vous
///     HYPLINK_TRY(pipe->write(bytes, deadline));
///     const std::size_t got = HYPLINK_TRY(pipe->read(room, deadline));            // 0: the end
///
/// Two copies a byte: into the ring and out of it. No call of a kernel while both sides are awake.
/// Errors common to all: closed, cancelled (closed by another thread meanwhile), corrupt (the peer
/// wrote something impossible; for good), interrupted. Thread rule: any thread; reads take turns,
/// and so do writes, with all openers of the VM. Source: document 001 3.1, 3.2; vlx-facts 4.1, 4.2.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "hyplink/app/pipe/opened.hpp"

namespace hyplink::pipe {

class Pipe final : public Opened {
   public:
    /// Waits until the other VM has it open, too, whatever `nonblock` says; joins at once what is
    /// open in this VM. Errors: as Opened::open; bad_argument (a vUpipe).
    static Result<std::unique_ptr<Pipe>> open(std::shared_ptr<app::Application> application,
                                              const std::string& device, const OpenFlags& flags,
                                              Deadline deadline);

    /// Waits until all of `into` is filled, or something is there if the pipe has the policy "a".
    /// Returns less when the other end has gone (0: and nothing is left), or when the deadline
    /// passed. Non-blocking: what there is. A signal that ends the wait loses what was read.
    /// Errors: would_block, timed_out (nothing came).
    Result<std::size_t> read(std::span<std::byte> into, Deadline deadline);
    /// Waits until all is in the ring. Non-blocking: all or nothing up to the capacity, a part of
    /// what is longer. A deadline that passes in the midst returns what went. Errors: peer_dead,
    /// even after a part; would_block, timed_out.
    Result<std::size_t> write(std::span<const std::byte> from, Deadline deadline);

    /// The same without waiting, whatever the flags: all of it or, when it would wait for more,
    /// nothing and would_block. What a server of many does before it spends a thread.
    Result<std::size_t> try_read(std::span<std::byte> into);
    Result<std::size_t> try_write(std::span<const std::byte> from);

    /// Whether reads return what there is (policy "a").
    bool reads_available() const { return (kind_ & 256) != 0; }

   private:
    Pipe() = default;
    struct How {
        bool wait;
        std::uint64_t least;  ///< bytes that must be there at once, if any are
        Deadline deadline;
    };
    Result<std::size_t> read(std::span<std::byte> into, const How& how);
    Result<std::size_t> write(std::span<const std::byte> from, const How& how);
};

}  // namespace hyplink::pipe
