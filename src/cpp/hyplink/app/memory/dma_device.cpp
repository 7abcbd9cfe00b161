#include "hyplink/app/memory/dma_device.hpp"

#include <cstring>

#include "hyplink/sys/memfd.hpp"

namespace hyplink::app {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using hyp::DmaOp;
using hyp::DmaOrder;
using hyp::DmaReply;

namespace {
Result<DmaReply> reply_of(const SysReply& answer) {
    DmaReply reply;
    if (answer.data.size() != sizeof reply) return Errc::protocol;
    std::memcpy(&reply, answer.data.data(), sizeof reply);
    return reply;
}
}  // namespace

Result<std::shared_ptr<DmaDevice>> DmaDevice::open(std::shared_ptr<Application> application) {
    std::shared_ptr<DmaDevice> made(new DmaDevice(std::move(application)));
    SysRequest request;
    request.op = Sys::open;
    request.data = "vlx-dma";
    made->handle_ = static_cast<std::uint32_t>(
        HYPLINK_TRY(made->application_->call(std::move(request), Deadline::never())).values[0]);
    return made;
}

void DmaDevice::close() {
    if (closed_.exchange(true) || handle_ == 0) return;
    SysRequest request;
    request.op = Sys::close;
    request.handle = handle_;
    (void)application_->call(std::move(request), Deadline::never());
}

Result<DmaReply> DmaDevice::order(DmaOp op, DmaOrder order, std::shared_ptr<sys::Fd> object) {
    if (closed_) return Error::make(Errc::closed, "the device was closed");
    order.op = op;
    SysRequest request;
    request.op = Sys::dma_order;
    request.handle = handle_;
    request.data.assign(reinterpret_cast<const char*>(&order), sizeof order);
    if (object) request.fds.push_back(std::move(object));
    return reply_of(HYPLINK_TRY(application_->call(std::move(request), Deadline::never())));
}

Result<std::uint64_t> DmaDevice::attach(int fd) {
    auto object = std::make_shared<sys::Fd>(HYPLINK_TRY(sys::duplicate(fd)));
    return HYPLINK_TRY(order(DmaOp::attach, {}, std::move(object))).at;
}

Status DmaDevice::detach(std::uint64_t at) {
    DmaOrder what;
    what.to = at;
    HYPLINK_TRY(order(DmaOp::detach, what));
    return {};
}

Result<std::uint32_t> DmaDevice::start(DmaOrder what) {
    return HYPLINK_TRY(order(DmaOp::start, what)).job;
}

Result<DmaReply> DmaDevice::look(std::uint32_t job) {
    DmaOrder what;
    what.job = job;
    return order(DmaOp::look, what);
}

Result<DmaReply> DmaDevice::wait(std::uint32_t job, Deadline deadline) {
    if (closed_) return Error::make(Errc::closed, "the device was closed");
    SysRequest request;
    request.op = Sys::dma_wait;
    request.handle = handle_;
    request.args[0] = job;
    return reply_of(HYPLINK_TRY(application_->call(std::move(request), deadline)));
}

Status DmaDevice::stop(std::uint32_t job) {
    DmaOrder what;
    what.job = job;
    HYPLINK_TRY(order(DmaOp::stop, what));
    return {};
}

}  // namespace hyplink::app
