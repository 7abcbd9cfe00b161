#include "hyplink/guest/ump.hpp"

#include "hyplink/base/text.hpp"
#include "hyplink/guest/rpq_link.hpp"

namespace hyplink::guest {

class UmpHandle final : public Handle {
   public:
    explicit UmpHandle(UmpDriver& driver) : driver_(&driver) {}
    ~UmpHandle() override { drop(); }
    void close() override { drop(); }

    std::set<std::pair<std::uint32_t, std::uint32_t>> ends;

   private:
    void drop() {
        for (const auto& [slot, role] : ends) {
            const Role side = static_cast<Role>(role);
            state_word(driver_->kernel_->descriptor(slot), side)
                .store(static_cast<std::uint32_t>(LinkState::off), std::memory_order_release);
            (void)driver_->publish(slot, side);
            driver_->taken_.erase({slot, role});
        }
        ends.clear();
    }
    UmpDriver* driver_;
};

Result<std::unique_ptr<Handle>> UmpDriver::open(AppId, const std::string&) {
    return std::unique_ptr<Handle>(std::make_unique<UmpHandle>(*this));
}

Status UmpDriver::publish(std::uint32_t slot, Role role) {
    const hyp::EndRef end{slot, role};
    return kernel_->hypercalls().publish(std::span(&end, 1));
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
            return Error::make(Errc::bad_argument, text("vlink slot ", slot, " of ", kernel_->descriptor_count()));
        if (carries_rpq(kernel_->descriptor(static_cast<std::uint32_t>(slot)).name))
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
            const hyp::ResourceRequest wanted{static_cast<hyp::ResourceType>(request.args[0]),
                                              static_cast<std::uint32_t>(request.args[1]),
                                              static_cast<std::uint32_t>(request.args[2]),
                                              static_cast<VmId>(request.args[3]), request.args[4]};
            auto made = kernel_->hypercalls().resources(std::span(&wanted, 1));
            if (!made) return done(std::move(made).error());
            if (made->size() != 1) return done(Errc::internal);
            const hyp::ResourceReply& resource = made->front();
            if (resource.code != Errc::ok)
                return done(Error::make(resource.code, text("resource ", request.args[2], " of vlink slot ",
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
            auto at = kernel_->hypercalls().xirq_bell(static_cast<XirqNumber>(request.args[0]),
                                                      static_cast<VmId>(request.args[1]));
            if (!at) return done(std::move(at).error());
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
            const auto role = static_cast<std::uint32_t>(request.args[1]);
            if (!ump->ends.contains({slot, role})) {
                if (!taken_.insert({slot, role}).second)
                    return done(Error::make(Errc::busy, text("vlink slot ", slot, " is driven by another process")));
                ump->ends.insert({slot, role});
            }
            return done(publish(slot, static_cast<Role>(role)));
        }
        default: return false;
    }
}

}  // namespace hyplink::guest
