/// Guest kernel: the system calls. What belongs to no driver is answered here, the rest handed on.
#include "hyplink/base/text.hpp"
#include "hyplink/guest/kernel.hpp"

namespace hyplink::guest {
namespace {

constexpr std::size_t kMaxHandles = 4096;  // of one application
constexpr std::size_t kMaxWaiting = 1024;  // requests of one application

}  // namespace

void GuestKernel::open_device(AppId app, const Pending& pending, SysRequest& request) {
    std::string device = request.data;
    if (device.starts_with("/dev/")) device.erase(0, 5);
    std::string known;
    for (auto& driver : drivers_) {
        for (const std::string& name : driver->devices()) {
            if (name == device) {
                auto handle = driver->open(app, device);
                if (!handle) return fail(pending, handle.code(), handle.error().text());
                SysReply reply;
                reply.values[0] = add_handle(app, *std::move(handle));
                return answer(pending, std::move(reply));
            }
            if (known.size() < 400) known += (known.empty() ? "" : ", ") + name;
        }
    }
    fail(pending, Errc::no_such_link,
         text("open ", device, ": VM ", identity_.id, " has no such device; it has ", known));
}

void GuestKernel::handle(AppId app, SysRequest&& request) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    const Pending pending{app, request.sequence};
    if (halted_) return fail(pending, Errc::peer_dead, text("VM ", identity_.id, " is off"));
    if (record->waiting.contains(request.sequence)) {
        // Not through answer(): that would forget how to withdraw the request that waits.
        SysReply reply;
        reply.sequence = request.sequence;
        reply.code = Errc::protocol;
        reply.data = "sequence number is in use";
        return record->sink->reply(std::move(reply));
    }
    const bool frees = request.op == Sys::close || request.op == Sys::cancel;
    if (!frees && (record->waiting.size() >= kMaxWaiting || record->handles.size() >= kMaxHandles))
        return fail(pending, Errc::no_memory, "too many requests or handles of one application");

    switch (request.op) {
        case Sys::hello: {
            SysReply reply;
            reply.values[0] = identity_.id;
            reply.values[1] = app;
            reply.regions = {record->status, record->scope};
            answer(pending, std::move(reply));
            break;
        }
        case Sys::list: {
            SysReply reply;
            for (auto& driver : drivers_)
                for (const std::string& name : driver->devices()) reply.data += name + "\n";
            answer(pending, std::move(reply));
            break;
        }
        case Sys::open:
            open_device(app, pending, request);
            break;
        case Sys::close: {
            auto found = record->handles.find(request.handle);
            if (found == record->handles.end()) {
                fail(pending, Errc::closed, text("close ", request.handle, ": not open"));
                break;
            }
            auto handle = std::move(found->second);
            record->handles.erase(found);
            handle->close();
            answer(pending, SysReply{});
            break;
        }
        case Sys::cancel: {
            auto found = record->waiting.find(static_cast<std::uint32_t>(request.args[0]));
            if (found != record->waiting.end()) {
                const Pending withdrawn{app, found->first};
                auto cancel = std::move(found->second);
                cancel();
                fail(withdrawn, Errc::cancelled);
            }
            answer(pending, SysReply{});
            break;
        }
        default: {
            Handle* handle = find_handle(app, request.handle);
            if (handle == nullptr) {
                fail(pending, Errc::closed, text("handle ", request.handle, " is not open"));
                break;
            }
            bool taken = false;
            for (auto& driver : drivers_)
                if (!taken) taken = driver->handle(pending, *handle, request);
            if (!taken) fail(pending, Errc::bad_argument, "the handle does not know this request");
        }
    }
    if (kicked_) run_links();
}

}  // namespace hyplink::guest
