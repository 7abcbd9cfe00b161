/// Cross interrupts between two `hyplink-vm` processes without the bench: the sending and the
/// receiving side of hyp/xirq_line.hpp. Thread rule: the VM's one thread.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "hyplink/base/journal.hpp"
#include "hyplink/base/runtime.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::backend {

/// Numbers of other VMs that this kernel raises. A number's bit and bell are asked for once; the
/// line of its owner once for each life of it.
class XirqSender {
   public:
    XirqSender(hyp::Hypercalls& hypercalls, Runtime& runtime)
        : hypercalls_(&hypercalls), runtime_(&runtime) {}
    /// False if the hypervisor must do it, or say why it will not be done.
    bool raise(XirqNumber number, VmId destination);
    /// Some VM has ended or begun a life: ask anew. Nothing of a link's new life is rung before,
    /// because that begins with the SYSCONF that calls this.
    void forget_lines() { lines_.clear(); }
    /// Where raised numbers are accounted for, as the hypervisor does for those that it raises.
    void journal_to(const Scope& scope) { journal_ = scope; }

   private:
    struct Route {
        LinkIndex link = 0;
        std::uint32_t bit = 0;
        BellWords* bell = nullptr;
    };
    const Route* route(XirqNumber number, VmId destination);
    const hyp::XirqLine* line(VmId owner);
    BellWords* bell_at(mem::Ipa at);

    hyp::Hypercalls* hypercalls_;
    Runtime* runtime_;
    VmId self_ = 0;
    Scope journal_;
    std::unordered_map<std::uint64_t, std::optional<Route>> routes_;  // by VM, number
    std::map<VmId, std::optional<hyp::XirqLine>> lines_;
    std::vector<hyp::MemoryView> memory_;  // where bells lie
};

/// Numbers of this VM that others raise: a descriptor for each of them to sleep on.
///
/// A peer that wakes this kernel for nothing, again and again, is not listened to any more: an
/// honest one wakes it in vain at most once for each number it raises, so a line lives on credit
/// that raised numbers earn and vain wakes spend.
class XirqReceiver {
   public:
    explicit XirqReceiver(hyp::Hypercalls& hypercalls) : hypercalls_(&hypercalls) {}
    /// Ask for the lines from every VM of the board; at boot.
    Status open();
    std::size_t size() const { return lines_.size(); }
    VmId raiser(std::size_t line) const { return lines_[line].raiser; }
    bool muted(std::size_t line) const { return lines_[line].credit <= 0; }
    /// To poll; negative, which poll() passes over, while the line is muted.
    int fd(std::size_t line) const { return muted(line) ? -1 : lines_[line].line.fd->get(); }
    /// What the VM at the other end of a line has raised. What it may not raise is left out.
    std::vector<XirqNumber> take(std::size_t line);
    /// Some VM has ended or begun a life, maybe the one at the other end of a muted line.
    void listen_again();

   private:
    static constexpr int kCredit = 1024;
    static constexpr int kUnknown = 64;  ///< what raising numbers that do not exist costs
    struct Incoming {
        VmId raiser = 0;
        hyp::XirqLine line;
        std::vector<XirqNumber> numbers;  // by bit, as far as known
        int credit = kCredit;
    };
    hyp::Hypercalls* hypercalls_;
    std::vector<Incoming> lines_;
};

}  // namespace hyplink::backend
