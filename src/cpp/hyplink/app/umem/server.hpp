/// A vUmem server program: receives what clients ask for, and lends memory of its own.
///
///     auto server = HYPLINK_TRY(Server::create(application, "vumem-srv-vogl0", deadline));
///     for (;;) {
///         Request request = HYPLINK_TRY(server->receive(Deadline::never()));
///         Response response;
///         response.buffer = request.buffer;                     // must come back as it was
///         if (request.command == Command::alloc) response.memory =
///         HYPLINK_TRY(Memory::make(size)); HYPLINK_TRY(server->respond(response));
///     }
///
/// Receive and respond alternate strictly. After a client VM died both fail with peer_dead until
/// the server is destroyed and made again. Memory is the server's alone again once the request that
/// frees its buffer was responded to, or the server is destroyed, or its application is closed:
/// that destroys it first. What a program had lent that dies is emptied. Thread rule: any thread;
/// one operation at a time, a second one gets busy. Source: spec 002 3.2.3.2; vlx-facts 3.
#pragma once

#include <mutex>
#include <string>

#include "hyplink/app/application.hpp"
#include "hyplink/app/umem/memory.hpp"
#include "hyplink/guest/umem_area.hpp"

namespace hyplink::umem {

using guest::umem::Command;
constexpr std::uint32_t kMaxOpaque = guest::umem::kMaxOpaque;

struct Request {
    Command command = Command::none;
    std::uint32_t buffer = 0;
    VmId vm = 0;
    std::uint32_t app = 0;
    std::string opaque;  ///< of alloc and control
};

struct Response {
    int error = 0;             ///< an errno; outside 0..4095 the client sees EINVAL
    std::uint32_t buffer = 0;  ///< of the request; only alloc looks at it
    std::string opaque;        ///< goes back: as many bytes as the client gave
    // The memory of an allocated buffer: one of these.
    std::shared_ptr<Memory> memory;
    void* place = nullptr;
    std::uint64_t bytes = 0;
    bool no_memory = false;  ///< VUMEM_BUFFER_NO_VADDR
    std::shared_ptr<void> keep;
    std::uint32_t attributes = guest::umem::kOrdinary;
};

class Server final : public app::ClosesFirst {
   public:
    /// Waits for the link. Errors: no_such_link, busy (there is one), timed_out, shutting_down.
    static Result<std::shared_ptr<Server>> create(std::shared_ptr<app::Application> application,
                                                  const std::string& device, Deadline deadline);
    ~Server() override { destroy(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Errors: bad_argument (the last request was not responded to), busy (another operation is
    /// under way), peer_dead, closed, timed_out, interrupted.
    Result<Request> receive(Deadline deadline);
    /// Errors: bad_argument (no request, another buffer id, memory that is not whole pages of one
    /// mapping, more than 128 opaque bytes), too_long (raise vumem-pdev), busy, peer_dead, closed.
    /// A response that is refused for what is in it still ends the request: its client gets the
    /// same error.
    Status respond(const Response& response);
    /// Both in one step: the next request is waited for without coming back in between, which
    /// saves the kernel and the caller a wake-up each. Errors: those of both; after bad_argument,
    /// too_long and whatever else `respond` has against the response nothing was received.
    Result<Request> respond_and_receive(const Response& response, Deadline deadline);
    /// Clients are told first, then all memory is the server's alone again. Idempotent; returns
    /// when it is done, whoever does it.
    void destroy();
    void close_first() override { destroy(); }

    /// What the request to be responded to asks for.
    Command last_command() {
        const std::lock_guard lock(mutex_);
        return last_.command;
    }
    bool is_open() const { return open_; }
    std::uint32_t number() const { return number_; }
    const std::string& device() const { return device_; }
    app::Application& application() { return *application_; }

   private:
    /// A response on its way.
    struct Prepared {
        guest::SysRequest call;
        std::uint32_t buffer = 0;
        bool lends = false;
        Status unfit;  ///< why the memory cannot be lent; the client gets the same
    };
    /// Under the lock.
    Prepared prepare(const Response& response);
    Status finish(Prepared prepared);
    Request received(guest::SysReply reply);

    Server(std::shared_ptr<app::Application> application, std::string device)
        : application_(std::move(application)), device_(std::move(device)) {}

    std::shared_ptr<app::Application> application_;
    std::string device_;
    std::uint32_t device_handle_ = 0;
    std::uint32_t handle_ = 0;
    std::uint32_t number_ = 0;
    std::atomic<bool> open_{false};
    std::mutex destroying_;
    std::mutex mutex_;  // of the ledger and of the last request
    Ledger ledger_;
    Request last_;
};

}  // namespace hyplink::umem
