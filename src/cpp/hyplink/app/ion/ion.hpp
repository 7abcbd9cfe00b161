/// vION as an application uses it: buffers that other VMs map by their global ids.
///
///     auto ion = HYPLINK_TRY(Ion::open(application, deadline));
///     auto frame = HYPLINK_TRY(ion->alloc(4 << 20));
///     std::uint64_t id = HYPLINK_TRY(frame->share(deadline));     // tell it to anybody
///     auto theirs = HYPLINK_TRY(ion->import(id, deadline));       // there, or in this VM
///     theirs->data(), theirs->fd()
///
/// Access costs what local memory costs: no call, no copy. Errors common to all: peer_dead (the VM
/// is gone), closed, timed_out, interrupted. Thread rule: any thread; a buffer one at a time.
/// Source: document 001 3.6.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "hyplink/app/application.hpp"

namespace hyplink::ion {

class Buffer {
   public:
    ~Buffer() { close(); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    std::byte* data() const { return region_->data(); }
    std::size_t size() const { return region_->size(); }
    const std::shared_ptr<mem::Region>& region() const { return region_; }
    /// Of the memory object: to be mapped, passed on, polled. The buffer owns it.
    int fd() const { return region_->fd(); }
    /// 0: not shared.
    std::uint64_t id() const { return id_; }
    /// True once the VM whose buffer it is has gone: what is read are zeroes.
    bool is_lost() const { return lost_->load(std::memory_order_acquire); }

    /// Export: make the global id under which others import it. The same every time. Errors:
    /// no_memory (too many exports of this VM).
    Result<std::uint64_t> share(Deadline deadline);
    /// Give it up here. Who has imported it keeps it. Idempotent; mappings that are kept stay.
    void close();

   private:
    friend class Ion;
    Buffer(std::shared_ptr<app::Application> application, std::uint32_t device,
           std::shared_ptr<mem::Region> region)
        : application_(std::move(application)), device_(device), region_(std::move(region)) {}

    std::shared_ptr<app::Application> application_;
    std::uint32_t device_;
    std::shared_ptr<mem::Region> region_;
    std::uint32_t handle_ = 0;
    std::uint64_t id_ = 0;
    std::shared_ptr<std::atomic<bool>> lost_ = std::make_shared<std::atomic<bool>>(false);
};

class Ion {
   public:
    /// Errors: no_such_link (no vlink of this VM carries vION).
    static Result<std::unique_ptr<Ion>> open(std::shared_ptr<app::Application> application,
                                             Deadline deadline);
    ~Ion() { close(); }
    Ion(const Ion&) = delete;
    Ion& operator=(const Ion&) = delete;

    /// Zeroed memory of this VM; `bytes` is rounded up to pages. Errors: no_memory, system.
    Result<std::unique_ptr<Buffer>> alloc(std::uint64_t bytes);
    /// A buffer by its id, of this VM or another. Waits until the link to that one is UP. Errors:
    /// not_found (stale or made up), no_such_link (nothing leads to that VM), peer_dead (it died
    /// meanwhile: a later id may be good).
    Result<std::unique_ptr<Buffer>> import(std::uint64_t id, Deadline deadline);
    /// No more imports and exports; buffers stay. Idempotent.
    void close();
    app::Application& application() { return *application_; }

   private:
    Ion(std::shared_ptr<app::Application> application, std::uint32_t handle)
        : application_(std::move(application)), handle_(handle) {}
    std::shared_ptr<app::Application> application_;
    std::uint32_t handle_;
};

}  // namespace hyplink::ion
