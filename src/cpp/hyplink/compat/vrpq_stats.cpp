/// vrpqProf: what this program's channels of one device have counted.
#include "hyplink/compat/vrpq_objects.hpp"

namespace hyplink::compat {
namespace {

/// Not sums: a reset leaves them alone, and of two channels the greater counts.
bool is_peak(std::size_t id) {
    return id == VRPQ_STAT_POSTS_PER_CALL_MAX || id == VRPQ_STAT_POSTS_PER_NOTIFY_MAX ||
           id == VRPQ_STAT_GROUPED_POSTS_MAX || id == VRPQ_STAT_SIZE_MAX ||
           id == VRPQ_STAT_ALLOCATED_MAX || id == VRPQ_STAT_REQUESTS_MAX;
}
bool is_state(std::size_t id) {
    return id == VRPQ_STAT_ALLOCATED || id == VRPQ_STAT_REQUESTS || is_peak(id);
}

}  // namespace

void add_counts(Counts& counts, VrpqChanObj& chan, bool live) {
    ChannelCounters& seen = chan.end().counters();
    const auto get = [](std::uint64_t& counter) {
        return std::atomic_ref(counter).load(std::memory_order_relaxed);
    };
    const auto own = [](const auto& counter) {
        return std::uint64_t{counter.load(std::memory_order_relaxed)};
    };
    const auto peak = [&](std::size_t id, std::uint64_t value) {
        counts[id] = std::max(counts[id], value);
    };
    const auto& tally = chan.tally;
    const std::uint64_t full = get(seen.full_events);
    counts[VRPQ_STAT_NOTIFIES] += own(tally.notifies);
    counts[VRPQ_STAT_MULTI_NOTIFIES] += own(tally.notifies);
    counts[VRPQ_STAT_POSTS_PER_NOTIFY] += own(tally.notify_posts);
    peak(VRPQ_STAT_POSTS_PER_NOTIFY_MAX, own(tally.notify_posts_max));
    counts[VRPQ_STAT_POSTS_PER_CALL] += own(tally.call_posts);
    peak(VRPQ_STAT_POSTS_PER_CALL_MAX, own(tally.call_posts_max));
    counts[VRPQ_STAT_IN_REFS] += own(tally.refs);
    peak(VRPQ_STAT_SIZE_MAX, own(tally.size_max));
    peak(VRPQ_STAT_ALLOCATED_MAX, get(seen.pmem_peak));
    peak(VRPQ_STAT_REQUESTS_MAX, get(seen.ring_peak));
    if (chan.client != nullptr) {
        counts[VRPQ_STAT_MULTI_CALLS] += get(seen.calls);
        counts[VRPQ_STAT_ALLOCS_FAST] += get(seen.posts) + get(seen.calls) - full;
        counts[VRPQ_STAT_ALLOCS_SLOW] += full;
        counts[VRPQ_STAT_RING_FULL] += full;
    } else {
        counts[VRPQ_STAT_RESPONSE_XIRQS] += get(seen.xirqs);
        counts[VRPQ_STAT_RECYCLES] += get(seen.receives);
        counts[VRPQ_STAT_REQUESTS_PER_RECYCLE] += get(seen.requests);
    }
    if (!live) return;
    // The peer's word is only shown, never used.
    const rings::ChannelContext& context = chan.end().context();
    const auto progress = [&](std::size_t at) {
        return rings::Progress::unpack(
            rpq::port_word<std::atomic<std::uint64_t>>(context.port, at).load());
    };
    const rings::Progress held = progress(rpq::kHeadAt).since(progress(rpq::kTailAt));
    counts[VRPQ_STAT_ALLOCATED] += std::min<std::uint64_t>(held.bytes, context.port_bytes);
    counts[VRPQ_STAT_REQUESTS] += std::min<std::uint64_t>(held.records, context.port_bytes);
}

void Place::count(const std::string& device, std::uint32_t id) {
    std::lock_guard lock(mutex_);
    ++devices_[device].counts[id];
}

Counts Place::sum(const std::string& device) const {
    Counts counts = devices_.at(device).counts;
    each(device, [&](VrpqChanObj& chan) { add_counts(counts, chan, true); });
    return counts;
}

ProcedureCounts Place::sum_procedures(const std::string& device) const {
    ProcedureCounts counts = devices_.at(device).procedures;
    each(device, [&](const VrpqChanObj& chan) {
        if (chan.own_procedures != nullptr) chan.own_procedures->add_to(counts);
    });
    return counts;
}

Result<ProcedureCounts> Place::procedures(const std::string& device) {
    std::lock_guard lock(mutex_);
    const auto found = devices_.find(device);
    if (found == devices_.end())
        return Error::make(Errc::no_such_link, device + " was not used by this program");
    if (!std::exchange(found->second.by_procedure, true))
        each(device, [](VrpqChanObj& chan) { chan.count_procedures(); });
    ProcedureCounts counts = sum_procedures(device);
    for (const auto& [procedure, before] : found->second.procedures_at_reset)
        counts[procedure] -= before;
    std::erase_if(counts, [](const auto& entry) { return entry.second == 0; });
    return counts;
}

Result<Counts> Place::counts(const std::string& device) {
    std::lock_guard lock(mutex_);
    const auto found = devices_.find(device);
    if (found == devices_.end())
        return Error::make(Errc::no_such_link, device + " was not used by this program");
    Counts counts = sum(device);
    for (std::size_t id = 0; id < counts.size(); ++id)
        if (!is_state(id)) counts[id] -= found->second.at_reset[id];
    return counts;
}

Status Place::reset(const std::string& device) {
    std::lock_guard lock(mutex_);
    const auto found = devices_.find(device);
    if (found == devices_.end())
        return Error::make(Errc::no_such_link, device + " was not used by this program");
    found->second.at_reset = sum(device);
    found->second.procedures_at_reset = sum_procedures(device);
    return {};
}

}  // namespace hyplink::compat

