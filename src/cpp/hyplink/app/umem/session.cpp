#include "hyplink/app/umem/session.hpp"

#include <cstring>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::umem {

using app::close_handle;
using app::kClosePatience;
using app::open_device;
using app::request_of;
using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using guest::UmemBufferReply;
using guest::UmemPiece;

// --- sessions
// ----------------------------------------------------------------------------------------------

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<app::Application> application,
                                                 const std::string& device, bool master,
                                                 Deadline deadline) {
    std::unique_ptr<Session> session(new Session(application, device, master));
    session->device_handle_ = HYPLINK_TRY(open_device(*application, device, deadline));
    auto made = application->call(
        request_of(Sys::umem_session_create, session->device_handle_, master ? 1 : 0), deadline);
    if (!made) return std::move(made).error().with(text("create a session on ", device));
    session->handle_ = static_cast<std::uint32_t>(made->values[0]);
    session->peer_ = static_cast<VmId>(made->values[2]);
    session->status_ = application->status_word(made->values[3]);
    if (session->status_ == nullptr) return Error::make(Errc::protocol, "status word out of range");
    return session;
}

void Session::close() {
    keep_given({});  // its buffers are good for nothing
    close_handle(*application_, handle_);
    close_handle(*application_, device_handle_);
}

bool Session::is_dead() const {
    return handle_ != 0 && status_->load(std::memory_order_acquire) ==
                               static_cast<std::uint32_t>(rpq::ChannelState::dead);
}

void Session::keep_given(std::shared_ptr<Buffer::Given> given) {
    std::shared_ptr<Buffer::Given> last;
    {
        std::lock_guard lock(mutex_);
        last = std::exchange(last_given_, std::move(given));
    }
    if (last) (void)last->take();
}

Result<std::unique_ptr<Buffer>> Session::alloc(std::string_view opaque, Deadline deadline) {
    if (handle_ == 0) return Error::make(Errc::closed, text(device_, ": the session is closed"));
    SysRequest request = request_of(Sys::umem_alloc, handle_);
    request.data = opaque;
    auto buffer =
        Buffer::make(application_, HYPLINK_TRY(application_->call(std::move(request), deadline)));
    keep_given(buffer->given_);
    return buffer;
}

// --- buffers
// -----------------------------------------------------------------------------------------------

std::unique_ptr<Buffer> Buffer::make(std::shared_ptr<app::Application> application,
                                     SysReply reply) {
    std::unique_ptr<Buffer> buffer(new Buffer);
    buffer->application_ = std::move(application);
    buffer->handle_ = static_cast<std::uint32_t>(reply.values[UmemBufferReply::handle]);
    buffer->id_ = static_cast<std::uint32_t>(reply.values[UmemBufferReply::buffer]);
    buffer->bytes_ = reply.values[UmemBufferReply::bytes];
    buffer->attributes_ = static_cast<std::uint32_t>(reply.values[UmemBufferReply::attributes]);
    buffer->token_ =
        Token{reply.values[UmemBufferReply::token_low], reply.values[UmemBufferReply::token_high]};
    const std::uint64_t pieces = reply.values[UmemBufferReply::pieces] * sizeof(UmemPiece);
    if (pieces != 0 && pieces <= reply.data.size()) {
        const std::size_t opaque = reply.data.size() - static_cast<std::size_t>(pieces);
        SysReply memory;
        memory.data = reply.data.substr(opaque);
        memory.fds = std::move(reply.fds);
        reply.data.resize(opaque);
        if (!memory.fds.empty()) {
            buffer->given_ = std::make_shared<Given>();
            buffer->given_->reply = std::move(memory);
        }
    }
    buffer->opaque_ = std::move(reply.data);
    buffer->application_->watch(buffer->handle_, [gone = buffer->gone_] { gone->lose(); });
    return buffer;
}

Result<std::unique_ptr<Buffer>> import_buffer(std::shared_ptr<app::Application> application,
                                              const std::string& device, Token token,
                                              Deadline deadline) {
    std::uint32_t opened = HYPLINK_TRY(open_device(*application, device, deadline));
    application->has_doubles() = true;
    SysRequest request = request_of(Sys::umem_import, opened, token.low);
    request.args[1] = token.high;
    auto reply = application->call(std::move(request), deadline);
    if (!reply) {
        close_handle(*application, opened);
        return std::move(reply).error().with(text("import a buffer on ", device));
    }
    auto buffer = Buffer::make(std::move(application), *std::move(reply));
    buffer->device_handle_ = opened;
    return buffer;
}

void Buffer::Mapping::lose() {
    std::lock_guard lock(mutex);
    lost = true;
    (void)place.blank();
}

Result<SysReply> Buffer::call(SysRequest request, Deadline deadline) {
    if (handle_ == 0) return Error::make(Errc::closed, text("buffer ", id_, " is closed"));
    auto reply = application_->call(std::move(request), deadline);
    if (!reply) return std::move(reply).error().with(text("buffer ", id_));
    return reply;
}

bool Buffer::is_mapped() const { return mapping_ != nullptr; }

