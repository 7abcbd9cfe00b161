/// A board of two VMs for targets that need a real hypervisor and real guest kernels: no threads,
/// no waiting. Whoever drives it calls `on_events()` where a backend would be woken.
#pragma once

#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "fuzz.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace fuzz {

using namespace hyplink;

constexpr VmId kServerVm = 2;
constexpr VmId kClientVm = 3;

inline sys::RealRuntime& runtime() {
    static sys::RealRuntime only(0);
    return only;
}

class Waker final : public hyp::GuestWaker {
   public:
    void wake() override { due = true; }
    bool due = false;
};

/// A vogl link for the kernels' vRPQ driver, a free one for applications, a loopback.
inline std::unique_ptr<hyp::Hypervisor> make_board() {
    hyp::BoardSpec board;
    board.vms = {{kServerVm, "server", {}, {kClientVm}}, {kClientVm, "client", {}, {kServerVm}}};
    const std::string info = "vrpq-pmem=256K,vrpq-reqs=256";
    board.links = {{"vogl", 0, kServerVm, kClientVm, info, "", 1 << 20},
                   {"free", 1, kClientVm, kServerVm, "", "", 1 << 20},
                   {"loop", 2, kServerVm, kServerVm, "", "", 1 << 20}};
    hyp::Limits limits;
    limits.cleanup_grace = 0;
    limits.grant_level = hyp::GrantLevel::memfd;
    auto made = hyp::Hypervisor::make(board, runtime(), limits);
    FUZZ_CHECK(made);
    return *std::move(made);
}

/// One application: what it was answered.
class App final : public guest::AppSink {
   public:
    void reply(guest::SysReply&& reply) override {
        const auto found = open.find(reply.sequence);
        FUZZ_CHECK(found != open.end());  // each request is answered once
        open.erase(found);
        if (reply.code == Errc::ok && reply.values[0] != 0 && reply.values[0] < 4096)
            handles.push_back(static_cast<std::uint32_t>(reply.values[0]));
        last = std::move(reply);
    }
    guest::AppId id = 0;
    std::multiset<std::uint32_t> open;  // requests that wait
    std::vector<std::uint32_t> handles;
    guest::SysReply last;
};

/// A VM with a real kernel.
class KernelVm {
   public:
    KernelVm(hyp::Hypervisor& hypervisor, VmId vm) : hypervisor_(&hypervisor), vm_(vm) { boot(); }
    ~KernelVm() { down(); }
    KernelVm(const KernelVm&) = delete;
    KernelVm& operator=(const KernelVm&) = delete;

    void boot() {
        hypercalls_ = std::make_unique<hyp::LocalHypercalls>(*hypervisor_, vm_);
        FUZZ_CHECK(hypervisor_->begin_boot(vm_, waker));
        kernel = std::make_unique<guest::GuestKernel>(runtime(), *hypercalls_);
        FUZZ_CHECK(kernel->boot());
        for (App& app : apps) {
            app.open.clear();
            app.handles.clear();
            attach(app);
        }
    }
    void attach(App& app) {
        auto id = kernel->app_attach(app);
        FUZZ_CHECK(id.has_value() != kernel->halted());  // a VM that is off takes no application
        app.id = id ? *id : 0;
    }
    void leave(App& app, bool died) {
        kernel->app_gone(app.id, died);
        app.open.clear();
        app.handles.clear();
    }
    void down() {
        if (!kernel) return;
        hypervisor_->vm_gone(vm_);
        kernel.reset();
    }
    /// Deliver what there is. A bound of our own: the other side may keep it coming.
    bool pump(int turns = 8) {
        for (; turns > 0 && std::exchange(waker.due, false); --turns) kernel->on_events();
        return turns != 0;
    }
    /// A request with bytes for arguments and, often, a handle that is open.
    void ask(App& app, Input& input) {
        static constexpr guest::Sys kOps[] = {
            guest::Sys::hello,
            guest::Sys::open,
            guest::Sys::close,
            guest::Sys::list,
            guest::Sys::cancel,
            guest::Sys::rpq_session_create,
            guest::Sys::rpq_session_accept,
            guest::Sys::rpq_channel_create,
            guest::Sys::rpq_channel_accept,
            guest::Sys::ump_identity,
            guest::Sys::ump_resource,
            guest::Sys::ump_memory,
            guest::Sys::ump_bell,
            guest::Sys::ump_trigger,
            guest::Sys::ump_publish,
            guest::Sys::mem_alloc,
            guest::Sys::mem_grant,
            guest::Sys::mem_deny,
            guest::Sys::mem_hold,
            guest::Sys::mem_verify,
            guest::Sys::mem_map,
            guest::Sys::mem_unmap,
        };
        static constexpr const char* kDevices[] = {"vrpq-srv-vogl0", "/dev/vrpq-clt-vogl0",
                                                   "vlx-ump", "vlx-mem", ""};
        guest::SysRequest request;
        const std::uint8_t how = input.byte();
        request.op =
            how < 250 ? kOps[how % std::size(kOps)] : static_cast<guest::Sys>(input.number());
        request.sequence =
            !app.open.empty() && input.byte() % 16 == 0 ? *app.open.begin() : next_++;
        request.handle = app.handles.empty() || input.byte() % 8 == 0
                             ? input.number()
                             : app.handles[input.byte() % app.handles.size()];
        if (request.op == guest::Sys::open) {
            const std::uint8_t device = input.byte() % 8;
            request.data = device < 7 ? kDevices[device % std::size(kDevices)] : input.text(40);
        } else {
            for (auto& argument : request.args)
                argument = input.byte() % 4 == 0 ? input.wide() : input.number();
            request.data = input.text(255);
            if (request.op == guest::Sys::cancel && !app.open.empty())
                request.args[0] = *app.open.begin();
        }
        // A channel's memory is cleared when it is made: keep it small, this is no memory test.
        if (request.op == guest::Sys::rpq_channel_create) request.args[0] %= 40'000;
        send(app, std::move(request));
    }
    std::uint32_t send(App& app, guest::SysRequest request) {
        const std::uint32_t sequence = request.sequence;
        if (app.id == 0) return sequence;
        app.open.insert(sequence);
        kernel->handle(app.id, std::move(request));
        return sequence;
    }
    /// Whatever has happened, the kernel still serves.
    void check_serves(App& app) {
        guest::SysRequest request;
        request.op = guest::Sys::list;
        request.sequence = next_++;
        send(app, std::move(request));
        if (app.id == 0) return;
        FUZZ_CHECK(app.last.sequence == next_ - 1);
        FUZZ_CHECK(kernel->halted() ? app.last.code == Errc::peer_dead
                                    : app.last.data.find("vlx-ump") != std::string::npos ||
                                          app.last.code == Errc::no_memory);
    }

    Waker waker;
    std::unique_ptr<guest::GuestKernel> kernel;
    App apps[2];

   private:
    hyp::Hypervisor* hypervisor_;
    VmId vm_;
    std::unique_ptr<hyp::LocalHypercalls> hypercalls_;
    std::uint32_t next_ = 1;
};

}  // namespace fuzz
