/// vRPC: one procedure of one guest kernel, called by the kernel at the other end of a vlink. One
/// call at a time; more than one wait their turn at the caller.
///
/// PMEM 0 holds {calls, answers, size} and the data, in place. Own counters are private and only
/// published; what the peer wrote is loaded once and checked. A call that the link does not survive
/// ends with peer_dead; one that was made before the link is UP waits for it. Source:
/// vlx-facts 5.1, 1.6. Thread rule: the guest kernel's.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hyplink/guest/buffer_book.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

/// What an info string of class "vrpc" says: `name[,size]`.
struct RpcInfo {
    std::string name;
    std::uint64_t bytes = 1024;
    /// Errors: bad_argument says which part is wrong.
    static Result<RpcInfo> parse(std::string_view info);
};

class RpcLink final : public LinkUser, public XirqHandler {
   public:
    using Bytes = std::vector<std::byte>;
    /// The server's procedure. Runs in the turn of the interrupt; its answer is cut to the room.
    using Procedure = std::function<Bytes(std::span<const std::byte>)>;
    using Done = std::function<void(Result<Bytes>)>;

    /// `bytes`: of the memory, head included; the larger of what both ends ask for.
    RpcLink(GuestKernel& kernel, VlinkEnd& end, std::uint64_t bytes);
    Status allocate();

    /// Server: what is called. Set before the link is UP.
    void serve(Procedure procedure) { procedure_ = std::move(procedure); }
    /// Client: call; `done` runs later, or at once when the data do not fit (too_long).
    void call(Bytes data, Done done);
    /// Runs when the link goes down, after every call has ended.
    void on_down(std::function<void()> down) { down_ = std::move(down); }

    VlinkEnd& end() { return *end_; }
    /// What whoever uses the link counts of its buffers; the link counts messages and XIRQs.
    BufferBook& book() { return book_; }
    std::uint64_t most_bytes() const { return bytes_ - sizeof(Area); }

    Status reset() override;
    Status start() override;
    void up() override;
    void abort() override;
    void stop() override;
    void on_xirq(XirqNumber number) override;

   private:
    struct Area {
        std::atomic<std::uint32_t> calls;    ///< the client's: number of the last call
        std::atomic<std::uint32_t> answers;  ///< the server's: number of the last answer
        std::atomic<std::uint32_t> size;     ///< bytes of the data, of whose turn it is
    };
    static_assert(sizeof(Area) == 12);
    struct Call {
        Bytes data;
        Done done;
    };
    std::byte* data() const { return reinterpret_cast<std::byte*>(area_) + sizeof(Area); }
    void send();
    void take_answer();
    void take_call();
    void write(std::span<const std::byte> bytes);
    /// The peer's data, copied. Errors: corrupt.
    Result<Bytes> read();
    void corrupt(const Error& error);
    void ring();

    GuestKernel* kernel_;
    VlinkEnd* end_;
    std::uint64_t bytes_;
    BufferBook book_;
    Procedure procedure_;
    std::function<void()> down_;
    Area* area_ = nullptr;
    BellWords* own_bell_ = nullptr;
    XirqNumber own_xirq_ = 0;
    XirqNumber peer_xirq_ = 0;
    std::deque<Call> waiting_;  ///< the first is under way when `calling_`
    bool calling_ = false;
    std::uint32_t number_ = 0;  ///< of the last call made, or handled
};

}  // namespace hyplink::guest
