/// vRPC as an application uses it: one procedure of another VM, called by name, one call at a time.
///
///     auto client = HYPLINK_TRY(Client::open(application, {.name = "clock"}, deadline));
///     std::memcpy(client->data(), "now", 3);
///     std::uint32_t answered = HYPLINK_TRY(client->call(3, deadline));     // in client->data()
///
///     auto server = HYPLINK_TRY(Server::open(application, {.name = "clock"}, deadline));
///     for (;;) {
///         std::uint32_t asked = HYPLINK_TRY(server->receive(deadline));    // in server->data()
///         server->answer(fill(server->data(), asked));
///     }
///
/// Data lie in the memory of the vlink, no kernel is on the way. Up: calls are answered; no server
/// open at the other end: an answer of size 0; link or server lost during a call: would_block, and
/// the client has to be closed and opened again. Thread rule: one thread at a time. Source:
/// document 001 4.2; vlx-facts 5.1.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "hyplink/app/port/end.hpp"

namespace hyplink::rpc {

/// `vrpc_client_lookup(name, last)`: the start of an info, how many to pass over, and the peer.
struct Name {
    std::string name;
    std::uint64_t over = 0;
    VmId peer = 0;
};

/// The words of a port that both ends use, and the data.
class Words : public rings::ChannelEnd {
   public:
    Words(const port::Joined& joined, Role role);

   protected:
    friend class Client;
    friend class Server;
    /// Errors: corrupt. `limit`: bytes of the data.
    Result<std::uint32_t> size(const std::atomic<std::uint32_t>& word, std::uint64_t limit,
                               const char* doing);
    std::atomic<std::uint64_t>* call_;         ///< the client's: number << 32 | for whom
    std::atomic<std::uint32_t>* call_size_;    ///< the client's
    std::atomic<std::uint64_t>* answer_;       ///< the server's: number
    std::atomic<std::uint32_t>* answer_size_;  ///< the server's
    std::byte* data_;
};

/// Bytes of the memory that its head takes, as in the product: the rest is for data.
inline constexpr std::uint64_t kHeadBytes = 12;

class Client {
   public:
    /// Look an end up and open it. Waits until the link is up. Errors: not_found, busy, timed_out.
    static Result<std::unique_ptr<Client>> open(std::shared_ptr<app::Application> application,
                                                const Name& name, Deadline deadline);
    /// The same with an end that was looked up earlier. Who releases it ends the wait (cancelled).
    static Result<std::unique_ptr<Client>> open(std::shared_ptr<port::End> end, Deadline deadline);
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() {
        close();
        membership_.reset();  // before the memory it speaks of
    }

    /// The memory, in place: parameters before a call, the answer after it.
    std::byte* data() const { return words_->data_; }
    std::uint64_t maxsize() const { return maxsize_; }
    /// Call with the first `size` bytes; returns how many the answer has. Errors: too_long,
    /// would_block (link or server lost: close and open again), busy (an earlier call was given up
    /// and is still being handled), corrupt, timed_out and interrupted (given up).
    Result<std::uint32_t> call(std::uint32_t size, Deadline deadline);
    /// Go on waiting for a call that was given up. Errors: those of `call`, bad_argument (there is
    /// none).
    Result<std::uint32_t> resume(Deadline deadline);
    /// `off` runs with the peer's id once, when the link goes down or its VM dies; in whatever
    /// thread hears of it. It must not call back.
    void off_notifier(std::function<void(VmId)> off);
    /// Is the server's end open?
    bool served() const { return end_->presence() != 0; }
    /// From any thread: who waits in here gets `cancelled`.
    void close();
    bool is_open() const { return end_ && end_->is_open(); }
    port::End& end() { return *end_; }
    rings::ChannelEnd* channel() { return words_.get(); }
    std::shared_ptr<void> keep() const { return words_->context().keep; }

   private:
    Client() = default;
    Result<std::uint32_t> attempt();
    Result<std::uint32_t> wait_for_answer(Deadline deadline);
    std::shared_ptr<port::End> end_;
    port::HeldMembership membership_;
    std::unique_ptr<Words> words_;
    std::uint64_t maxsize_ = 0;
    std::uint32_t number_ = 0;
    std::uint32_t whom_ = 0;
    bool calling_ = false;
};

class Server {
   public:
    /// Errors: not_found, busy.
    static Result<std::unique_ptr<Server>> open(std::shared_ptr<app::Application> application,
                                                const Name& name, Deadline deadline);
    /// The same with an end that was looked up earlier.
    static Result<std::unique_ptr<Server>> open(std::shared_ptr<port::End> end, Deadline deadline);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        close();
        membership_.reset();
    }

    /// Wait for a call; returns how many bytes it has, in `data()`. What was not answered yet is
    /// answered with size 0. Clients come and go, links fall and rise meanwhile. Errors: timed_out,
    /// interrupted, peer_dead (this VM is gone), closed.
    Result<std::uint32_t> receive(Deadline deadline);
    /// Answer it with the first `size` bytes of `data()`. Errors: too_long, bad_argument (no call),
    /// would_block (who called has gone).
    Status answer(std::uint32_t size);
    /// In place; null until the first call was received.
    std::byte* data() const { return words_ ? words_->data_ : nullptr; }
    std::uint64_t maxsize() const { return maxsize_; }
    /// How many clients there were so far; each brings memory of its own.
    std::uint32_t clients() const { return clients_; }
    void off_notifier(std::function<void(VmId)> off) { off_ = std::move(off); }
    void close();
    bool is_open() const { return end_ && end_->is_open(); }
    port::End& end() { return *end_; }
    /// Null until a client was there.
    rings::ChannelEnd* channel() { return words_.get(); }
    std::shared_ptr<void> keep() const { return words_->context().keep; }

   private:
    Server() = default;
    Status enter(port::Joined joined);
    Result<std::uint32_t> attempt();
    std::shared_ptr<port::End> end_;
    port::HeldMembership membership_;
    std::unique_ptr<Words> words_;
    std::function<void(VmId)> off_;
    std::uint64_t maxsize_ = 0;
    std::uint32_t wish_ = 0;
    std::uint32_t number_ = 0;
    std::uint32_t clients_ = 0;
    bool answering_ = false;
};

}  // namespace hyplink::rpc
