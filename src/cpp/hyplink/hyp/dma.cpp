#include "hyplink/hyp/dma.hpp"

#include <algorithm>
#include <array>

#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::uint64_t kPiece = 65536;
constexpr std::size_t kMaxJobs = 64;       // of one VM
constexpr std::size_t kMaxObjects = 1024;  // of one VM; each is a descriptor
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 40;

constexpr std::array<std::uint32_t, 256> crc_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit)
            value = (value & 1) != 0 ? value >> 1 ^ 0xedb88320U : value >> 1;
        table[byte] = value;
    }
    return table;
}
constexpr auto kCrc = crc_table();

/// CRC-32 as Ethernet and zlib have it; begins with 0.
std::uint32_t crc32(std::uint32_t sum, std::span<const std::byte> data) {
    sum = ~sum;
    for (const std::byte byte : data)
        sum = kCrc[(sum ^ static_cast<std::uint32_t>(byte)) & 0xff] ^ sum >> 8;
    return ~sum;
}

}  // namespace

Result<std::uint64_t> DmaDevices::attach(VmId vm, std::uint32_t,
                                         const std::shared_ptr<sys::Fd>& object,
                                         const GrantTable& grants, std::uint64_t& bytes) {
    if (!object || !sys::keeps_its_size(object->get()))
        return Error::make(Errc::bad_argument,
                           "attach: expected one memory object that keeps its size");
    bytes = HYPLINK_TRY(sys::file_size(object->get()));
    if (bytes == 0 || bytes % sys::page_size() != 0)
        return Error::make(Errc::bad_argument,
                           text("attach an object of ", bytes, " bytes: expected whole pages"));
    if (grants.has_object(object->get()))
        return Error::make(Errc::access_denied,
                           "attach: that is granted memory; it has to be granted for DMA");
    const auto used = std::count_if(objects_.begin(), objects_.end(),
                                    [vm](const auto& entry) { return entry.second.vm == vm; });
    if (static_cast<std::size_t>(used) >= kMaxObjects)
        return Error::make(Errc::over_quota, text("VM ", vm, " has attached ", kMaxObjects,
                                                  " objects to its devices already"));
    return bytes;
}

void DmaDevices::place(VmId vm, std::uint32_t app, std::uint64_t at, std::uint64_t bytes,
                       const std::shared_ptr<sys::Fd>& object) {
    objects_.emplace(at, Object{vm, app, bytes, object, sys::opened_for_writing(object->get())});
}

Status DmaDevices::detach(VmId vm, std::uint32_t app, std::uint64_t at) {
    const auto found = objects_.find(at);
    if (found == objects_.end() || found->second.vm != vm || found->second.app != app)
        return Error::make(Errc::bad_address,
                           text("detach: nothing was attached at 0x", std::hex, at));
    objects_.erase(found);
    return {};
}

Result<std::uint32_t> DmaDevices::start(VmId vm, const DmaOrder& order) {
    if (order.kind < DmaKind::copy || order.kind > DmaKind::checksum || order.bytes == 0 ||
        order.bytes > kMaxBytes || order.value > 0xff || order.repeat > 1 ||
        order.from + order.bytes < order.from || order.to + order.bytes < order.to)
        return Error::make(Errc::bad_argument,
                           text("a DMA job of kind ", static_cast<std::uint32_t>(order.kind),
                                " on ", order.bytes, " bytes makes no sense"));
    std::size_t used = 0;
    for (auto next = jobs_.begin(); next != jobs_.end();) {
        const auto job = next++;
        if (job->second.vm != vm || ++used < kMaxJobs) continue;
        // Results nobody asked for make room.
        const auto over = std::find_if(jobs_.begin(), jobs_.end(), [vm](const auto& entry) {
            return entry.second.vm == vm && entry.second.reply.state != DmaState::running;
        });
        if (over == jobs_.end())
            return Error::make(Errc::over_quota,
                               text("VM ", vm, " has ", kMaxJobs, " DMA jobs already"));
        jobs_.erase(over);
        break;
    }
    const std::uint32_t number = next_job_++;
    Job& job = jobs_[number];
    job.vm = vm;
    job.order = order;
    job.reply.job = number;
    job.reply.state = DmaState::running;
    return number;
}

Result<DmaReply> DmaDevices::look(VmId vm, std::uint32_t app, std::uint32_t number) const {
    const auto found = jobs_.find(number);
    if (found == jobs_.end() || found->second.vm != vm || found->second.order.app != app)
        return Error::make(Errc::not_found, text("DMA job ", number, ": no such job"));
    return DmaReply(found->second.reply);
}

