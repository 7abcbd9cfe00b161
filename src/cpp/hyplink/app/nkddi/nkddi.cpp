#include "hyplink/app/nkddi/nkddi.hpp"

#include <algorithm>
#include <cstring>

#include "hyplink/base/text.hpp"

namespace hyplink::nkddi {

using guest::Sys;
using guest::SysReply;
using guest::SysRequest;
using guest::UmpBell;
using hyp::ResourceType;
using hyp::VlinkDescriptor;

Result<std::unique_ptr<Nkddi>> Nkddi::open(std::shared_ptr<app::Application> application) {
    std::unique_ptr<Nkddi> made(new Nkddi(std::move(application)));
    SysRequest request;
    request.op = Sys::open;
    request.data = "vlx-ump";
    made->handle_ = static_cast<std::uint32_t>(
        HYPLINK_TRY(made->application_->call(std::move(request), Deadline::never())).values[0]);
    SysReply identity = HYPLINK_TRY(made->ask(Sys::ump_identity));
    if (identity.regions.size() != 1) return Errc::protocol;
    made->id_ = static_cast<VmId>(identity.values[0]);
    made->last_id_ = static_cast<VmId>(identity.values[1]);
    made->pdev_ = identity.regions[0];
    const mem::Ipa base{identity.values[3]};
    hyp::PdevHeader header;
    std::memcpy(&header, made->pdev_->data(), sizeof header);
    const std::uint64_t bytes = std::uint64_t{header.count} * sizeof(VlinkDescriptor);
    if (header.magic != hyp::PdevHeader::kMagic ||
        header.descriptor_bytes != sizeof(VlinkDescriptor) ||
        header.descriptors_at % alignof(VlinkDescriptor) != 0 ||
        !mem::fits(header.descriptors_at, bytes, made->pdev_->size()))
        return Error::make(Errc::version, "the PDEV has another layout");
    made->table_at_ = mem::Ipa{base.value + header.descriptors_at};
    made->table_ = reinterpret_cast<VlinkDescriptor*>(made->pdev_->data() + header.descriptors_at);
    made->count_ = header.count;
    made->views_.push_back({base, made->pdev_});
    BellWords& sysconf = made->application_->sysconf_bell();
    made->checked_ = bell_seen(sysconf);
    made->xirqs_[kSysconf] = Attached{&sysconf, made->checked_, false, {}};
    return made;
}

Nkddi::~Nkddi() { close(); }

void Nkddi::close() {
    if (closed_.exchange(true)) return;
    for (const auto& [number, xirq] : xirqs_)
        if (number != kSysconf) application_->remove_sleeper({xirq.bell, -1});
    if (handle_ == 0) return;
    SysRequest request;
    request.op = Sys::close;
    request.handle = handle_;
    (void)application_->call(std::move(request), Deadline::never());
}

Result<SysReply> Nkddi::ask(Sys op, std::array<std::uint64_t, 5> args) {
    if (closed_) return Error::make(Errc::closed, "the NKDDI was closed");
    SysRequest request;
    request.op = op;
    request.handle = handle_;
    std::copy(args.begin(), args.end(), request.args);
    return application_->call(std::move(request), Deadline::never());
}

Result<std::uint32_t> Nkddi::running_ids() {
    return static_cast<std::uint32_t>(HYPLINK_TRY(ask(Sys::ump_identity)).values[2]);
}

// --- vlinks
// ------------------------------------------------------------------------------------------------

Result<std::uint32_t> Nkddi::slot_of(mem::Ipa vlink) const {
    const std::uint64_t offset = vlink.value - table_at_.value;
    if (vlink < table_at_ || offset % sizeof(VlinkDescriptor) != 0 ||
        offset / sizeof(VlinkDescriptor) >= count_)
        return Error::make(Errc::bad_argument,
                           text("0x", std::hex, vlink.value, " is not a vlink of VM ", id_));
    return static_cast<std::uint32_t>(offset / sizeof(VlinkDescriptor));
}

VlinkDescriptor* Nkddi::descriptor(mem::Ipa vlink) {
    const auto slot = slot_of(vlink);
    return slot ? &at(*slot) : nullptr;
}

mem::Ipa Nkddi::vlink_lookup(std::string_view name, mem::Ipa previous) {
    std::uint32_t slot = 0;
    if (previous) {
        const auto last = slot_of(previous);
        if (!last) return {};
        slot = *last + 1;
    }
    for (; slot < count_; ++slot) {
        const VlinkDescriptor& link = at(slot);
        if (!name.empty() &&
            name != std::string_view(link.name, ::strnlen(link.name, sizeof link.name)))
            continue;
        const std::lock_guard lock(mutex_);
        for (Role role : {Role::server, Role::client})
            if ((role == Role::server ? link.s_id : link.c_id) == id_)
                known_.try_emplace({slot, role},
                                   state_word(at(slot), role).load(std::memory_order_acquire));
        return mem::Ipa{table_at_.value + std::uint64_t{slot} * sizeof(VlinkDescriptor)};
    }
    return {};
}

bool Nkddi::is_own(mem::Ipa vlink, Role role) {
    const VlinkDescriptor* link = descriptor(vlink);
    return link != nullptr && (role == Role::server ? link->s_id : link->c_id) == id_;
}

LinkState Nkddi::state(mem::Ipa vlink, Role role) {
    VlinkDescriptor* link = descriptor(vlink);
    if (link == nullptr) return LinkState::off;
    const std::uint32_t word = state_word(*link, role).load(std::memory_order_acquire);
    return word <= static_cast<std::uint32_t>(LinkState::on) ? static_cast<LinkState>(word)
                                                             : LinkState::off;
}

std::string Nkddi::info(mem::Ipa vlink, Role role) {
    const VlinkDescriptor* link = descriptor(vlink);
    if (link == nullptr) return {};
    const auto window = map(mem::Ipa{role == Role::server ? link->s_info : link->c_info}, 1);
    if (!window) return {};
    const char* start = reinterpret_cast<const char*>(window->data);
    const auto end = reinterpret_cast<const char*>(window->region->data() + window->region->size());
    return std::string(start, ::strnlen(start, static_cast<std::size_t>(end - start)));
}

Status Nkddi::publish(std::uint32_t slot, Role role) {
    Status done = ask(Sys::ump_publish, {slot, static_cast<std::uint64_t>(role)}).error();
    const std::lock_guard lock(mutex_);
    known_[{slot, role}] = state_word(at(slot), role).load(std::memory_order_acquire);
    return done;
}

Result<LinkState> Nkddi::set_state(mem::Ipa vlink, Role role, LinkState wanted) {
    const std::uint32_t slot = HYPLINK_TRY(slot_of(vlink));
    if (!is_own(vlink, role))
        return Error::make(Errc::not_permitted,
                           text("the ", name(role), " of vlink slot ", slot, " is not VM ", id_));
    // A word that nobody will announce must not be written: the VM may have a new life already.
    if (closed_ || application_->closed()) return Error::make(Errc::closed, "the NKDDI was closed");
    std::atomic<std::uint32_t>& word = state_word(at(slot), role);
    const std::uint32_t before =
        word.exchange(static_cast<std::uint32_t>(wanted), std::memory_order_acq_rel);
    if (Status announced = publish(slot, role); !announced) {
        // Somebody else's end: put back what he had, unless he has moved on.
        std::uint32_t mine = static_cast<std::uint32_t>(wanted);
        word.compare_exchange_strong(mine, before, std::memory_order_acq_rel);
        return std::move(announced).error();
    }
    return state(vlink, role);
}

// --- resources
// ---------------------------------------------------------------------------------------------

Result<SysReply> Nkddi::resource(ResourceType type, mem::Ipa vlink, std::uint32_t id, VmId owner,
                                 std::uint64_t size) {
    const std::uint32_t slot = HYPLINK_TRY(slot_of(vlink));
    return ask(Sys::ump_resource, {static_cast<std::uint64_t>(type), slot, id, owner, size});
}

Result<mem::Ipa> Nkddi::pmem_alloc(mem::Ipa vlink, std::uint32_t id, std::uint64_t bytes) {
    return mem::Ipa{HYPLINK_TRY(resource(ResourceType::pmem, vlink, id, 0, bytes)).values[1]};
}

Result<mem::Ipa> Nkddi::pdev_alloc(mem::Ipa vlink, std::uint32_t id, std::uint64_t bytes) {
    return mem::Ipa{HYPLINK_TRY(resource(ResourceType::pdev, vlink, id, 0, bytes)).values[1]};
}

Result<XirqNumber> Nkddi::pxirq_alloc(mem::Ipa vlink, std::uint32_t id, VmId owner,
                                      std::uint32_t count) {
    const SysReply reply = HYPLINK_TRY(resource(ResourceType::pxirq, vlink, id, owner, count));
    const auto first = static_cast<XirqNumber>(reply.values[0]);
    const std::lock_guard lock(mutex_);
    ranges_[{owner, first}] = {count, descriptor(vlink)->index};
    return first;
}

// --- memory
// ------------------------------------------------------------------------------------------------

std::optional<Window> Nkddi::mapped(mem::Ipa address, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    for (const hyp::MemoryView& view : views_) {
        const std::uint64_t offset = address.value - view.base.value;
        if (address >= view.base && mem::fits(offset, bytes, view.region->size()))
            return Window{view.region->data() + offset, view.region};
    }
    return std::nullopt;
}

Result<hyp::MemoryView> Nkddi::open_memory(mem::Ipa address) {
    SysReply reply = HYPLINK_TRY(ask(Sys::ump_memory, {address.value}));
    hyp::MemoryView view{mem::Ipa{reply.values[0]}, nullptr};
    if (reply.regions.size() != 1) return Errc::protocol;
    view.region = std::move(reply.regions[0]);
    if (view.base > address || address.value - view.base.value >= view.region->size())
        return Errc::protocol;
    return view;
}

Result<Window> Nkddi::map(mem::Ipa address, std::uint64_t bytes) {
    if (auto found = mapped(address, bytes)) return *std::move(found);
    hyp::MemoryView view = HYPLINK_TRY(open_memory(address));
    // A static region may consist of several objects, because other VMs see parts of it only.
    std::vector<std::shared_ptr<mem::Region>> parts{view.region};
    std::uint64_t there = view.region->size() - (address.value - view.base.value);
    while (there < bytes) {
        auto next = open_memory(mem::Ipa{address.value + there});
        if (!next || next->base.value != address.value + there || parts.size() == kMaxParts)
            return Error::make(Errc::bad_address,
                               text("map ", bytes, " bytes at 0x", std::hex, address.value,
                                    std::dec, ": its object ends after ", there));
        there += next->region->size();
        parts.push_back(std::move(next->region));
    }
    if (parts.size() > 1) view.region = HYPLINK_TRY(mem::Region::join(parts));
    {
        const std::lock_guard lock(mutex_);
        if (std::none_of(views_.begin(), views_.end(), [&](const auto& other) {
                return other.base == view.base && other.region->size() >= view.region->size();
            }))
            views_.push_back(std::move(view));
    }
    auto found = mapped(address, bytes);
    return found ? Result<Window>(*std::move(found)) : Result<Window>(Errc::protocol);
}

mem::Ipa Nkddi::vtop(const void* pointer) {
    const auto* byte = static_cast<const std::byte*>(pointer);
    const std::lock_guard lock(mutex_);
    for (const hyp::MemoryView& view : views_) {
        const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(byte) -
                                      reinterpret_cast<std::uintptr_t>(view.region->data());
        if (offset < view.region->size()) return mem::Ipa{view.base.value + offset};
    }
    return {};
}

std::uint64_t Nkddi::bytes_at(mem::Ipa address) {
    const auto window = map(address, 1);
    if (!window) return 0;
    return static_cast<std::uint64_t>(window->region->data() + window->region->size() -
                                      window->data);
}

}  // namespace hyplink::nkddi
