#include "hyplink/guest/dma_driver.hpp"

#include <cstring>
#include <utility>

#include "hyplink/base/text.hpp"

namespace hyplink::guest {

using hyp::DmaOp;
using hyp::DmaOrder;
using hyp::DmaReply;

class DmaHandle final : public Handle {
   public:
    DmaHandle(DmaDriver& driver, AppId owner) : app(owner), driver_(&driver) {}
    ~DmaHandle() override { close(); }
    void close() override {
        if (driver_ != nullptr) std::exchange(driver_, nullptr)->leave(app);
    }
    const AppId app;

   private:
    DmaDriver* driver_;
};

Result<std::unique_ptr<Handle>> DmaDriver::open(AppId app, const std::string& device) {
    if (open_.contains(app))
        return Error::make(Errc::busy, text("open ", device, ": this application has it open"));
    auto handle = std::make_unique<DmaHandle>(*this, app);
    open_.emplace(app, handle.get());
    return std::unique_ptr<Handle>(std::move(handle));
}

void DmaDriver::leave(AppId app) {
    open_.erase(app);
    DmaOrder order;
    order.op = DmaOp::leave;
    order.app = app;
    (void)kernel_->hypercalls().dma(order, nullptr);
    std::vector<Pending> waiting;
    std::erase_if(waiting_, [&](const auto& entry) {
        if (entry.second.app != app) return false;
        waiting.push_back(entry.second);
        return true;
    });
    for (const Pending& pending : waiting)
        kernel_->fail(pending, Errc::closed, "the device was closed");
}

void DmaDriver::answer(Pending pending, AppId app, std::uint32_t job) {
    DmaOrder order;
    order.op = DmaOp::look;
    order.app = app;
    order.job = job;
    const auto looked = kernel_->hypercalls().dma(order, nullptr);
    if (!looked) return kernel_->fail(pending, looked.code(), looked.error().text());
    SysReply reply;
    reply.data.assign(reinterpret_cast<const char*>(&*looked), sizeof *looked);
    kernel_->answer(pending, std::move(reply));
}

void DmaDriver::on_dma(std::uint32_t job) {
    const auto [first, last] = waiting_.equal_range(job);
    std::vector<Pending> waiting;
    for (auto at = first; at != last; ++at) waiting.push_back(at->second);
    waiting_.erase(first, last);
    for (const Pending& pending : waiting) answer(pending, pending.app, job);
}

bool DmaDriver::handle(Pending pending, Handle& handle, SysRequest& request) {
    auto* device = dynamic_cast<DmaHandle*>(&handle);
    if (device == nullptr) return false;
    DmaOrder order;
    if (request.op == Sys::dma_order) {
        if (request.data.size() != sizeof order || request.fds.size() > 1) {
            kernel_->fail(pending, Errc::bad_argument, "an order to a device of the wrong size");
            return true;
        }
        std::memcpy(&order, request.data.data(), sizeof order);
    } else if (request.op == Sys::dma_wait) {
        order.op = DmaOp::look;
        order.job = static_cast<std::uint32_t>(request.args[0]);
    } else {
        return false;
    }
    order.app = device->app;
    const auto done = kernel_->hypercalls().dma(
        order, request.fds.empty() ? std::shared_ptr<sys::Fd>() : request.fds[0]);
    if (!done) {
        kernel_->fail(pending, done.code(), done.error().text());
        return true;
    }
    if (request.op == Sys::dma_wait && done->state == hyp::DmaState::running) {
        waiting_.emplace(order.job, pending);
        kernel_->wait(pending, [this, pending] {
            std::erase_if(waiting_, [&](const auto& entry) {
                return entry.second.app == pending.app && entry.second.sequence == pending.sequence;
            });
        });
        return true;
    }
    SysReply reply;
    reply.data.assign(reinterpret_cast<const char*>(&*done), sizeof *done);
    kernel_->answer(pending, std::move(reply));
    return true;
}

}  // namespace hyplink::guest
