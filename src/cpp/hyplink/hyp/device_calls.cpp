/// Hypervisor: orders to the devices of VMs, and what becomes of them. See dma.hpp.
#include <algorithm>

#include "hyplink/hyp/hypervisor.hpp"

namespace hyplink::hyp {

Result<DmaReply> Hypervisor::dma(VmId caller, const DmaOrder& order,
                                 const std::shared_ptr<sys::Fd>& object) {
    runtime_->switch_point(SwitchPoint::hypercall);
    std::lock_guard lock(mutex_);
    HYPLINK_TRY(guest(caller));
    DmaReply reply;
    switch (order.op) {
        case DmaOp::attach: {
            std::uint64_t bytes = 0;
            HYPLINK_TRY(devices_.attach(caller, order.app, object, grants_, bytes));
            reply.at = addresses_.take(bytes).value;
            devices_.place(caller, order.app, reply.at, bytes, object);
            return reply;
        }
        case DmaOp::detach:
            HYPLINK_TRY(devices_.detach(caller, order.app, order.to));
            return reply;
        case DmaOp::start:
            reply.job = HYPLINK_TRY(devices_.start(caller, order));
            write(Event::dma_start, Record::kNoLink, caller, reply.job, order.bytes);
            note_change();  // there is a deadline now: at once
            return reply;
        case DmaOp::look:
            return devices_.look(caller, order.app, order.job);
        case DmaOp::stop:
            HYPLINK_TRY(devices_.stop(caller, order.app, order.job));
            dma_ended(caller, HYPLINK_TRY(devices_.look(caller, order.app, order.job)));
            return reply;
        case DmaOp::leave:
            devices_.leave(caller, order.app);
            return reply;
    }
    return Error::make(Errc::bad_argument, "an unknown order to a device");
}

void Hypervisor::dma_ended(VmId id, const DmaReply& reply) {
    Vm& vm = *find(id);
    if (reply.state == DmaState::faulted)
        write(Event::dma_fault, Record::kNoLink, id | static_cast<std::uint32_t>(reply.fault) << 16,
              reply.at, reply.done);
    else
        write(Event::dma_end, Record::kNoLink, id, reply.job, reply.done);
    if (vm.waker == nullptr) return;
    vm.dma_pending.push_back(reply.job);
    vm.waker->wake();
}

void Hypervisor::dma_on_time() {
    const auto held = [this](MemRange range) {
        return std::any_of(holds_.begin(), holds_.end(), [&](const auto& hold) {
            return std::any_of(hold.second.ranges.begin(), hold.second.ranges.end(),
                               [&](const MemRange& moving) {
                                   return moving.at < range.at + range.bytes &&
                                          range.at < moving.at + moving.bytes;
                               });
        });
    };
    for (const DmaDevices::Ended& ended : devices_.step(grants_, held))
        dma_ended(ended.vm, ended.reply);
}

}  // namespace hyplink::hyp
