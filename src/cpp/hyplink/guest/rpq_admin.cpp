#include "hyplink/guest/rpq_admin.hpp"

#include <cstring>

#include "hyplink/base/text.hpp"

namespace hyplink::guest {
namespace {
AdminArea::Direction& from(AdminArea& area, Role producer) {
    return area.directions[static_cast<std::uint32_t>(producer)];
}
Error corrupt(const char* field, std::uint64_t found, const std::string& expected) {
    return Error::make(Errc::corrupt, text("vRPQ administration: ", field, " is ", found,
                                           ", expected ", expected));
}
}  // namespace

void AdminRing::reset() {
    sent_ = taken_ = 0;
    was_full_ = false;
    from(*area_, own_).head.store(0, std::memory_order_release);
    from(*area_, other(own_)).tail.store(0, std::memory_order_release);
}

Status AdminRing::try_send(const AdminMessage& message) {
    if (message.info.size() > kMaxInfo)
        return Error::make(Errc::too_long,
                           text("info of ", message.info.size(), " bytes, at most ", kMaxInfo));
    AdminArea::Direction& way = from(*area_, own_);
    const std::uint32_t tail = way.tail.load(std::memory_order_acquire);  // the peer's word: once
    if (sent_ - tail > AdminArea::kSlots)
        return corrupt("consumer index", tail, text("up to ", sent_));
    if (sent_ - tail == AdminArea::kSlots) return Errc::would_block;
    AdminSlot& slot = area_->slots[static_cast<std::uint32_t>(own_)][sent_ % AdminArea::kSlots];
    AdminSlot local{};
    local.kind = static_cast<std::uint32_t>(message.kind);
    local.session = message.session;
    local.channel = message.channel;
    local.port = message.port;
    local.app = message.app;
    local.status = message.status;
    local.info_bytes = static_cast<std::uint32_t>(message.info.size());
    std::memcpy(local.info, message.info.data(), message.info.size());
    std::memcpy(&slot, &local, sizeof slot);
    way.head.store(++sent_, std::memory_order_release);  // partner: acquire in try_receive
    return {};
}

Result<std::optional<AdminMessage>> AdminRing::try_receive() {
    AdminArea::Direction& way = from(*area_, other(own_));
    const std::uint32_t head = way.head.load(std::memory_order_acquire);  // the peer's word: once
    const std::uint32_t waiting = head - taken_;
    if (waiting > AdminArea::kSlots)
        return corrupt("producer index", head, text(taken_, " and up to 7 more"));
    if (waiting == 0) return std::optional<AdminMessage>{};
    was_full_ = waiting == AdminArea::kSlots;
    AdminSlot local;
    std::memcpy(&local,
                &area_->slots[static_cast<std::uint32_t>(other(own_))][taken_ % AdminArea::kSlots],
                sizeof local);
    std::atomic_signal_fence(
        std::memory_order_seq_cst);  // from here on the copy only: no second fetch
    if (local.info_bytes > kMaxInfo)
        return corrupt("info size", local.info_bytes, text("at most ", kMaxInfo));
    way.tail.store(++taken_, std::memory_order_release);
    AdminMessage message;
    message.kind = static_cast<AdminKind>(local.kind);
    message.session = local.session;
    message.channel = local.channel;
    message.port = local.port;
    message.app = local.app;
    message.status = local.status;
    message.info.assign(reinterpret_cast<const char*>(local.info), local.info_bytes);
    return std::optional(std::move(message));
}

}  // namespace hyplink::guest
