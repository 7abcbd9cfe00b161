#include "hyplink/guest/kernel.hpp"

#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/dma_driver.hpp"
#include "hyplink/guest/ion.hpp"
#include "hyplink/guest/mem_driver.hpp"
#include "hyplink/guest/pipe_config.hpp"
#include "hyplink/guest/pipe_driver.hpp"
#include "hyplink/guest/port_end.hpp"
#include "hyplink/guest/rpq_link.hpp"
#include "hyplink/guest/umem_link.hpp"
#include "hyplink/guest/ump.hpp"

namespace hyplink::guest {

GuestKernel::GuestKernel(Runtime& runtime, hyp::Hypercalls& hypercalls)
    : runtime_(&runtime), hypercalls_(&hypercalls) {}

GuestKernel::~GuestKernel() {
    // Handles know drivers, drivers know ends: take them down in that order.
    for (auto& [id, app] : apps_) app.handles.clear();
    drivers_.clear();
}

Status GuestKernel::boot() {
    identity_ = HYPLINK_TRY(hypercalls_->identity());
    scope_region_ = HYPLINK_TRY(hypercalls_->scope(0));
    ::new (&scope_) Scope(scope_region_->data(), identity_.id, 0);
    pdev_ = HYPLINK_TRY(hypercalls_->pdev());
    memory_.push_back(pdev_);
    // Copied and checked once: applications with vlx-ump open may write to the PDEV later.
    hyp::PdevHeader header;
    std::memcpy(&header, pdev_.region->data(), sizeof header);
    if (header.magic != hyp::PdevHeader::kMagic ||
        header.descriptor_bytes != sizeof(hyp::VlinkDescriptor) ||
        header.descriptors_at % alignof(hyp::VlinkDescriptor) != 0 ||
        !mem::fits(header.descriptors_at,
                   std::uint64_t{header.count} * sizeof(hyp::VlinkDescriptor),
                   pdev_.region->size()))
        return Error::make(Errc::version, "the PDEV has another layout");
    descriptor_count_ = header.count;
    descriptors_ =
        reinterpret_cast<hyp::VlinkDescriptor*>(pdev_.region->data() + header.descriptors_at);

    std::vector<RpqEnd> rpq_ends;
    std::vector<UmemEnd> umem_ends;
    std::vector<IonEnd> ion_ends;
    std::vector<PipeEnd> pipe_ends;
    std::vector<PortLinkEnd> port_ends;
    driven_.resize(descriptor_count_);
    for (std::uint32_t slot = 0; slot < descriptor_count_; ++slot) {
        hyp::VlinkDescriptor& link = descriptor(slot);
        const std::string server_info = string_at(link.s_info);
        const bool rpq = carries_rpq(link.name);
        const bool umem = carries_umem(link.name);
        const bool ion = carries_ion(link.name, server_info);
        const bool pipe = pipe_kind(link.name).has_value();
        const bool port = joins_ports(link.name, server_info);
        driven_[slot] = rpq || umem || ion || pipe || port;
        if (!driven_[slot]) continue;
        for (Role role : {Role::server, Role::client}) {
            if ((role == Role::server ? link.s_id : link.c_id) != identity_.id) continue;
            ends_.push_back(std::make_unique<VlinkEnd>(link, slot, role));
            VlinkEnd* const end = ends_.back().get();
            end->set_target(true);  // a driver may want it later only
            if (rpq) rpq_ends.push_back({end, server_info});
            if (umem) umem_ends.push_back({end, server_info});
            if (pipe) pipe_ends.push_back({end, server_info});
            if (ion) ion_ends.push_back({end, server_info, string_at(link.c_info)});
            if (port) port_ends.push_back({end, server_info, string_at(link.c_info)});
        }
    }
    drivers_.push_back(HYPLINK_TRY(make_rpq_driver(*this, rpq_ends)));
    drivers_.push_back(HYPLINK_TRY(make_umem_driver(*this, umem_ends)));
    if (auto ion = HYPLINK_TRY(make_ion_driver(*this, ion_ends)))
        drivers_.push_back(std::move(ion));
    if (auto pipes = HYPLINK_TRY(make_pipe_driver(*this, pipe_ends)))
        drivers_.push_back(std::move(pipes));
    if (auto ports = HYPLINK_TRY(make_port_driver(*this, port_ends)))
        drivers_.push_back(std::move(ports));
    drivers_.push_back(std::make_unique<UmpDriver>(*this));
    drivers_.push_back(std::make_unique<MemDriver>(*this));
    drivers_.push_back(std::make_unique<DmaDriver>(*this));
    HYPLINK_TRY(hypercalls_->boot_done());
    kick();
    run_links();
    return {};
}

hyp::VlinkDescriptor& GuestKernel::descriptor(std::uint32_t slot) { return descriptors_[slot]; }

std::string GuestKernel::string_at(std::uint64_t address) {
    const std::uint64_t offset = address - pdev_.base.value;
    if (offset >= pdev_.region->size()) return {};
    const char* start = reinterpret_cast<const char*>(pdev_.region->data()) + offset;
    return {start, ::strnlen(start, pdev_.region->size() - static_cast<std::size_t>(offset))};
}

Result<std::byte*> GuestKernel::map(mem::Ipa address, std::uint64_t bytes) {
    for (int attempt = 0; attempt < 2; ++attempt) {
        for (const hyp::MemoryView& view : memory_) {
            const std::uint64_t offset = address.value - view.base.value;
            if (address >= view.base && mem::fits(offset, bytes, view.region->size()))
                return view.region->data() + offset;
        }
        if (attempt == 0) memory_.push_back(HYPLINK_TRY(hypercalls_->mem_open(address)));
    }
    return Error::make(Errc::bad_address, text(bytes, " bytes at 0x", std::hex, address.value));
}

// --- links
// -------------------------------------------------------------------------------------------------

void GuestKernel::run_links() {
    if (running_links_) return;
    running_links_ = true;
    std::vector<hyp::EndRef> changed;
    std::vector<VlinkEnd*> changed_ends;
    do {
        kicked_ = false;
        changed.clear();
        changed_ends.clear();
        for (auto& end : ends_) {
            if (!end->step()) continue;
            changed.push_back(end->ref());
            changed_ends.push_back(end.get());
        }
        if (!changed.empty()) {
            (void)hypercalls_->publish(changed);  // a refusal shows in settle()
            for (VlinkEnd* end : changed_ends) end->settle();
            kicked_ = true;
        }
    } while (kicked_);
    running_links_ = false;
    if (stopping_) try_halt();
}

void GuestKernel::deliver(std::span<const XirqNumber> numbers) {
    for (XirqNumber number : numbers) {
        auto found = xirqs_.find(number);
        if (found == xirqs_.end()) continue;
        // Arm first, look second: a ring in between comes again.
        bell_arm(*found->second.bell, kBellHook);
        found->second.handler->on_xirq(number);
    }
}

void GuestKernel::on_xirqs(std::span<const XirqNumber> numbers) {
    deliver(numbers);
    if (kicked_) run_links();
}

void GuestKernel::on_events() {
    const hyp::GuestEvents events = hypercalls_->take_events();
    deliver(events.xirqs);
    if (!events.windows.empty())
        for (auto& driver : drivers_) driver->on_windows(events.windows);
    for (const hyp::HoldEvent& event : events.holds)
        for (auto& driver : drivers_) driver->on_hold(event);
    for (std::uint32_t hold : events.held)
        for (auto& driver : drivers_) driver->on_held(hold);
    for (std::uint32_t job : events.dma)
        for (auto& driver : drivers_) driver->on_dma(job);
    if (events.shutdown) begin_shutdown();
    if (events.sysconf) {
        ring_sysconf_bells();
        kick();
    }
    if (kicked_) run_links();
}

void GuestKernel::ring_sysconf_bells() {
    for (auto& [id, app] : apps_) {
        auto& bell = *reinterpret_cast<BellWords*>(app.status->data() + StatusPage::kSysconfBellAt);
        ring(*runtime_, bell);
    }
}

void GuestKernel::attach_xirq(XirqNumber number, BellWords& bell, XirqHandler& handler) {
    xirqs_[number] = XirqEntry{&bell, &handler};
    bell_arm(bell, kBellHook);
}

void GuestKernel::detach_xirq(XirqNumber number) {
    auto found = xirqs_.find(number);
    if (found == xirqs_.end()) return;
    bell_disarm(*found->second.bell);
    xirqs_.erase(found);
}

void GuestKernel::begin_shutdown() {
    stopping_ = true;
    for (auto& end : ends_) end->set_target(false);
    kick();
}

void GuestKernel::try_halt() {
    for (const auto& end : ends_)
        if (end->local() != LocalState::stopped) return;
    halted_ = true;
    for (auto& [id, app] : apps_) {
        auto waiting = std::move(app.waiting);
        for (auto& [sequence, cancel] : waiting) {
            cancel();
            SysReply reply;
            reply.sequence = sequence;
            reply.code = Errc::peer_dead;
            reply.data = text("VM ", identity_.id, " shuts down");
            app.sink->reply(std::move(reply));
        }
    }
    (void)hypercalls_->halt();
}

}  // namespace hyplink::guest
