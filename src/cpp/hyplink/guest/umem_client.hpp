/// vUmem driver, client end (front end): sessions and buffers of this VM's applications, and one
/// remote call at a time to the server.
///
/// Thread rule: the guest kernel's. Source: vlx-facts 3.4–3.7.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>

#include "hyplink/guest/umem_link.hpp"

namespace hyplink::guest {

struct UmemSession {
    AppId app = 0;
    bool master = false;
    std::uint32_t server = 0;  ///< the server it was made with; 0 before the answer
    bool open = false;
    bool dead = false;  ///< its server is gone: EPIPE for ever
    bool gone = false;  ///< closed by the application
    StatusWord status;
};

struct UmemHolding;

struct UmemBuffer {
    std::uint32_t id = 0;
    std::uint32_t server = 0;
    std::uint64_t bytes = 0;  ///< 0: no memory
    std::uint32_t attributes = 0;
    std::vector<umem::Chunk> runs;  ///< of machine memory, neighbours merged
    std::uint64_t token[2] = {0, 0};
    std::uint64_t private_word = 0;
    bool dead = false;
    std::set<AppId> mapped;
    std::vector<UmemHolding*> holdings;
};

/// One open descriptor of a buffer.
struct UmemHolding {
    AppId app = 0;
    std::uint32_t handle = 0;
    std::shared_ptr<UmemBuffer> buffer;
    std::shared_ptr<UmemSession> allocator;   ///< the session that allocated it; only for that one
    std::shared_ptr<UmemSession> registered;  ///< the session it was registered with
    bool imported = false;                    ///< lives without a session
    bool mapped = false;
    bool ended = false;
};

class UmemClientLink final : public UmemLink {
   public:
    using UmemLink::UmemLink;
    using Session = UmemSession;
    using Holding = UmemHolding;
    std::unique_ptr<Handle> open_device(AppId app) override;

    void create_session(Pending pending, bool master);
    void close_session(const std::shared_ptr<Session>& session);
    void alloc(const std::shared_ptr<Session>& session, Pending pending, const std::string& opaque);
    void import(Pending pending, std::uint64_t token_low, std::uint64_t token_high);
    void register_buffer(const std::shared_ptr<Holding>& holding, Pending pending,
                         const std::shared_ptr<Session>& session);
    void unregister_buffer(const std::shared_ptr<Holding>& holding, Pending pending);
    /// `announced`: it may be this holding's own `mapped` that says so.
    void map(const std::shared_ptr<Holding>& holding, Pending pending, bool announced);
    /// The application maps what came with its allocation.
    void mapped(const std::shared_ptr<Holding>& holding, Pending pending);
    void unmap(const std::shared_ptr<Holding>& holding, Pending pending);
    void cache(const std::shared_ptr<Holding>& holding, Pending pending, std::uint64_t operations);
    void control(const std::shared_ptr<Holding>& holding, Pending pending, SysRequest& request);
    /// The descriptor is closed; `pending` waits until the server has freed what is freed by it.
    void free(const std::shared_ptr<Holding>& holding, std::optional<Pending> pending);
    void send_profile(Pending pending, bool reset) { profile(pending, reset); }

    void abort() override;

   private:
    /// A remote call that waits for its turn or is under way. `done` gets no reply when the link or
    /// the server died.
    struct Rpc {
        std::uint32_t server = 0;
        umem::Request request{};
        std::int64_t asked = 0;
        std::function<void(const umem::Reply*)> done;
    };
    struct Creation {
        std::shared_ptr<Session> session;
        Pending pending;
        bool waiting = true;
    };
    void on_up() override;
    void on_call(const umem::Call& call) override;
    void on_reply(umem::Reply reply) override;
    void queue(umem::Command command, AppId app, std::uint32_t server, std::uint32_t buffer,
               std::function<void(const umem::Reply*)> done, std::string_view opaque = {},
               std::uint32_t operation = 0);
    void pump();
    void announce(const std::shared_ptr<Creation>& creation);
    void on_created(const std::shared_ptr<Creation>& creation, const umem::Reply* reply);
    void on_allocated(const std::shared_ptr<Session>& session, Pending pending, bool wanted,
                      const umem::Reply& reply, std::size_t opaque_bytes);
    Status take_layout(const umem::Reply& reply, UmemBuffer& buffer);
    void give(Pending pending, const std::shared_ptr<Holding>& holding, SysReply answer);
    /// Borrow a buffer's memory; adds the objects and where it lies in them.
    Status add_pieces(const UmemBuffer& buffer, SysReply& reply);
    /// To an allocation's answer, so that mapping asks nobody: if it is one object's.
    void add_memory(const UmemBuffer& buffer, SysReply& answer);
    void count_mapping(Holding& holding);
    /// Take a session out of a buffer; the server is told if it was registered.
    void unregister(
        Holding& holding, std::function<void(const umem::Reply*)> done = [](const umem::Reply*) {});
    /// The server with that number is gone (0: any): EPIPE, and mappings are taken away.
    void lose(std::uint32_t server);
    void count_sessions();
    bool fail_if_dead(const Holding& holding, Pending pending, const char* what);

    std::deque<std::shared_ptr<Rpc>> queue_;
    bool under_way_ = false;  // the first of the queue is in the PDEV
    std::set<std::shared_ptr<Session>> sessions_;
    std::weak_ptr<Session> master_;
    std::map<std::uint32_t, std::shared_ptr<UmemBuffer>> buffers_;
    std::vector<std::shared_ptr<Creation>> waiting_up_;
};

}  // namespace hyplink::guest
