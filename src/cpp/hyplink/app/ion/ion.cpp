#include "hyplink/app/ion/ion.hpp"

#include <utility>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/mem/region.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::ion {

using app::close_handle;
using app::request_of;
using guest::IonReply;
using guest::Sys;
using guest::SysReply;
using guest::SysRequest;

Result<std::unique_ptr<Ion>> Ion::open(std::shared_ptr<app::Application> application,
                                       Deadline deadline) {
    const std::uint32_t handle = HYPLINK_TRY(app::open_device(*application, "vion", deadline));
    return std::unique_ptr<Ion>(new Ion(std::move(application), handle));
}

void Ion::close() { close_handle(*application_, handle_); }

Result<std::unique_ptr<Buffer>> Ion::alloc(std::uint64_t bytes) {
    if (handle_ == 0) return Error::make(Errc::closed, "vION is closed");
    if (bytes == 0) return Error::make(Errc::bad_argument, "a buffer of 0 bytes");
    auto region = HYPLINK_TRY(mem::Region::make("hyplink-ion", bytes));
    return std::unique_ptr<Buffer>(new Buffer(application_, handle_, std::move(region)));
}

Result<std::unique_ptr<Buffer>> Ion::import(std::uint64_t id, Deadline deadline) {
    if (handle_ == 0) return Error::make(Errc::closed, "vION is closed");
    SysReply reply =
        HYPLINK_TRY(application_->call(request_of(Sys::ion_import, handle_, id), deadline));
    auto handle = static_cast<std::uint32_t>(reply.values[IonReply::handle]);
    auto mapped = [&]() -> Result<std::shared_ptr<mem::Region>> {
        if (reply.fds.size() != 1) return Errc::protocol;
        sys::Fd object = HYPLINK_TRY(sys::duplicate(reply.fds[0]->get()));
        auto region = HYPLINK_TRY(mem::Region::map(std::move(object)));
        if (region->size() != reply.values[IonReply::bytes])
            return Error::make(Errc::protocol,
                               text("a buffer of ", region->size(), " bytes, said are ",
                                    reply.values[IonReply::bytes]));
        return region;
    }();
    if (!mapped) {
        close_handle(*application_, handle);
        return std::move(mapped).error();
    }
    std::unique_ptr<Buffer> buffer(new Buffer(application_, handle_, *std::move(mapped)));
    buffer->handle_ = handle;
    buffer->id_ = id;
    application_->watch(handle, [lost = buffer->lost_] { lost->store(true); });
    return buffer;
}

Result<std::uint64_t> Buffer::share(Deadline deadline) {
    if (region_ == nullptr) return Error::make(Errc::closed, "the buffer is closed");
    if (id_ != 0) return id_;
    SysRequest request = request_of(Sys::ion_export, device_);
    request.fds = {std::make_shared<sys::Fd>(HYPLINK_TRY(region_->duplicate_fd()))};
    const SysReply reply = HYPLINK_TRY(application_->call(std::move(request), deadline));
    handle_ = static_cast<std::uint32_t>(reply.values[IonReply::handle]);
    id_ = reply.values[IonReply::id];
    return id_;
}

void Buffer::close() {
    if (handle_ != 0) application_->unwatch(handle_);
    close_handle(*application_, handle_);
    region_.reset();
}

}  // namespace hyplink::ion
