#include <tuple>

#include "hyplink/compat/vrpq_objects.hpp"

namespace hyplink::compat {
Place& Place::only() {
    static Place& place = *new Place;
    return place;
}

VrpqSession Place::add(std::unique_ptr<rpq::Session> session) {
    auto handle = std::make_unique<VrpqSessionObj>();
    std::lock_guard lock(mutex_);
    ++devices_[session->device()].counts[VRPQ_STAT_SESSIONS_CREATED];
    sessions_[handle.get()] = std::move(session);
    return handle.release();
}

std::shared_ptr<rpq::Session> Place::find(VrpqSession session) {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    return found == sessions_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<rpq::Session>> Place::any() {
    std::lock_guard lock(mutex_);
    std::shared_ptr<rpq::Session> chosen;
    for (const auto& [handle, session] : sessions_) {
        if (session->role() != Role::server) continue;
        if (chosen && chosen->device() != session->device())
            return Error::make(Errc::bad_argument,
                               "VRPQ_SESSION_ANY: there are sessions of several devices");
        chosen = session;
    }
    if (!chosen) return Error::make(Errc::closed, "VRPQ_SESSION_ANY: no session was accepted yet");
    return chosen;
}

std::shared_ptr<rpq::Session> Place::remove(VrpqSession session) {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return nullptr;
    auto removed = std::move(found->second);
    ++devices_[removed->device()].counts[VRPQ_STAT_SESSIONS_DESTROYED];
    sessions_.erase(found);
    delete session;
    return removed;
}

void Place::add(VrpqChanObj& chan) {
    const rings::ChannelContext& context = chan.end().context();
    std::lock_guard lock(mutex_);
    Device& device = devices_[chan.device];
    ++device.counts[VRPQ_STAT_CHANS_CREATED];
    if (device.by_procedure) chan.count_procedures();
    areas_[context.port] = {&chan, context.port_bytes};
    areas_[chan.out_table.data()] = {&chan, sizeof chan.out_table};
}

bool Place::remove(VrpqChanObj* chan) {
    std::lock_guard lock(mutex_);
    const auto gone =
        std::erase_if(areas_, [&](const auto& entry) { return entry.second.chan == chan; });
    removed_.fetch_add(1, std::memory_order_release);
    if (gone == 0) return false;
    Device& device = devices_[chan->device];
    add_counts(device.counts, *chan, false);
    ++device.counts[VRPQ_STAT_CHANS_DESTROYED];
    if (chan->own_procedures != nullptr) chan->own_procedures->add_to(device.procedures);
    return true;
}

VrpqChanObj* Place::owner(const void* at) {
    // A program writes many references to one channel in a row. Memory that is asked about belongs
    // to the asking thread's channel, so that one is not being destroyed meanwhile.
    static thread_local const void* begin = nullptr;
    static thread_local Area area;
    static thread_local std::uint64_t seen_at = 0;
    const auto within = [&] {
        return reinterpret_cast<std::uintptr_t>(at) - reinterpret_cast<std::uintptr_t>(begin) <
               area.bytes;
    };
    const std::uint64_t now = removed_.load(std::memory_order_acquire);
    if (seen_at == now && within()) [[likely]]
        return area.chan;
    std::lock_guard lock(mutex_);
    auto next = areas_.upper_bound(at);
    if (next == areas_.begin()) return nullptr;
    std::tie(begin, area) = *std::prev(next);
    seen_at = now;
    return within() ? area.chan : nullptr;
}

}  // namespace hyplink::compat

extern "C" const char* vrpqErrorText(void) { return hyplink::compat::last_error().c_str(); }
