/// A VM whose application uses the real library, and one whose application says and writes what it
/// likes: for targets about memory that applications of two VMs share.
///
/// Both kernels are honest and everything runs in one thread: a request is handed over, then both
/// kernels do what there is to do, so whatever can be answered is answered before `send` returns.
/// Hence Deadline{0} everywhere: what would wait has been given up at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "board.hpp"
#include "hyplink/app/application.hpp"

namespace fuzz {

inline constexpr Deadline kNow{0};

/// The victim's way to its kernel.
class DirectLink final : public app::KernelLink, public guest::AppSink {
   public:
    DirectLink(KernelVm& vm, app::Application& application, std::function<void()> settle)
        : vm_(&vm), application_(&application), settle_(std::move(settle)) {
        auto attached = vm.kernel->app_attach(*this);
        FUZZ_CHECK(attached);
        id_ = *attached;
    }
    Status send(guest::SysRequest&& request) override {
        vm_->kernel->handle(id_, std::move(request));
        settle_();
        return {};
    }
    Errc wait(const BellWait& until, Deadline deadline, Turn&, guest::Sys) override {
        return runtime().wait(std::span(&until, 1), deadline);
    }
    void close() override {
        vm_->kernel->app_gone(id_, false);
        settle_();
    }
    void reply(guest::SysReply&& reply) override {
        FUZZ_CHECK(!application_->on_reply(std::move(reply)));  // nobody listens here
    }

   private:
    KernelVm* vm_;
    app::Application* application_;
    std::function<void()> settle_;
    guest::AppId id_ = 0;
};

/// The peer's application: it has no library and keeps all memory it ever got.
class Writer final : public guest::AppSink {
   public:
    Writer(KernelVm& vm, std::function<void()> settle) : vm_(&vm), settle_(std::move(settle)) {
        auto attached = vm.kernel->app_attach(*this);
        FUZZ_CHECK(attached);
        id_ = *attached;
    }
    void reply(guest::SysReply&& reply) override {
        if (reply.code == Errc::ok)
            for (std::size_t i = first_; i < reply.regions.size(); ++i)
                regions.push_back(reply.regions[i]);
        if (reply.sequence != 0) last = std::move(reply);
    }
    /// The handle that was answered, or 0: not answered yet, or refused.
    std::uint32_t ask(guest::Sys op, std::uint32_t handle, std::vector<std::uint64_t> args,
                      std::string data) {
        guest::SysRequest request;
        request.op = op;
        request.sequence = ++sequence_;
        request.handle = handle;
        std::copy(args.begin(), args.end(), request.args);
        request.data = std::move(data);
        // What the openers of a pipe share within their VM is not the other VM's to write.
        first_ = op == guest::Sys::pipe_open ? 1 : 0;
        vm_->kernel->handle(id_, std::move(request));
        settle_();
        return last.sequence == sequence_ && last.code == Errc::ok
                   ? static_cast<std::uint32_t>(last.values[0])
                   : 0;
    }
    void close(std::uint32_t handle) { ask(guest::Sys::close, handle, {}, ""); }
    /// End, and be there anew: what it had in the ports stays mapped here.
    void start_again(bool died) {
        vm_->kernel->app_gone(id_, died);
        settle_();
        auto attached = vm_->kernel->app_attach(*this);
        FUZZ_CHECK(attached);
        id_ = *attached;
    }
    guest::SysReply last;
    std::vector<std::shared_ptr<mem::Region>> regions;

