#include "hyplink/app/umem/server.hpp"

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::umem {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using guest::UmemRequestReply;
using guest::UmemRespondArgs;

namespace {
constexpr std::int64_t kPatience = 2'000'000'000;  // with a kernel or a client that does not answer
}

Result<std::shared_ptr<Server>> Server::create(std::shared_ptr<app::Application> application,
                                               const std::string& device, Deadline deadline) {
    SysRequest open;
    open.op = Sys::open;
    open.data = device;
    const SysReply opened = HYPLINK_TRY(application->call(std::move(open), deadline));
    std::shared_ptr<Server> server(new Server(application, device));
    server->device_handle_ = static_cast<std::uint32_t>(opened.values[0]);
    server->open_ = true;
    SysRequest request;
    request.op = Sys::umem_server_create;
    request.handle = server->device_handle_;
    auto made = application->call(std::move(request), deadline);
    if (!made) return std::move(made).error().with(text("create a server on ", device));
    server->handle_ = static_cast<std::uint32_t>(made->values[0]);
    server->number_ = static_cast<std::uint32_t>(made->values[1]);
    application->close_first(server);
    return server;
}

Request Server::received(SysReply reply) {
    Request request;
    request.command = static_cast<Command>(reply.values[UmemRequestReply::command]);
    request.buffer = static_cast<std::uint32_t>(reply.values[UmemRequestReply::buffer]);
    request.vm = static_cast<VmId>(reply.values[UmemRequestReply::vm]);
    request.app = static_cast<std::uint32_t>(reply.values[UmemRequestReply::app]);
    request.opaque = std::move(reply.data);
    std::lock_guard lock(mutex_);
    last_ = request;
    return request;
}

Result<Request> Server::receive(Deadline deadline) {
    if (!open_) return Error::make(Errc::closed, text(device_, ": the server is closed"));
    SysRequest call;
    call.op = Sys::umem_receive;
    call.handle = handle_;
    return received(HYPLINK_TRY(application_->call(std::move(call), deadline)));
}

Server::Prepared Server::prepare(const Response& response) {
    Prepared made;
    SysRequest& call = made.call;
    call.op = Sys::umem_respond;
    call.handle = handle_;
    call.data = response.opaque;
    call.args[UmemRespondArgs::error] = static_cast<std::uint64_t>(std::int64_t{response.error});
    call.args[UmemRespondArgs::buffer] = response.buffer;
    const Request last = std::exchange(last_, {});
    made.buffer = last.buffer;
    made.lends = last.command == Command::alloc && response.error == 0;
    if (made.lends && response.buffer == last.buffer) {
        Offer offer;
        offer.bytes = guest::umem::kNoMemory;
        if (!response.no_memory) {
            auto lent = response.memory ? ledger_.lend(last.buffer, response.memory)
                                        : ledger_.lend(last.buffer, response.place, response.bytes,
                                                       response.keep);
            if (lent)
                offer = *std::move(lent);
            else
                made.unfit = std::move(lent).error();
        }
        if (!made.unfit)
            call.args[UmemRespondArgs::error] =
                static_cast<std::uint64_t>(made.unfit.error().number());
        call.args[UmemRespondArgs::bytes] = offer.bytes;
        call.args[UmemRespondArgs::offset] = offer.offset;
        call.args[UmemRespondArgs::kind] =
            std::uint64_t{response.attributes} << 32 | static_cast<std::uint32_t>(offer.kind);
        if (offer.object) call.fds.push_back(offer.object);
    }
    if (last.command == Command::free && ledger_.take_back(last.buffer))
        call.args[UmemRespondArgs::kind] = static_cast<std::uint32_t>(hyp::LoanKind::whole);
    return made;
}

Status Server::respond(const Response& response) {
    if (!open_) return Error::make(Errc::closed, text(device_, ": the server is closed"));
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return Error::make(Errc::busy, text(device_, ": another respond is under way"));
    return finish(prepare(response));
}

Status Server::finish(Prepared prepared) {
    auto answered =
        application_->call(std::move(prepared.call), application_->runtime().in(kPatience));
    if (prepared.lends && (!answered || !prepared.unfit)) (void)ledger_.take_back(prepared.buffer);
    if (!answered) return std::move(answered).error();
    return std::move(prepared.unfit);
}

Result<Request> Server::respond_and_receive(const Response& response, Deadline deadline) {
    if (!open_) return Error::make(Errc::closed, text(device_, ": the server is closed"));
    Prepared prepared;
    {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock) return Error::make(Errc::busy, text(device_, ": another respond is under way"));
        prepared = prepare(response);
        if (!prepared.unfit) return finish(std::move(prepared)).error();
    }
    prepared.call.op = Sys::umem_respond_receive;
    auto answered = application_->call(std::move(prepared.call), deadline);
    Status refused;
    if (answered &&
        answered->values[UmemRequestReply::command] == static_cast<std::uint64_t>(Command::none))
        refused = Error::make(static_cast<Errc>(answered->values[UmemRequestReply::buffer]),
                              std::move(answered->data));
    // These say that there was no response; any other failure is of the wait that followed it.
    else if (answered.code() == Errc::bad_argument || answered.code() == Errc::busy ||
             answered.code() == Errc::closed)
        refused = std::move(answered).error();
    if (!refused) {
        std::lock_guard lock(mutex_);
        if (prepared.lends) (void)ledger_.take_back(prepared.buffer);
        return std::move(refused).error();
    }
    return received(HYPLINK_TRY(std::move(answered)));
}

void Server::destroy() {
    const auto turn = app::in_turn(destroying_, application_->runtime());
    if (!open_.exchange(false)) return;
    SysRequest close;
    close.op = Sys::umem_server_close;
    close.handle = handle_;
    if (handle_ != 0)
        (void)application_->call(std::move(close), application_->runtime().in(kPatience));
    {
        std::lock_guard lock(mutex_);
        ledger_.take_all_back();
    }
    for (std::uint32_t handle : {handle_, device_handle_}) {
        if (handle == 0) continue;
        SysRequest request;
        request.op = Sys::close;
        request.handle = handle;
        (void)application_->call(std::move(request), application_->runtime().in(kPatience));
    }
}

}  // namespace hyplink::umem
