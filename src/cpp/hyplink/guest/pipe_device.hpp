/// A pipe as the applications of one VM have it open: the rendez-vous, its openers, its end.
///
///     closed ──first open──▸ opening ──both links ON──▸ open ──peer OFF──▸ lost
///        ◂──────────────────── the last opener closes ──────────────────────┘
///
/// As long as anybody has a lost pipe open, its vlinks stay OFF and more opens join the dead pipe:
/// to meet the peer again everybody has to close. Source: vlx-facts 4.1. Thread rule: the guest
/// kernel's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/guest/pipe_link.hpp"
#include "hyplink/ring/channel_end.hpp"

namespace hyplink::guest {

class PipeDevice final : public PipeOwner {
   public:
    PipeDevice(GuestKernel& kernel, PipeKind kind) : kernel_(&kernel), kind_(kind) {}

    /// One direction; of each role at most one.
    Status add(VlinkEnd& end, PipeConfig config);
    void set_name(std::string name) { name_ = std::move(name); }
    const std::string& name() const { return name_; }
    /// The configuration of this VM's own node.
    const PipeConfig& config() const;
    PipeKind kind() const { return kind_; }

    /// `how`: bits kPipe….
    void open(Pending pending, std::uint64_t how);
    /// An application closed it, or died.
    void close(std::uint32_t opener);

    void link_up() override;
    void link_down(bool peer_had_opened) override;
    void link_failed(const Error& why) override;

   private:
    enum class State { closed, opening, open, lost };
    /// What the pipe consists of once it is open; it outlives the vlinks' ON.
    struct Memory {
        std::shared_ptr<mem::Region> local, in, out;
    };
    void complete(State state);
    void answer(const Pending& pending);
    void lose();
    void tell(const StatusWord& word, rings::ChannelState state);
    void recover(std::uint32_t opener);
    void fail_waiting(const Error& why);
    void end_if_unused();
    void want(bool on);
    template <class Body>
    void each_link(Body&& body) {
        if (in_) body(*in_);
        if (out_) body(*out_);
    }

    GuestKernel* kernel_;
    PipeKind kind_;
    std::string name_;
    std::unique_ptr<PipeLink> in_, out_;  // this VM reads, writes
    State state_ = State::closed;
    std::vector<Pending> waiting_;
    struct Opener {
        AppId app = 0;
        StatusWord status;
    };
    std::map<std::uint32_t, Opener> openers_;
    std::uint32_t next_opener_ = 1;
    Memory memory_;
};

}  // namespace hyplink::guest
