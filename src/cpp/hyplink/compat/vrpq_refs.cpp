/// References: data that travel behind the parameters. What the peer wrote is loaded once and has
/// to lie inside the request it belongs to.
#include "hyplink/compat/vrpq_objects.hpp"

namespace {

using namespace hyplink;
using compat::failed;
using compat::Place;
using rpq::Request;

int too_long(VrpqChanObj& chan) {
    chan.refs_failed = true;
    return failed(Errc::too_long, "references of more bytes or entries than were allocated");
}

/// The request of the last batch that these parameters belong to; null: none.
const Request* request_of(VrpqChanObj& chan, const void* buf) {
    const std::size_t count = chan.batch.size();
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = (chan.batch_hint + i) % count;
        const Request& request = chan.batch[at];
        if (buf != request.in && buf != request.out) continue;
        chan.batch_hint = at;
        return &request;
    }
    return nullptr;
}

struct Found {
    std::byte* entry = nullptr;
    std::byte* begin = nullptr;  ///< where its data may lie
    std::byte* end = nullptr;
};

/// The entry at `off`: among the parameters, or for the output table behind them, backwards.
Found entry_of(const Request& request, const void* buf, std::uint32_t off) {
    auto* const in = const_cast<std::byte*>(request.in);
    if (off % VRPQ_REF_BYTES != 0 || off > request.in_bytes ||
        request.in_bytes - off < VRPQ_REF_BYTES)
        return {};
    if (buf == request.in) return {in + off, in, in + request.in_bytes};
    if (request.in_bytes % VRPQ_REF_BYTES != 0) return {};
    return {in + request.in_bytes - VRPQ_REF_BYTES - off, request.out,
            request.out + request.out_bytes};
}

}  // namespace

extern "C" {

int vrpqRefWrite(void* buf, uint32_t off, uint32_t size, const void* data) {
    VrpqChanObj* const chan = Place::only().owner(buf);
    if (chan == nullptr || chan->begun == nullptr)
        return failed(Errc::bad_argument, "no parameters that were allocated");
    if (off % VRPQ_REF_BYTES != 0 || (size != 0 && data == nullptr)) return too_long(*chan);
    if (buf == chan->out_table.data()) {
        if (off / VRPQ_REF_BYTES >= chan->outs) return too_long(*chan);
        chan->out[off / VRPQ_REF_BYTES] = {size, const_cast<void*>(data)};
        return 0;
    }
    if (buf != chan->begun) return failed(Errc::bad_argument, "not the parameters allocated last");
    const std::uint64_t end = std::uint64_t{chan->data_at} + rpq::round8(size);
    if (std::uint64_t{off} + VRPQ_REF_BYTES > chan->data_end || end > chan->data_end)
        return too_long(*chan);
    std::byte* const entry = chan->begun + off;
    rpq::put(entry, size);
    rpq::put(entry + 4, size == 0 ? 0U : chan->data_at - off);
    rpq::put_bytes(chan->begun, chan->data_at, data, size);
    chan->data_at = static_cast<std::uint32_t>(end);
    VrpqChanObj::add(chan->tally.refs, 1);
    return 0;
}

void* vrpqRefInPlace(const void* buf, uint32_t off, uint32_t size) {
    VrpqChanObj* const chan = Place::only().owner(buf);
    const Request* const request = chan == nullptr ? nullptr : request_of(*chan, buf);
    if (request == nullptr) return nullptr;
    const Found found = entry_of(*request, buf, off);
    if (found.entry != nullptr) {
        const rpq::Part part = rpq::load_part(found.entry);  // {size, offset}
        const std::uint32_t told = part.off;
        if (told == 0 && size == 0) return nullptr;
        const auto room = static_cast<std::uint64_t>(found.end - found.begin);
        const auto at = static_cast<std::uint64_t>(found.entry - found.begin) + part.len;
        if (told == size && at % VRPQ_REF_BYTES == 0 && at <= room && size <= room - at)
            return found.begin + at;
    }
    ++chan->ref_errors;
    return nullptr;
}

uint32_t vrpqRefSize(const void* buf, uint32_t off) {
    VrpqChanObj* const chan = Place::only().owner(buf);
    const Request* const request = chan == nullptr ? nullptr : request_of(*chan, buf);
    if (request == nullptr) return 0;
    const Found found = entry_of(*request, buf, off);
    return found.entry == nullptr ? 0 : rpq::load<std::uint32_t>(found.entry);
}

uint32_t vrpqRefErrors(VrpqChan chan) { return chan == nullptr ? 0 : chan->ref_errors; }

}  // extern "C"
