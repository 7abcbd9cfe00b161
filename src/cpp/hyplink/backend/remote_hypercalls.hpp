/// Hypercalls as messages: the guest's end of a `hyplink-vm` process.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "hyplink/backend/codec.hpp"
#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/xirq_lines.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::backend {

class RemoteHypercalls final : public hyp::Hypercalls {
   public:
    /// `offers`: where what others lend to this VM comes before it is asked for.
    RemoteHypercalls(int socket, sys::Fd offers, Runtime& runtime)
        : socket_(socket), offers_(std::move(offers)), sender_(*this, runtime) {}

    Result<hyp::Identity> identity() override;
    Result<hyp::MemoryView> pdev() override;
    Status publish(std::span<const hyp::EndRef> ends) override;
    Result<std::vector<hyp::ResourceReply>> resources(
        std::span<const hyp::ResourceRequest> requests) override;
    Result<hyp::MemoryView> mem_open(mem::Ipa address) override;
    Result<mem::Ipa> xirq_bell(XirqNumber number, VmId owner) override;
    /// Rings the other kernel directly where it can.
    Status xirq_trigger(XirqNumber number, VmId destination) override;
    Result<hyp::XirqRoute> xirq_route(XirqNumber number, VmId destination) override;
    Result<hyp::XirqLine> xirq_line(VmId owner, VmId raiser) override;
    Result<std::vector<XirqNumber>> xirq_numbers(VmId raiser, std::uint32_t first) override;
    Result<hyp::PortGrant> port_alloc(std::uint32_t slot, std::uint64_t bytes) override;
    Result<hyp::PortGrant> port_open(std::uint32_t slot, std::uint32_t id) override;
    Status port_free(std::uint32_t slot, std::uint32_t id) override;
    Result<mem::Ipa> mem_alloc(std::uint32_t app, std::uint64_t bytes) override;
    Status mem_free(std::uint32_t app, mem::Ipa at) override;
    Status mem_grant(const hyp::MemCall& call) override;
    Status mem_deny(const hyp::MemCall& call) override;
    Status mem_verify(const hyp::MemCall& call) override;
    Result<std::uint32_t> mem_hold(const hyp::MemCall& call) override;
    Status mem_release(std::uint32_t app) override;
    Status mem_held(std::uint32_t hold) override;
    Status mem_watch(hyp::MemRange range, std::uint32_t generation) override;
    Result<std::vector<hyp::WindowPiece>> mem_map(hyp::MemRange range, bool writable,
                                                  hyp::Show show) override;
    Status mem_unmap(hyp::MemRange range) override;
    Result<hyp::DmaReply> dma(const hyp::DmaOrder& order,
                              const std::shared_ptr<sys::Fd>& object) override;
    Result<mem::Ipa> lend(std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                          std::uint64_t offset, std::uint64_t bytes, hyp::LoanKind kind) override;
    Result<hyp::Loan> borrow(std::uint32_t slot, mem::Ipa at) override;
    Status recall(std::uint32_t slot, mem::Ipa at, bool erase) override;
    void recall_soon(std::uint32_t slot, mem::Ipa at, bool erase) override;
    Result<std::shared_ptr<mem::Region>> scope(std::uint32_t app) override;
    Status boot_done() override;
    Status halt() override;
    hyp::GuestEvents take_events() override;

    /// True if a SYSCONF has come since this was asked last.
    bool had_sysconf() { return std::exchange(had_sysconf_, false); }
    /// Messages that arrived while an answer was awaited; the event loop takes them first.
    std::deque<sys::Message>& unread() { return unread_; }

    /// What nobody waits for and was not sent yet: it goes with the next hypercall, or by this.
    bool has_put_off() const { return !put_off_.empty(); }
    void send_put_off();

   private:
    struct Answer {
        sys::Message message;
        Unpacker results;
    };
    Result<Answer> call(const Packer& request, std::span<const int> fds = {});
    Result<Answer> mem_call(HypOp op, const hyp::MemCall& call);
    Result<hyp::MemoryView> view(const Packer& request);
    Result<hyp::PortGrant> port(const Packer& request);
    /// A loan that was offered already, and that nobody has taken yet.
    std::optional<hyp::Loan> offered(std::uint32_t slot, mem::Ipa at);
    struct Offer {
        std::uint32_t slot = 0;
        hyp::Loan loan;
    };
    int socket_;
    sys::Fd offers_;
    std::deque<Offer> offered_;
    std::deque<sys::Message> unread_;
    std::vector<Packer> put_off_;
    VmId self_ = 0;
    bool had_sysconf_ = false;
    XirqSender sender_;
};

}  // namespace hyplink::backend