extern "C" int vrpqProf(const char* devName, int cmd, VrpqStat* stats, uint32_t* count) {
    using namespace hyplink;
    using compat::failed;
    using compat::Place;
    if (devName == nullptr) return failed(Errc::bad_argument, "null pointer");
    const std::string device = compat::device_name(devName);
    if (cmd == VRPQ_PROF_RESET) {
        const int number = compat::outcome(Place::only().reset(device));
        return number == ENODEV ? ENXIO : number;
    }
    const bool by_procedure = cmd == VRPQ_PROF_PROC_STAT_GET || cmd == VRPQ_PROF_PROC_STAT_GET_ALL;
    if ((cmd != VRPQ_PROF_GEN_STAT_GET && !by_procedure) || stats == nullptr || count == nullptr)
        return failed(Errc::bad_argument, "vrpqProf: no such command, or null pointer");
    if (by_procedure) {
        const auto counts = Place::only().procedures(device);
        if (!counts) {
            const int number = failed(counts.error());
            return number == ENODEV ? ENXIO : number;
        }
        if (cmd == VRPQ_PROF_PROC_STAT_GET) {
            for (std::uint32_t i = 0; i < *count; ++i) {
                const auto known = counts->find(stats[i].id);
                stats[i].value = known == counts->end() ? 0 : known->second;
            }
            return 0;
        }
        const std::uint32_t room = std::exchange(*count, 0U);
        for (const auto& [procedure, requests] : *counts) {
            if (*count == room) break;
            stats[(*count)++] = {procedure, 0, requests};
        }
        return 0;
    }
    const auto counts = Place::only().counts(device);
    if (!counts) {
        const int number = failed(counts.error());
        return number == ENODEV ? ENXIO : number;
    }
    *count = std::min<std::uint32_t>(*count, VRPQ_STAT_COUNT);
    for (std::uint32_t id = 0; id < *count; ++id) stats[id] = {id, 0, (*counts)[id]};
    return 0;
}
