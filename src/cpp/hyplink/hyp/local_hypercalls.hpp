/// Hypercalls as direct calls: used where guest and hypervisor share a process, and behind the
/// process backend's message decoder.
#pragma once

#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {

class LocalHypercalls final : public Hypercalls {
   public:
    LocalHypercalls(Hypervisor& hypervisor, VmId vm) : hyp_(&hypervisor), vm_(vm) {}

    Result<Identity> identity() override { return hyp_->identity(vm_); }
    Result<MemoryView> pdev() override { return hyp_->pdev(vm_); }
    Status publish(std::span<const EndRef> ends) override { return hyp_->publish(vm_, ends); }
    Result<std::vector<ResourceReply>> resources(
        std::span<const ResourceRequest> requests) override {
        return hyp_->resources(vm_, requests);
    }
    Result<MemoryView> mem_open(mem::Ipa address) override { return hyp_->mem_open(vm_, address); }
    Result<mem::Ipa> xirq_bell(XirqNumber number, VmId owner) override {
        return hyp_->xirq_bell(vm_, number, owner);
    }
    Status xirq_trigger(XirqNumber number, VmId destination) override {
        return hyp_->xirq_trigger(vm_, number, destination);
    }
    Result<XirqRoute> xirq_route(XirqNumber number, VmId destination) override {
        return hyp_->xirq_route(vm_, number, destination);
    }
    Result<XirqLine> xirq_line(VmId owner, VmId raiser) override {
        return hyp_->xirq_line(vm_, owner, raiser);
    }
    Result<std::vector<XirqNumber>> xirq_numbers(VmId raiser, std::uint32_t first) override {
        return hyp_->xirq_numbers(vm_, raiser, first);
    }
    Result<PortGrant> port_alloc(std::uint32_t slot, std::uint64_t bytes) override {
        return hyp_->port_alloc(vm_, slot, bytes);
    }
    Result<PortGrant> port_open(std::uint32_t slot, std::uint32_t id) override {
        return hyp_->port_open(vm_, slot, id);
    }
    Status port_free(std::uint32_t slot, std::uint32_t id) override {
        return hyp_->port_free(vm_, slot, id);
    }
    Result<mem::Ipa> mem_alloc(std::uint32_t app, std::uint64_t bytes) override {
        return hyp_->mem_alloc(vm_, app, bytes);
    }
    Status mem_free(std::uint32_t app, mem::Ipa at) override {
        return hyp_->mem_free(vm_, app, at);
    }
    Status mem_grant(const MemCall& call) override { return hyp_->mem_grant(vm_, call); }
    Status mem_deny(const MemCall& call) override { return hyp_->mem_deny(vm_, call); }
    Status mem_verify(const MemCall& call) override { return hyp_->mem_verify(vm_, call); }
    Result<std::uint32_t> mem_hold(const MemCall& call) override {
        return hyp_->mem_hold(vm_, call);
    }
    Status mem_release(std::uint32_t app) override { return hyp_->mem_release(vm_, app); }
    Status mem_held(std::uint32_t hold) override { return hyp_->mem_held(vm_, hold); }
    Result<std::vector<WindowPiece>> mem_map(MemRange range, bool writable, Show show) override {
        return hyp_->mem_map(vm_, range, writable, show);
    }
    Status mem_watch(MemRange range, std::uint32_t generation) override {
        return hyp_->mem_watch(vm_, range, generation);
    }
    Status mem_unmap(MemRange range) override { return hyp_->mem_unmap(vm_, range); }
    Result<DmaReply> dma(const DmaOrder& order, const std::shared_ptr<sys::Fd>& object) override {
        return hyp_->dma(vm_, order, object);
    }
    Result<mem::Ipa> lend(std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                          std::uint64_t offset, std::uint64_t bytes, LoanKind kind) override {
        return hyp_->lend(vm_, slot, object, offset, bytes, kind);
    }
    Result<Loan> borrow(std::uint32_t slot, mem::Ipa at) override {
        return hyp_->borrow(vm_, slot, at);
    }
    Status recall(std::uint32_t slot, mem::Ipa at, bool erase) override {
        return hyp_->recall(vm_, slot, at, erase);
    }
    void recall_soon(std::uint32_t slot, mem::Ipa at, bool erase) override {
        (void)hyp_->recall(vm_, slot, at, erase);
    }
    Result<std::shared_ptr<mem::Region>> scope(std::uint32_t app) override {
        return hyp_->scope(vm_, app);
    }
    Status boot_done() override { return hyp_->boot_done(vm_); }
    Status halt() override { return hyp_->halt(vm_); }
    GuestEvents take_events() override { return hyp_->take_events(vm_); }

   private:
    Hypervisor* hyp_;
    VmId vm_;
};

}  // namespace hyplink::hyp