   private:
    KernelVm* vm_;
    std::function<void()> settle_;
    guest::AppId id_ = 0;
    std::uint32_t sequence_ = 0;
    std::size_t first_ = 0;
};

/// Change one word: what is there, more or less, or something else.
inline void scribble(std::span<std::byte> memory, std::size_t at, Input& input) {
    const std::uint8_t how = input.byte();
    if (how < 16) {
        const auto bytes = input.take(input.byte());
        const std::size_t count = std::min(bytes.size(), memory.size() - at);
        if (count != 0) std::memcpy(memory.data() + at, bytes.data(), count);
        return;
    }
    auto& word = *reinterpret_cast<std::atomic<std::uint32_t>*>(memory.data() + at / 4 * 4);
    if (how < 112)
        word = word + (how % 2 == 0 ? 1 : input.number());
    else if (how < 144)
        word = word - (how % 2 == 0 ? 1 : input.number());
    else
        word = input.number();
}

/// The two VMs. `links`: memory of a vlink that its kernels share, by slot and bytes.
class Pair {
   public:
    struct Shared {
        std::uint32_t slot;
        std::uint64_t bytes;
        bool rings;  ///< its kernels have a number each
    };
    Pair(const std::vector<hyp::LinkSpec>& links, const std::vector<Shared>& shared)
        : hypervisor_(make(links)),
          victim(*hypervisor_, kServerVm),
          peer(*hypervisor_, kClientVm),
          writer(peer, [this] { settle(); }),
          calls_(*hypervisor_, kClientVm) {
        settle();
        application = std::make_shared<app::Application>(runtime());
        FUZZ_CHECK(application->attach(
            std::make_unique<DirectLink>(victim, *application, [this] { settle(); })));
        for (const Shared& of : shared) share(of);
    }
    ~Pair() {
        application->close();
        victim.check_serves(victim.apps[1]);
        peer.kernel->app_gone(1, true);
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    void settle() {
        for (int turns = 0; turns < 12 && (victim.waker.due || peer.waker.due); ++turns) {
            victim.pump();
            peer.pump();
        }
        hypervisor_->on_time();
    }
    /// Write into what the kernels share, or make the victim's look at it.
    void disturb_kernel(Input& input) {
        const Memory& memory = memories_[input.byte() % memories_.size()];
        if (input.byte() % 4 != 0)
            scribble(memory.bytes, input.below(static_cast<std::uint32_t>(memory.bytes.size())),
                     input);
        if (memory.number != 0 && input.byte() % 4 != 0)
            (void)calls_.xirq_trigger(memory.number, kServerVm);
        settle();
    }
    /// Write into a port; `hot` bytes at its begin get most of it.
    void disturb_port(Input& input, std::uint32_t hot) {
        if (writer.regions.empty()) return;
        const std::size_t newest = writer.regions.size() - 1;
        const auto region =
            writer.regions[newest - input.byte() % std::min<std::size_t>(writer.regions.size(), 4)];
        const auto bytes = static_cast<std::uint32_t>(region->size());
        scribble(region->bytes(), input.below(input.byte() % 4 != 0 ? std::min(hot, bytes) : bytes),
                 input);
    }

   private:
    struct Memory {
        std::shared_ptr<mem::Region> keep;
        std::span<std::byte> bytes;
        XirqNumber number = 0;  ///< the victim's
    };
    static std::unique_ptr<hyp::Hypervisor> make(const std::vector<hyp::LinkSpec>& links) {
        hyp::BoardSpec board;
        board.vms = {{kServerVm, "victim"}, {kClientVm, "peer"}};
        board.links = links;
        hyp::Limits limits;
        limits.cleanup_grace = 0;
        auto made = hyp::Hypervisor::make(board, runtime(), limits);
        FUZZ_CHECK(made);
        return *std::move(made);
    }
    void share(const Shared& of) {
        using hyp::ResourceType;
        const hyp::LinkSpec& link = hypervisor_->link_spec(of.slot);
        std::vector<hyp::ResourceRequest> wanted{{ResourceType::pmem, of.slot, 0, 0, of.bytes}};
        if (of.rings)
            wanted.push_back(
                {ResourceType::pxirq, of.slot, link.server == kServerVm ? 0U : 1U, kServerVm, 1});
        const auto made = *calls_.resources(wanted);
        for (const hyp::ResourceReply& reply : made) FUZZ_CHECK(reply.code == Errc::ok);
        const auto view = *calls_.mem_open(made[0].at);
        memories_.push_back({view.region,
                             view.region->bytes().subspan(made[0].at.value - view.base.value,
                                                          static_cast<std::size_t>(of.bytes)),
                             of.rings ? made[1].first : 0});
    }

    std::unique_ptr<hyp::Hypervisor> hypervisor_;

   public:
    KernelVm victim;
    KernelVm peer;
    Writer writer;
    std::shared_ptr<app::Application> application;

   private:
    hyp::LocalHypercalls calls_;
    std::vector<Memory> memories_;
};

}  // namespace fuzz