Status DmaDevices::stop(VmId vm, std::uint32_t app, std::uint32_t number) {
    HYPLINK_TRY(look(vm, app, number));
    DmaReply& reply = jobs_.at(number).reply;
    if (reply.state == DmaState::running) reply.state = DmaState::stopped;
    return {};
}

void DmaDevices::leave(VmId vm, std::uint32_t app) {
    std::erase_if(jobs_, [&](const auto& entry) {
        return entry.second.vm == vm && entry.second.order.app == app;
    });
    std::erase_if(objects_, [&](const auto& entry) {
        return entry.second.vm == vm && entry.second.app == app;
    });
}

void DmaDevices::vm_ended(VmId vm) {
    std::erase_if(jobs_, [vm](const auto& entry) { return entry.second.vm == vm; });
    std::erase_if(objects_, [vm](const auto& entry) { return entry.second.vm == vm; });
}

DmaPlace DmaDevices::find(const Job& job, std::uint64_t at, bool write,
                          const GrantTable& grants) const {
    if (auto object = objects_.upper_bound(at); object != objects_.begin()) {
        --object;
        const auto& [begin, has] = *object;
        if (at - begin < has.bytes && has.vm == job.vm && has.app == job.order.app) {
            DmaPlace place{DmaFault::none, has.fd->get(), at - begin, has.bytes - (at - begin)};
            if (write && !has.writable) place.fault = DmaFault::read_only;
            return place;
        }
    }
    return grants.dma_place(job.vm, job.order.app, at, write);
}

void DmaDevices::piece(Job& job, const GrantTable& grants,
                       const std::function<bool(MemRange)>& held) {
    const DmaOrder& order = job.order;
    DmaReply& reply = job.reply;
    const bool reads = order.kind != DmaKind::fill;
    const bool writes = order.kind != DmaKind::checksum;
    std::uint64_t bytes = std::min(kPiece, order.bytes - reply.done);
    const std::uint64_t from = order.from + reply.done;
    const std::uint64_t to = order.to + reply.done;
    job.stalled = (reads && held({from, bytes})) || (writes && held({to, bytes}));
    if (job.stalled) return;
    auto fault = [&](DmaFault why, std::uint64_t at) {
        reply.state = DmaState::faulted;
        reply.fault = why;
        reply.at = at;
    };
    DmaPlace source;
    DmaPlace target;
    if (reads) source = find(job, from, false, grants);
    if (source.fault != DmaFault::none) return fault(source.fault, from);
    if (writes) target = find(job, to, true, grants);
    if (target.fault != DmaFault::none) return fault(target.fault, to);
    if (reads) bytes = std::min(bytes, source.bytes);
    if (writes) bytes = std::min(bytes, target.bytes);
    buffer_.resize(kPiece);
    const std::span piece(buffer_.data(), static_cast<std::size_t>(bytes));
    if (!reads) std::fill(piece.begin(), piece.end(), static_cast<std::byte>(order.value));
    if (reads && !sys::read_at(source.fd, piece, source.offset))
        return fault(DmaFault::broken, from);
    if (writes && !sys::write_at(target.fd, piece, target.offset))
        return fault(DmaFault::broken, to);
    if (order.kind == DmaKind::checksum) job.checksum = crc32(job.checksum, piece);
    reply.done += bytes;
    if (reply.done < order.bytes) return;
    reply.checksum = std::exchange(job.checksum, 0);
    ++reply.rounds;
    if (order.repeat == 0)
        reply.state = DmaState::done;
    else
        reply.done = 0;
}

std::vector<DmaDevices::Ended> DmaDevices::step(const GrantTable& grants,
                                                const std::function<bool(MemRange)>& held) {
    std::vector<Ended> ended;
    for (auto& [number, job] : jobs_) {
        if (job.reply.state != DmaState::running) continue;
        piece(job, grants, held);
        if (job.reply.state != DmaState::running)
            ended.push_back({job.vm, job.order.app, job.reply});
    }
    return ended;
}

bool DmaDevices::busy() const {
    return std::any_of(jobs_.begin(), jobs_.end(), [](const auto& entry) {
        return entry.second.reply.state == DmaState::running && !entry.second.stalled;
    });
}

bool DmaDevices::waiting() const {
    return std::any_of(jobs_.begin(), jobs_.end(),
                       [](const auto& entry) { return entry.second.stalled; });
}

void DmaDevices::go_on() {
    for (auto& [number, job] : jobs_) job.stalled = false;
}

}  // namespace hyplink::hyp
