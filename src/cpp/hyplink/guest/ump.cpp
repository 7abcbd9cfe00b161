#include "hyplink/guest/ump.hpp"

#include "hyplink/base/text.hpp"

namespace hyplink::guest {

class UmpHandle final : public Handle {
   public:
    UmpHandle(UmpDriver& driver, AppId app) : driver_(&driver), app_(app) {}
    ~UmpHandle() override { drop(); }
    void close() override { drop(); }

    /// Make an end this application's own. False if another one has it.
    bool take(std::uint32_t slot, Role role) {
        const std::pair end{slot, static_cast<std::uint32_t>(role)};
        if (ends.contains(end)) return true;
        return driver_->taken_.insert(end).second && ends.insert(end).second;
    }
    bool attach(XirqNumber number) {
        if (xirqs.contains(number)) return true;
        return driver_->attached_.insert(number).second && xirqs.insert(number).second;
    }
    void detach(XirqNumber number) {
        if (xirqs.erase(number) != 0) driver_->attached_.erase(number);
    }

    std::set<std::pair<std::uint32_t, std::uint32_t>> ends;
    std::set<XirqNumber> xirqs;

   private:
    void drop() {
        if (driver_ == nullptr) return;
        for (XirqNumber number : xirqs) driver_->attached_.erase(number);
        xirqs.clear();
        for (const auto& [slot, role] : ends) {
            const Role side = static_cast<Role>(role);
            state_word(driver_->kernel_->descriptor(slot), side)
                .store(static_cast<std::uint32_t>(LinkState::off), std::memory_order_release);
            (void)driver_->publish(slot, side);
            driver_->taken_.erase({slot, role});
        }
        ends.clear();
        driver_->users_.erase(app_);
        driver_ = nullptr;
    }
    UmpDriver* driver_;
    AppId app_;
};

Result<std::unique_ptr<Handle>> UmpDriver::open(AppId app, const std::string& device) {
    if (!users_.insert(app).second)
        return Error::make(Errc::busy, text("open ", device,
                                            ": this application has it open: it has one SYSCONF"));
    return std::unique_ptr<Handle>(std::make_unique<UmpHandle>(*this, app));
}

Status UmpDriver::publish(std::uint32_t slot, Role role) {
    const hyp::EndRef end{slot, role};
    return kernel_->hypercalls().publish(std::span(&end, 1));
}

Error UmpDriver::driven(std::uint32_t slot) {
    return Error::make(Errc::busy, text("vlink slot ", slot, " is driven by another process"));
}

Status UmpDriver::take_ends(UmpHandle& handle, std::uint32_t slot) {
    const hyp::VlinkDescriptor& link = kernel_->descriptor(slot);
    // Two applications may share a loopback: each takes its side when it announces it.
    if (link.s_id == link.c_id) return {};
    const Role role = link.s_id == kernel_->identity().id ? Role::server : Role::client;
    if (!handle.take(slot, role)) return driven(slot);
    return {};
}

bool UmpDriver::handle(Pending pending, Handle& handle, SysRequest& request) {
    auto* ump = dynamic_cast<UmpHandle*>(&handle);
    if (ump == nullptr) return false;
    SysReply reply;
    auto done = [&](const Status& status) {
        status ? kernel_->answer(pending, std::move(reply))
               : kernel_->fail(pending, status.code(), status.error().text());
        return true;
    };
    // A slot of a class that a kernel driver owns is not for applications.
    auto check_slot = [&](std::uint64_t slot) -> Status {
        if (slot >= kernel_->descriptor_count())
            return Error::make(Errc::bad_argument,
                               text("vlink slot ", slot, " of ", kernel_->descriptor_count()));
        if (kernel_->drives(static_cast<std::uint32_t>(slot)))
            return Error::make(Errc::busy, text("vlink slot ", slot, " is driven by the kernel"));
        return {};
    };
    switch (request.op) {
        case Sys::ump_identity: {
            auto identity = kernel_->hypercalls().identity();
            if (!identity) return done(std::move(identity).error());
            reply.values[0] = identity->id;
            reply.values[1] = identity->last_id;
            reply.values[2] = identity->running;
            reply.values[3] = kernel_->pdev().base.value;
            reply.regions = {kernel_->pdev().region};
            return done({});
        }
        case Sys::ump_resource: {
            if (Status slot = check_slot(request.args[1]); !slot) return done(slot);
            if (Status own = take_ends(*ump, static_cast<std::uint32_t>(request.args[1])); !own)
                return done(own);
            const hyp::ResourceRequest wanted{static_cast<hyp::ResourceType>(request.args[0]),
                                              static_cast<std::uint32_t>(request.args[1]),
                                              static_cast<std::uint32_t>(request.args[2]),
                                              static_cast<VmId>(request.args[3]), request.args[4]};
            auto made = kernel_->hypercalls().resources(std::span(&wanted, 1));
            if (!made) return done(std::move(made).error());
            if (made->size() != 1) return done(Errc::internal);
            const hyp::ResourceReply& resource = made->front();
            if (resource.code != Errc::ok)
                return done(
                    Error::make(resource.code, text("resource ", request.args[2], " of vlink slot ",
                                                    request.args[1], ": ", name(resource.code))));
            reply.values[0] = resource.first;
            reply.values[1] = resource.at.value;
            return done({});
        }
        case Sys::ump_memory: {
            auto view = kernel_->hypercalls().mem_open(mem::Ipa{request.args[0]});
            if (!view) return done(std::move(view).error());
            reply.values[0] = view->base.value;
            reply.regions = {view->region};
            return done({});
        }
        case Sys::ump_bell: {
            const auto number = static_cast<XirqNumber>(request.args[0]);
            const auto owner = static_cast<VmId>(request.args[1]);
            const auto what = static_cast<UmpBell>(request.args[2]);
            if (what == UmpBell::detach) {
                ump->detach(number);
                return done({});
            }
            auto at = kernel_->hypercalls().xirq_bell(number, owner);
            if (!at) return done(std::move(at).error());
            // A bell has one waiting owner: two would take each other's arming away.
            if (what == UmpBell::attach &&
                (owner != kernel_->identity().id || !ump->attach(number)))
                return done(
                    Error::make(owner != kernel_->identity().id ? Errc::not_permitted : Errc::busy,
                                text("attach XIRQ ", number, " of VM ", owner, ": another one's")));
            reply.values[0] = at->value;
            return done({});
        }
        case Sys::ump_trigger:
            return done(kernel_->hypercalls().xirq_trigger(static_cast<XirqNumber>(request.args[0]),
                                                           static_cast<VmId>(request.args[1])));
        case Sys::ump_publish: {
            if (Status slot = check_slot(request.args[0]); !slot) return done(slot);
            if (request.args[1] > 1) return done(Errc::bad_argument);
            const auto slot = static_cast<std::uint32_t>(request.args[0]);
            const auto role = static_cast<Role>(request.args[1]);
            // An end that is OFF and nobody's stays nobody's: there is nothing to announce.
            if (!taken_.contains({slot, static_cast<std::uint32_t>(role)}) &&
                state_word(kernel_->descriptor(slot), role).load(std::memory_order_acquire) ==
                    static_cast<std::uint32_t>(LinkState::off))
                return done({});
            if (!ump->take(slot, role)) return done(driven(slot));
            return done(publish(slot, role));
        }
        default:
            return false;
    }
}

}  // namespace hyplink::guest
