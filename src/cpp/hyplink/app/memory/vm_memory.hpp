/// An application's share of its VM's memory: pages that can be granted to other VMs and denied
/// again, and windows on pages that others granted.
///
///     auto memory = HYPLINK_TRY(VmMemory::open(application));
///     auto block = HYPLINK_TRY(memory->alloc(65536));                  // block->data(),
///     block->at() HYPLINK_TRY(memory->grant(3, kGrantRead | kGrantCpu, {{block->at(), 65536}}));
///     …                                                                // VM 3: memory->map(range)
///     HYPLINK_TRY(memory->deny(3, kGrantRead | kGrantCpu, {{block->at(), 65536}}));
///
/// Blocks stay where they are and keep their contents through all of it; no write of this process
/// is lost. A grant and a deny copy the pages once each.
///
/// Where pages were taken back, a window shows zeroes from the moment the deny returns: there is no
/// instant at which it shows anybody else's data or faults. A zero may be data, too: `read` tells
/// the two apart. Who prefers a signal maps with `Taken::signal`: once this application has heard
/// of the deny (soon after it), touching those pages is SIGBUS with the address (BUS_ADRERR).
/// Source: spec 003; vlx-facts 6.7. Thread rule: any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "hyplink/app/application.hpp"
#include "hyplink/app/memory/given.hpp"
#include "hyplink/app/memory/page_set.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/sys/freeze.hpp"
#include "hyplink/sys/mapping.hpp"

namespace hyplink::app {

class VmMemory : public std::enable_shared_from_this<VmMemory> {
   public:
    /// What a window shows where pages were taken back, once the application has heard of it.
    enum class Taken : std::uint8_t { zeroes, signal };
    /// Pages of this application. Freed by `free` or with the application; the mapping lasts as
    /// long as somebody holds the block.
    class Block {
       public:
        std::byte* data() const { return mapping_.data(); }
        std::size_t size() const { return mapping_.size(); }
        std::uint64_t at() const { return at_; }

       private:
        friend class VmMemory;
        sys::Mapping mapping_;
        std::uint64_t at_ = 0;
    };
    /// Pages of somebody else. Unmapped by `unmap`, or with the application; as above.
    class Window {
       public:
        const std::byte* data() const { return mapping_.data(); }
        std::byte* writable() const { return writable_ ? mapping_.data() : nullptr; }
        std::size_t size() const { return mapping_.size(); }
        hyp::MemRange range() const { return range_; }
        /// Bytes that were taken back, as far as this application has heard. See `check`.
        std::uint64_t revoked() const { return revoked_.load(std::memory_order_acquire); }
        /// How often other pages were put in: after a deny to another importer.
        std::uint64_t remapped() const { return remapped_.load(std::memory_order_acquire); }

       private:
        friend class VmMemory;
        sys::Mapping mapping_;
        hyp::MemRange range_;
        bool writable_ = false;
        Taken taken_ = Taken::zeroes;
        std::uint32_t id_ = 0;
        PageSet lost_;               // under windows_mutex_ once it is open
        PageSet held_;               // the same
        std::uint64_t changes_ = 0;  // the same: words about it
        std::atomic<std::uint64_t> revoked_{0};
        std::atomic<std::uint64_t> remapped_{0};
        BellWords changed_{};
    };

    /// Errors: peer_dead (the VM is gone).
    static Result<std::shared_ptr<VmMemory>> open(std::shared_ptr<Application> application);
    ~VmMemory();
    /// Everything granted is taken back, every window forgotten. Idempotent.
    void close();

    /// Zeroed pages, rounded up. Errors: over_quota, no_memory.
    Result<std::shared_ptr<Block>> alloc(std::uint64_t bytes);
    /// Whoever was granted some of it loses it. Errors: not_permitted (not a block of this).
    Status free(const std::shared_ptr<Block>& block);

    /// See hyp::Hypercalls. At most hyp::MemCall::kMostRanges ranges, all or none of them. Errors
    /// besides: unsupported (writers cannot be held back on this machine).
    Status grant(VmId importer, std::uint32_t flags, std::span<const hyp::MemRange> ranges);
    Status deny(VmId importer, std::uint32_t flags, std::span<const hyp::MemRange> ranges);
    Status verify(VmId exporter, std::uint32_t flags, std::span<const hyp::MemRange> ranges);

