/// Hypervisor, guest kernels and applications in one thread: nothing happens until the test says
/// so.
///
///     Machine machine(board());
///     machine.boot(2);
///     auto nk = machine.open(2);      // an application of VM 2 with its NKDDI
///     machine.settle();               // every event that is due reaches its kernel
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "check.hpp"
#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/hyp/local_hypercalls.hpp"

namespace test {

using namespace hyplink;
using nkddi::Nkddi;
using nkddi::VlinkDriver;

/// A clock that moves when told; a wait that nobody can end times out at once.
class ManualRuntime final : public Runtime {
   public:
    std::function<void()> settle;
    std::int64_t clock = 0;
    int wakes = 0;

    std::int64_t now() override { return ++clock; }
    Errc wait(std::span<const BellWait> bells, Deadline) override {
        settle();
        for (const BellWait& wait : bells)
            if (bell_seen(*wait.bell) != wait.seen) return Errc::ok;
        return Errc::timed_out;
    }
    bool wake(BellWords&) override { return ++wakes, true; }
};

class Machine {
   public:
    explicit Machine(const hyp::BoardSpec& board) {
        runtime.settle = [this] { settle(); };
        auto made = hyp::Hypervisor::make(board, runtime, {});
        if (!made) throw check::Stop{};
        hypervisor = *std::move(made);
        hypervisor->enable_journal(true);
    }
    ~Machine() {
        for (auto& [vm, guest] : guests_) kill(vm);
    }

    void boot(VmId vm) {
        Guest& guest = guests_[vm];
        if (!hypervisor->begin_boot(vm, guest)) throw check::Stop{};
        guest.calls = std::make_unique<hyp::LocalHypercalls>(*hypervisor, vm);
        guest.kernel = std::make_unique<guest::GuestKernel>(runtime, *guest.calls);
        if (!guest.kernel->boot()) throw check::Stop{};
        settle();
    }
    void kill(VmId vm) {
        Guest& guest = guests_[vm];
        if (!guest.kernel) return;
        hypervisor->vm_gone(vm);
        for (Link* link : std::vector(guest.links)) link->application->on_lost("the VM died");
        guest.links.clear();
        guest.kernel.reset();
        guest.due = false;
    }
    std::shared_ptr<app::Application> attach(VmId vm) {
        auto application = std::make_shared<app::Application>(runtime);
        auto link = std::make_unique<Link>(guests_[vm], *application);
        if (!application->attach(std::move(link))) throw check::Stop{};
        return application;
    }
    std::unique_ptr<Nkddi> open(VmId vm) {
        auto made = Nkddi::open(attach(vm));
        if (!made) throw check::Stop{};
        return *std::move(made);
    }
    /// The application's process dies: nothing was closed.
    void die(Nkddi& nk) {
        for (auto& [vm, guest] : guests_)
            for (Link* link : std::vector(guest.links))
                if (link->application == &nk.application()) link->leave(true);
        nk.application().on_lost("the process died");
        settle();
    }
    void settle() {
        for (bool moved = true; moved;) {
            moved = false;
            for (auto& [vm, guest] : guests_) {
                if (!guest.due || !guest.kernel) continue;
                guest.due = false;
                moved = true;
                guest.kernel->on_events();
            }
        }
    }
    /// Let every one of these take what is pending until nothing is.
    void run(std::initializer_list<Nkddi*> all) {
        for (bool moved = true; moved;) {
            settle();
            moved = false;
            for (Nkddi* nk : all) {
                if (nk == nullptr) continue;
                const auto number = nk->take();
                if (!number || *number == 0) continue;
                nk->deliver(*number);
                moved = true;
            }
        }
    }
    /// Records of one kind, of all scopes.
    std::vector<Record> journal(Event event) {
        std::vector<Record> found;
        for (const auto& scope : hypervisor->scopes())
            for (const Record& record : Scope::read(scope.region->bytes()))
                if (record.event == static_cast<std::uint16_t>(event)) found.push_back(record);
        return found;
    }

    ManualRuntime runtime;
    std::unique_ptr<hyp::Hypervisor> hypervisor;
    /// Requests of applications to the VM's kernel so far.
    int requests(VmId vm) { return guests_[vm].sent; }

   private:
    struct Link;
    struct Guest final : hyp::GuestWaker {
        std::unique_ptr<hyp::LocalHypercalls> calls;
        std::unique_ptr<guest::GuestKernel> kernel;
        std::vector<Link*> links;
        bool due = false;
        int sent = 0;
        void wake() override { due = true; }
    };
    struct Link final : app::KernelLink, hyplink::guest::AppSink {
        Link(Guest& owner, app::Application& whose) : guest(&owner), application(&whose) {
            auto made = guest->kernel->app_attach(*this);
            if (!made) throw check::Stop{};
            id = *made;
            guest->links.push_back(this);
        }
        ~Link() override { leave(false); }
        Status send(hyplink::guest::SysRequest&& request) override {
            if (!alive()) return Errc::peer_dead;
            ++guest->sent;
            guest->kernel->handle(id, std::move(request));
            return {};
        }
        hyplink::Errc wait(const hyplink::BellWait& until, hyplink::Deadline deadline, Turn&,
                           hyplink::guest::Sys) override {
            return application->runtime().wait(std::span(&until, 1), deadline);
        }
        void close() override { leave(false); }
        void reply(hyplink::guest::SysReply&& reply) override {
            application->on_reply(std::move(reply));
        }
        bool alive() const {
            return std::find(guest->links.begin(), guest->links.end(), this) != guest->links.end();
        }
        void leave(bool died) {
            if (!alive()) return;
            std::erase(guest->links, this);
            guest->kernel->app_gone(id, died);
        }
        Guest* guest;
        app::Application* application;
        hyplink::guest::AppId id = 0;
    };
    std::map<VmId, Guest> guests_;
};

}  // namespace test
