#include "hyplink/app/buffers/room.hpp"

#include "hyplink/base/text.hpp"

namespace hyplink::buffers {

std::optional<std::uint64_t> Room::find(std::uint64_t need) const {
    if (pieces_.empty()) return need <= bytes_ ? std::optional<std::uint64_t>(0) : std::nullopt;
    const std::uint64_t oldest = pieces_.front().begin;
    const std::uint64_t latest = pieces_.back().end;
    if (latest <= oldest)  // it has begun anew; equal: full
        return need <= oldest - latest ? std::optional(latest) : std::nullopt;
    if (need <= bytes_ - latest) return latest;
    return need <= oldest ? std::optional<std::uint64_t>(0) : std::nullopt;
}

Result<std::uint64_t> Room::try_take(std::uint64_t bytes, bool first) {
    const std::uint32_t request = channel_->next_request();
    if (bytes == 0 || bytes > bytes_)
        return Error::make(
            Errc::too_long,
            text(bytes, " bytes beside the port, which has room for ", bytes_, " there"));
    while (first && !pieces_.empty() && pieces_.back().request == request) pieces_.pop_back();
    while (!pieces_.empty() && HYPLINK_TRY(channel_->is_done(pieces_.front().request)))
        pieces_.pop_front();
    const std::uint64_t need = (bytes + kStep - 1) / kStep * kStep;
    const std::optional<std::uint64_t> at = find(need);
    if (at) {
        pieces_.push_back({request, *at, *at + need});
        channel_->count_copy(bytes);
        return *at;
    }
    if (pieces_.front().request == request)
        return Error::make(Errc::too_long, text("the large parameters of one request do not fit ",
                                                bytes_, " bytes"));
    return Errc::would_block;
}

Result<std::uint64_t> Room::take(std::uint64_t bytes, bool first, Deadline deadline) {
    for (;;) {
        auto taken = try_take(bytes, first);
        if (taken.code() != Errc::would_block) return taken;
        HYPLINK_TRY(channel_->wait_done(pieces_.front().request, deadline));
    }
}

}  // namespace hyplink::buffers