    /// Errors: access_denied (not all of it is granted so), bad_argument.
    Result<std::shared_ptr<Window>> map(hyp::MemRange range, bool writable,
                                        Taken taken = Taken::zeroes);
    Status unmap(const std::shared_ptr<Window>& window);
    /// Whether a part of a window (in bytes from its beginning) still shows what its exporter has
    /// there: asks the hypervisor. What was granted anew after a deny has to be mapped anew.
    /// Errors: revoked, bad_argument, closed (unmapped).
    Status check(Window& window, std::uint64_t offset, std::uint64_t bytes);
    /// Copy out of a window, and be sure that every byte was the exporter's: one copy, one question
    /// to the hypervisor; again if the pages changed meanwhile. Errors: as check; busy (they change
    /// all the time). Not of a window with Taken::signal.
    Status read(Window& window, std::uint64_t offset, std::span<std::byte> into);
    /// Wait until some of the window was taken back. Errors: timed_out, interrupted, closed
    /// (unmapped before, with nothing taken), cancelled (meanwhile).
    Status wait_revoked(Window& window, Deadline deadline);

    Application& application() { return *application_; }

   private:
    explicit VmMemory(std::shared_ptr<Application> application)
        : application_(std::move(application)) {}
    std::unique_lock<std::mutex> lock();
    Result<guest::SysReply> ask(guest::SysRequest request, Signals signals = Signals::heard);
    Status ask_ranges(guest::Sys op, VmId vm, std::uint32_t flags,
                      std::span<const hyp::MemRange> ranges,
                      std::span<const std::shared_ptr<sys::Fd>> objects = {},
                      Signals signals = Signals::heard);
    std::byte* place(hyp::MemRange range) const;
    void part_from(const Block& block);
    Result<std::shared_ptr<sys::Fd>> renew(hyp::MemRange range);
    std::optional<guest::SysRequest> on_word(guest::SysReply&& word);
    /// Whether the kernel must be asked to show what is there (`ask_to_show`).
    bool hold(Window& window, const guest::SysReply& word);
    void ask_to_show(std::uint32_t window);
    void forget_windows();
    /// How often something was said about it. Errors: revoked (some of the range), closed.
    Result<std::uint64_t> changes(Window& window, hyp::MemRange range);
    static Status take_away(Window& window, hyp::MemRange range);
    /// What has to be said with mem_watched is added to `watched`.
    Status show(Window& window, const guest::SysReply& reply, std::string& watched);
    void prepare_windows();
    bool watch(std::byte* at, std::size_t bytes);
    void say_watched(const Window& window, std::string& watched);
    /// As much of it as one request takes.
    guest::SysRequest watched_request(const Window& window, std::string& watched) const;
    int on_faults();
    Status deny_moving(VmId importer, std::uint32_t flags, std::span<const hyp::MemRange> ranges);

    std::shared_ptr<Application> application_;
    std::uint32_t handle_ = 0;
    std::shared_ptr<sys::WriteFreezer> freezer_;
    std::mutex mutex_;  // blocks and grants; held while asking
    bool closed_ = false;
    std::map<std::uint64_t, std::shared_ptr<Block>> blocks_;
    GivenPages given_;
    PageSet objects_;           // what each stands behind
    std::mutex windows_mutex_;  // never held while asking
    std::map<std::uint32_t, std::shared_ptr<Window>> windows_;
    std::vector<guest::SysReply> early_;  // words that windows to come may need
    std::size_t mapping_now_ = 0;
    std::once_flag prepared_;
    bool watches_ = false;                          // since `prepared_`, as the next
    std::unique_ptr<sys::AccessHolder> holder_;     // of windows
    std::map<const std::byte*, std::int64_t> met_;  // where threads wait, and since when
    std::unique_ptr<sys::AccessHolder> guard_;      // of blocks, under mutex_
};

}  // namespace hyplink::app
