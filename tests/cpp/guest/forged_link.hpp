/// One vlink between a VM with a real kernel and an application, and a VM that has no kernel and
/// plays one by hand. No threads: `pump` is what a backend would do.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace hostile {

using namespace hyplink;
using guest::Sys;

constexpr VmId kHonest = 2;
constexpr VmId kForger = 3;

struct Waker final : hyp::GuestWaker {
    void wake() override { due = true; }
    bool due = false;
};

struct App final : guest::AppSink {
    void reply(guest::SysReply&& reply) override { replies.push_back(std::move(reply)); }
    std::vector<guest::SysReply> replies;
};

struct ForgedLink {
    sys::RealRuntime runtime{0};
    std::unique_ptr<hyp::Hypervisor> hypervisor;
    Waker waker, forger_waker;
    std::unique_ptr<hyp::LocalHypercalls> calls, forger;
    std::unique_ptr<guest::GuestKernel> kernel;
    App app;
    guest::AppId id = 0;
    std::uint32_t sequence = 0;
    Role role;  ///< the forger's

    ForgedLink(Role of_forger, const char* kind, const char* info, std::uint64_t ports)
        : role(of_forger) {
        hyp::BoardSpec board;
        board.vms = {{kHonest, "honest"}, {kForger, "forger"}};
        const bool serves = role == Role::server;
        board.links = {
            {kind, 0, serves ? kForger : kHonest, serves ? kHonest : kForger, info, info, ports}};
        auto made = hyp::Hypervisor::make(board, runtime, {});
        REQUIRE(made);
        hypervisor = *std::move(made);
        calls = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kHonest);
        forger = std::make_unique<hyp::LocalHypercalls>(*hypervisor, kForger);
        REQUIRE(hypervisor->begin_boot(kHonest, waker));
        kernel = std::make_unique<guest::GuestKernel>(runtime, *calls);
        REQUIRE(kernel->boot());
        auto attached = kernel->app_attach(app);
        REQUIRE(attached);
        id = *attached;
        REQUIRE(hypervisor->begin_boot(kForger, forger_waker));
    }
    /// The forger's view of memory that both kernels share.
    std::byte* shared(const hyp::ResourceReply& at) {
        auto memory = forger->mem_open(at.at);
        REQUIRE(memory);
        return memory->region->data() + (at.at.value - memory->base.value);
    }
    void pump() {
        while (std::exchange(waker.due, false)) kernel->on_events();
    }
    void ask(Sys op, std::uint32_t handle, std::uint64_t first = 0, std::uint64_t second = 0,
             std::string data = {}) {
        guest::SysRequest request;
        request.sequence = ++sequence;
        request.op = op;
        request.handle = handle;
        request.args[0] = first;
        request.args[1] = second;
        request.data = std::move(data);
        kernel->handle(id, std::move(request));
        pump();
    }
    std::uint32_t open_device(const char* name) {
        ask(Sys::open, 0, 0, 0, name);
        REQUIRE(!app.replies.empty() && app.replies.back().code == Errc::ok);
        return static_cast<std::uint32_t>(app.replies.back().values[0]);
    }
    /// The forger's end of the link says this.
    void announce(LinkState state) {
        auto pdev = forger->pdev();
        REQUIRE(pdev);
        auto* table = reinterpret_cast<hyp::VlinkDescriptor*>(pdev->region->data() +
                                                              2 * sizeof(hyp::PdevHeader));
        (role == Role::server ? table[0].s_state : table[0].c_state) =
            static_cast<std::uint32_t>(state);
        const hyp::EndRef end{0, role};
        REQUIRE(forger->publish(std::span(&end, 1)));
        pump();
    }
};

}  // namespace hostile
