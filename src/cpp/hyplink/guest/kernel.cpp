#include "hyplink/guest/kernel.hpp"

#include <algorithm>
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
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::guest {
namespace {
constexpr std::size_t kMaxHandles = 4096;  // of one application
constexpr std::size_t kMaxWaiting = 1024;  // requests of one application
constexpr std::size_t kMaxApps = 1024;
}  // namespace

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

// --- applications
// ------------------------------------------------------------------------------------------

GuestKernel::AppRecord* GuestKernel::find_app(AppId app) {
    auto found = apps_.find(app);
    return found == apps_.end() ? nullptr : &found->second;
}

Result<AppId> GuestKernel::app_attach(AppSink& sink) {
    if (apps_.size() >= kMaxApps)
        return Error::make(Errc::no_memory, text(kMaxApps, " applications already"));
    AppRecord record;
    record.sink = &sink;
    record.status = HYPLINK_TRY(mem::Region::make("hyplink-status", StatusPage::kBytes));
    const AppId app = next_app_++;
    record.scope = HYPLINK_TRY(hypercalls_->scope(app));
    for (std::uint32_t word = 0; word < StatusPage::kWords; ++word)
        record.free_words.push_back(word);
    apps_.emplace(app, std::move(record));
    journal(Event::app_start, Record::kNoLink, app);
    return app;
}

void GuestKernel::app_gone(AppId app, bool died) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    for (auto waiting = std::move(record->waiting); auto& [sequence, cancel] : waiting) cancel();
    // Newest first: channels before their sessions.
    while (!record->handles.empty()) {
        auto last = std::prev(record->handles.end());
        auto handle = std::move(last->second);
        record->handles.erase(last);
        handle->close();
    }
    apps_.erase(app);
    journal(Event::app_end, Record::kNoLink, app, died ? 1 : 0);
    if (kicked_) run_links();
}

void GuestKernel::app_drop(AppId app, Dropped reason, Errc code) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    auto& said = *reinterpret_cast<AppDropped*>(record->status->data() + StatusPage::kDroppedAt);
    said.code = static_cast<std::int32_t>(code);
    said.reason.store(static_cast<std::uint32_t>(reason), std::memory_order_release);
    record->dropped = true;
    journal(Event::app_dropped, Record::kNoLink, app, static_cast<std::uint64_t>(reason),
            static_cast<std::uint64_t>(code));
    app_gone(app, true);
}

void GuestKernel::app_ready(AppId app) {
    for (auto& driver : drivers_) driver->on_ready(app);
}

bool GuestKernel::congested(AppId app) {
    const AppRecord* record = find_app(app);
    return record != nullptr && record->sink->congested();
}

void GuestKernel::wait(const Pending& pending, std::function<void()> cancel) {
    AppRecord* app = find_app(pending.app);
    if (app != nullptr) app->waiting[pending.sequence] = std::move(cancel);
}

void GuestKernel::answer(const Pending& pending, SysReply&& reply) {
    AppRecord* app = find_app(pending.app);
    if (app == nullptr) return;
    app->waiting.erase(pending.sequence);
    if (pending.sequence == 0) return;  // nobody waits for it
    reply.sequence = pending.sequence;
    app->sink->reply(std::move(reply));
}

void GuestKernel::tell(AppId app, SysReply&& word) {
    word.sequence = 0;
    if (AppRecord* record = find_app(app)) record->sink->reply(std::move(word));
}

void GuestKernel::fail(const Pending& pending, Errc code, std::string why) {
    SysReply reply;
    reply.code = code;
    reply.data = std::move(why);
    answer(pending, std::move(reply));
}

std::uint32_t GuestKernel::add_handle(AppId app, std::unique_ptr<Handle> handle) {
    AppRecord* record = find_app(app);
    const std::uint32_t number = record->next_handle++;
    record->handles.emplace(number, std::move(handle));
    return number;
}

Handle* GuestKernel::find_handle(AppId app, std::uint32_t handle) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return nullptr;
    auto found = record->handles.find(handle);
    return found == record->handles.end() ? nullptr : found->second.get();
}

Result<StatusWord> GuestKernel::take_status_word(AppId app) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return Errc::peer_dead;
    if (record->free_words.empty())
        return Error::make(Errc::would_block, text("an application has at most ",
                                                   StatusPage::kWords, " sessions and channels"));
    StatusWord word;
    word.index = record->free_words.front();
    record->free_words.pop_front();
    word.word = reinterpret_cast<std::atomic<std::uint32_t>*>(record->status->data()) + word.index;
    word.word->store(0, std::memory_order_release);
    return word;
}

void GuestKernel::drop_status_word(AppId app, const StatusWord& word) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    record->free_words.push_back(word.index);
    // Of an application that is dropped nobody closed it: to those who use it it is dead.
    if (record->dropped)
        word.word->store(static_cast<std::uint32_t>(rpq::ChannelState::dead),
                         std::memory_order_release);
}

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