bool Buffer::is_lost() const {
    std::lock_guard lock(gone_->mutex);
    return gone_->lost;
}

Result<SysReply> Buffer::pieces(Deadline deadline) {
    auto given = given_ && handle_ != 0 && !mapping_ ? given_->take() : std::nullopt;
    // What is gone is for the kernel to say.
    if (!given || is_lost()) return call(request_of(Sys::umem_map, handle_), deadline);
    application_->post(request_of(Sys::umem_mapped, handle_));
    if (!application_->has_doubles()) return *std::move(given);
    // Another handle of it may be mapped already.
    return call(request_of(Sys::umem_map, handle_, 1), deadline);
}

Result<std::byte*> Buffer::map(Deadline deadline) {
    const SysReply reply = HYPLINK_TRY(pieces(deadline));
    std::vector<sys::ObjectPiece> pieces;
    std::uint64_t sum = 0;
    const bool whole = reply.data.size() == reply.fds.size() * sizeof(UmemPiece);
    for (std::size_t i = 0; whole && i < reply.fds.size(); ++i) {
        UmemPiece piece;
        std::memcpy(&piece, reply.data.data() + i * sizeof piece, sizeof piece);
        pieces.push_back(
            {reply.fds[i]->get(), piece.offset, static_cast<std::size_t>(piece.bytes)});
        sum += piece.bytes;
    }
    auto give_up = [&](Error error) {
        (void)call(request_of(Sys::umem_unmap, handle_),
                   application_->runtime().in(kClosePatience));
        return error;
    };
    if (!whole || sum != bytes_)
        return give_up(
            Error::make(Errc::protocol, text("buffer ", id_, " came without its memory")));
    auto place = sys::Place::map(pieces);
    if (!place) return give_up(std::move(place).error());
    std::lock_guard lock(gone_->mutex);
    gone_->place = *std::move(place);
    // It may have gone between the kernel's answer and now.
    if (gone_->lost) (void)gone_->place.blank();
    mapping_ = gone_;
    return gone_->place.data();
}

bool Buffer::take_away() {
    if (!mapping_) return false;
    for (const auto& [who, hook] : std::exchange(leaving_, {})) hook();
    mapping_.reset();
    std::lock_guard lock(gone_->mutex);
    gone_->place.reset();
    return true;
}

Status Buffer::unmap() {
    if (!take_away())
        return Error::make(Errc::bad_argument, text("buffer ", id_, " is not mapped"));
    // The kernel of a lost buffer may know nothing of it any more.
    if (handle_ != 0) application_->post(request_of(Sys::umem_unmap, handle_));
    return {};
}

Status Buffer::free(Deadline deadline) {
    if (handle_ == 0) return Error::make(Errc::closed, text("buffer ", id_, " is closed"));
    take_away();
    auto freed = call(request_of(Sys::umem_free, handle_), deadline);
    // The kernel has closed it, if it could be asked.
    application_->unwatch(handle_);
    if (freed)
        handle_ = 0;
    else
        app::post_close(*application_, handle_);
    close_handle(*application_, device_handle_);
    if (!freed) return std::move(freed).error();
    return {};
}

void Buffer::close() {
    if (handle_ == 0) return;
    take_away();
    application_->unwatch(handle_);
    close_handle(*application_, handle_);
    close_handle(*application_, device_handle_);
}

Status Buffer::register_with(Session& session, Deadline deadline) {
    HYPLINK_TRY(call(request_of(Sys::umem_register, handle_, session.handle()), deadline));
    return {};
}

Status Buffer::unregister(Deadline deadline) {
    HYPLINK_TRY(call(request_of(Sys::umem_unregister, handle_), deadline));
    return {};
}

Status Buffer::cache(std::uint32_t operations, Deadline deadline) {
    HYPLINK_TRY(call(request_of(Sys::umem_cache, handle_, operations), deadline));
    return {};
}

Status Buffer::control(Control command, std::string& opaque, std::uint64_t& word,
                       Deadline deadline) {
    SysRequest request =
        request_of(Sys::umem_control, handle_, static_cast<std::uint32_t>(command));
    request.args[1] = word;
    request.data = opaque;
    SysReply reply = HYPLINK_TRY(call(std::move(request), deadline));
    if (command == Control::remote)
        opaque = std::move(reply.data);
    else
        word = reply.values[0];
    return {};
}

Result<std::vector<std::uint64_t>> profile(app::Application& application, const std::string& device,
                                           bool reset, Deadline deadline) {
    std::uint32_t opened = HYPLINK_TRY(open_device(application, device, deadline));
    auto reply = application.call(request_of(Sys::umem_profile, opened, reset ? 1 : 0), deadline);
    close_handle(application, opened);
    if (!reply) return std::move(reply).error();
    std::vector<std::uint64_t> values(reply->data.size() / sizeof(std::uint64_t));
    std::memcpy(values.data(), reply->data.data(), values.size() * sizeof(std::uint64_t));
    return values;
}

}  // namespace hyplink::umem
