#include "hyplink/guest/pipe_link.hpp"

#include <array>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/pipe_port.hpp"

namespace hyplink::guest {

Status PipeLink::allocate() {
    const std::array<hyp::ResourceRequest, 1> requests{
        {{hyp::ResourceType::pmem, end_->slot(), 0, 0, sizeof(Area)}}};
    const auto replies = HYPLINK_TRY(kernel_->hypercalls().resources(requests));
    if (replies.size() != 1 || replies[0].code != Errc::ok)
        return Error::make(replies.empty() ? Errc::internal : replies[0].code,
                           text("pipe: PMEM of vlink slot ", end_->slot()));
    area_ = reinterpret_cast<Area*>(HYPLINK_TRY(kernel_->map(replies[0].at, sizeof(Area))));
    return {};
}

void PipeLink::want(bool on) {
    end_->set_target(on);
    // From RESET an end goes OFF without a word; what was made for this opening goes here.
    if (!on && end_->local() == LocalState::reset) free_port();
    kernel_->kick();
}

void PipeLink::mark_opened() { mark(end_->role()).store(1, std::memory_order_release); }

Status PipeLink::reset() {
    free_port();
    mark(end_->role()).store(0, std::memory_order_relaxed);
    if (end_->role() == Role::server) return {};
    const std::uint64_t bytes = pipe::port_bytes_for(config_.capacity());
    auto port = kernel_->hypercalls().port_alloc(end_->slot(), bytes);
    if (!port) {
        const Error why = std::move(port).error().with("the memory of the pipe");
        owner_->link_failed(why);
        return why.code();
    }
    port_ = *std::move(port);
    pipe::port_reset(port_.region->data(), port_.region->size(), config_.capacity());
    area_->port.store(port_.id, std::memory_order_release);  // partner: start
    return {};
}

Status PipeLink::start() {
    if (end_->role() == Role::client) return {};
    const std::uint32_t id = area_->port.load(std::memory_order_acquire);
    const std::uint64_t bytes = pipe::port_bytes_for(config_.capacity());
    auto port = kernel_->hypercalls().port_open(end_->slot(), id);
    // Taken back meanwhile: who opens there gave up. It goes OFF, or offers another one.
    if (!port) return Errc::would_block;
    if (port->region->size() >= bytes) {
        port_ = *std::move(port);
        return {};
    }
    (void)kernel_->hypercalls().port_free(end_->slot(), id);
    kernel_->journal(Event::corrupt, end_->index(), static_cast<std::uint32_t>(end_->role()), 0,
                     id);
    owner_->link_failed(
        Error::make(Errc::corrupt, text("VM ", end_->peer_vm(), " names port ", id, " of ",
                                        port->region->size(), " bytes, expected ", bytes)));
    return Errc::corrupt;
}

void PipeLink::abort() {
    owner_->link_down(mark(other(end_->role())).load(std::memory_order_acquire) != 0);
}

void PipeLink::free_port() {
    if (!port_.region) return;
    (void)kernel_->hypercalls().port_free(end_->slot(), port_.id);
    port_ = {};
}

}  // namespace hyplink::guest
