/// Vlinks whose two ends belong to one application each: vRPC, vMQ and vEvent.
///
/// An application looks an end up and has it until it lets go. Then it *joins*: as soon as the
/// application at the other end has joined, too, both get a fresh port (a memory object of its own,
/// two bells) and what the other one said. From there on no kernel is on the way. A port ends when
/// either end leaves it, dies, or the link goes down; who remains joins again. A client may join
/// `alone`: it has its port at once and whoever comes to the server's end later is given that one.
///
/// PMEM 0 holds a side for each kernel: how often it wanted to join (odd: it does now), what it
/// says, and, the client's, which port it offers to which wish. Own numbers are private and only
/// published; what the peer wrote is loaded once. Thread rule: the guest kernel's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

/// Bytes an application may say to the one at the other end: an input device is described in them.
/// Both sides fill a page.
constexpr std::size_t kMaxPortWords = 1984;

/// Is this a class whose ends applications join? vRPC of the name `vion` is the kernel's own.
bool joins_ports(std::string_view device_class, std::string_view server_info);

/// The most memory ports of such a vlink hold at a time.
constexpr std::uint64_t kPortLinkBudget = std::uint64_t{1} << 30;

struct PortLinkEnd {
    VlinkEnd* end;
    std::string server_info, client_info;
};

/// The devices "vrpc", "vmq" and "vevent", as far as the VM has such vlinks. A null driver when it
/// has none. Errors: bad_argument names the info string.
Result<std::unique_ptr<Driver>> make_port_driver(GuestKernel& kernel,
                                                 const std::vector<PortLinkEnd>& ends);

struct PortSide {
    alignas(64) std::atomic<std::uint32_t> wish;  ///< odd: an application wants to join
    std::atomic<std::uint32_t> words_bytes;
    std::atomic<std::uint64_t> bytes;  ///< of the port that are this side's part
    std::atomic<std::uint64_t> offer;  ///< the client's: port << 32 | wish it is for, 0: anybody
    std::byte words[kMaxPortWords];    ///< for the application at the other end
};
static_assert(sizeof(PortSide) == 2048);

/// One port and what its application needs of it.
struct JoinedPort {
    hyp::PortGrant port;
    StatusWord status;
    std::uint64_t key = 0;  ///< the peer's word that stays the same as long as it is in
    std::uint64_t peer_bytes = 0;
    std::string peer_words;
    std::uint32_t handle = 0;  ///< 0: nobody has asked for it yet
    AppId app = 0;
    bool lost = false;
    bool retired = false;  ///< its application has yet to leave it, the end goes on without
};

/// What an application says when it joins.
struct JoinWish {
    bool alone = false;
    bool wait = true;
    std::uint64_t bytes = 0;
    std::string words;
};

class PortEnd final : public LinkUser, public XirqHandler {
   public:
    PortEnd(GuestKernel& kernel, PortLinkEnd link);
    Status allocate();

    std::string_view device() const { return end_->descriptor().name; }
    /// The text its application looks it up by.
    const std::string& info() const { return info_; }
    VlinkEnd& end() { return *end_; }
    bool taken() const { return taken_; }

    void take(Pending pending, std::unique_ptr<Handle> handle);
    void release();
    void join(Pending pending, JoinWish wish);
    void leave(const std::shared_ptr<JoinedPort>& port);

    Status reset() override;
    Status start() override;
    void up() override;
    void abort() override;
    void stop() override;
    void on_xirq(XirqNumber number) override;

   private:
    PortSide& own() { return sides_[static_cast<std::size_t>(end_->role())]; }
    PortSide& peer() { return sides_[1 - static_cast<std::size_t>(end_->role())]; }
    bool is_client() const { return end_->role() == Role::client; }
    /// A server that stays while its clients change keeps its wish, so none of them misses it.
    bool stays() const;
    /// A vEvent's back end may have nothing to do for long: who comes to it after another one left
    /// finds it without its being asked again.
    bool found_again() const { return device() == "vevent" && !is_client(); }
    void ring();
    void publish_wish();
    void write_wish();
    void withdraw();
    void match();
    /// The other end's words, copied. False: they are impossible, and the link is down.
    bool hear(JoinedPort& port);
    void joined(hyp::PortGrant grant, std::uint64_t key, std::uint64_t peer_bytes);
    void hand_over(const Pending& pending);
    void refuse(const Error& error);
    void look();
    void lose(bool dead);
    void drop();
    void free_port(const JoinedPort& port);
    void say_presence(std::uint32_t wish);
    void corrupt(const char* field, std::uint64_t found);

    GuestKernel* kernel_;
    VlinkEnd* end_;
    std::string info_;
    std::uint64_t memory_bytes_ = 0;  ///< vRPC: the larger of what both ends ask for
    PortSide* sides_ = nullptr;
    BellWords* own_bell_ = nullptr;
    XirqNumber own_xirq_ = 0;
    XirqNumber peer_xirq_ = 0;

    bool taken_ = false;
    AppId app_ = 0;
    StatusWord presence_;  ///< clients that are alone: the server's wish
    std::uint32_t wish_ = 0;
    bool wanted_ = false;  ///< somebody waits, or will ask
    JoinWish said_;
    std::optional<Pending> pending_;
    std::shared_ptr<JoinedPort> port_;
};

}  // namespace hyplink::guest
