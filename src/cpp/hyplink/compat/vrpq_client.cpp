#include "hyplink/compat/vrpq_objects.hpp"

namespace {

using namespace hyplink;
using compat::failed;

int no_client(VrpqChan chan) {
    if (chan == nullptr) return failed(Errc::closed, "no channel");
    return failed(Errc::bad_argument, "this is a server's channel");
}

[[gnu::cold, gnu::noinline]] int not_begun() {
    return failed(Errc::bad_argument, "these parameters are not those allocated last");
}

/// Room for parameters, their references and the entries of an output table; 0 when it is more
/// than a block can have.
std::uint32_t block_bytes(std::uint64_t size, std::uint32_t refs, std::uint64_t ref_bytes,
                          std::uint32_t outs) {
    if (refs == 0 && outs == 0) return static_cast<std::uint32_t>(size);
    const std::uint64_t data = refs == 0 ? 0 : ref_bytes + std::uint64_t{7} * refs;
    const std::uint64_t total = rpq::round8(size) + rpq::round8(data) + VRPQ_REF_BYTES * outs;
    return total > UINT32_MAX ? 0 : static_cast<std::uint32_t>(total);
}

void begun(VrpqChanObj& chan, std::byte* block, std::uint32_t size, std::uint32_t in_bytes,
           std::uint32_t outs) {
    chan.begun = block;
    chan.count_size(in_bytes);
    chan.begun_plain = false;
    chan.in_bytes = in_bytes;
    chan.data_at = static_cast<std::uint32_t>(rpq::round8(size));
    chan.data_end = in_bytes - VRPQ_REF_BYTES * outs;
    chan.refs_failed = false;
    chan.outs = outs;
}

[[gnu::noinline]] void* post_alloc(VrpqChanObj& chan, std::uint32_t size, std::uint32_t refs,
                                   std::uint32_t ref_bytes) {
    const std::uint32_t in_bytes = block_bytes(size, refs, ref_bytes, 0);
    chan.begun = nullptr;
    if (in_bytes == 0 && size != 0) {
        errno = failed(Errc::too_long, "references of more than 4 GiB");
        return nullptr;
    }
    auto block = chan.client->begin(0, in_bytes);
    if (!block) {
        errno = failed(block.error());
        return nullptr;
    }
    begun(chan, *block, size, in_bytes, 0);
    chan.begun_call = false;
    chan.begun_plain = refs == 0;
    return *block;
}

/// The request at `in` is the one begun, and whole.
int finish(VrpqChanObj& chan, const void* in, std::uint32_t proc, bool call) {
    if (in == nullptr || chan.begun != in || chan.begun_call != call) return not_begun();
    if (chan.refs_failed)
        return failed(Errc::too_long, "references of more bytes than were allocated");
    chan.begun = nullptr;
    chan.client->set_proc(proc);
    return 0;
}

/// Good path of a post, or 1.
[[gnu::always_inline]] inline bool finish_plain(VrpqChan chan, const void* in, std::uint32_t proc) {
    if (chan == nullptr || in == nullptr || chan->begun != in || !chan->begun_plain ||
        chan->begun_call) [[unlikely]]
        return false;
    chan->begun = nullptr;
    chan->client->set_proc(proc);
    return true;
}

/// Where each output will lie, told to the server at the end of the parameters, the first last: so
/// the server needs no count to find one.
int place_outs(VrpqChanObj& chan, std::byte* in, std::uint32_t out_bytes) {
    std::uint64_t at = 0;
    for (std::uint32_t i = 0; i < chan.outs; ++i) {
        const std::uint32_t entry = chan.in_bytes - VRPQ_REF_BYTES * (i + 1);
        const std::uint32_t size = chan.out[i].size;
        rpq::put(in + entry, size);
        rpq::put(in + entry + 4,
                 size == 0 ? 0U : static_cast<std::uint32_t>(chan.in_bytes + at - entry));
        at += rpq::round8(size);
    }
    if (at > rpq::round8(out_bytes))
        return failed(Errc::too_long, "outputs of more bytes than were allocated");
    return 0;
}

/// What a call keeps to itself: a handler of callbacks may begin another call while it waits.
struct Outs {
    std::uint32_t count;
    std::array<VrpqChanObj::Out, VrpqChanObj::kMaxOuts> out;
};

void copy_outs(const Outs& outs, const rpq::ReplyView& reply) {
    std::uint64_t at = 0;
    for (std::uint32_t i = 0; i < outs.count; ++i) {
        const auto& out = outs.out[i];
        if (out.size != 0) std::memcpy(out.to, reply.out + at, out.size);
        at += rpq::round8(out.size);
    }
}

}  // namespace

extern "C" {

void* vrpqParamPostAlloc(VrpqChan chan, uint32_t size, uint32_t refCount, uint32_t refSize) {
    if (chan == nullptr || chan->client == nullptr) [[unlikely]] {
        errno = no_client(chan);
        return nullptr;
    }
    if (refCount == 0) [[likely]] {
        if (std::byte* block = chan->client->begin_fast(0, size)) [[likely]] {
            chan->begun = block;
            chan->begun_plain = true;
            chan->begun_call = false;
            chan->count_size(size);
            return block;
        }
    }
    return post_alloc(*chan, size, refCount, refSize);
}

int vrpqParamCallAlloc(VrpqChan chan, uint32_t inSize, uint32_t inRefCount, uint32_t inRefSize,
                       uint32_t outCount, uint32_t outSize, void** in, void** out) {
    if (chan == nullptr || chan->client == nullptr) return no_client(chan);
    if (in == nullptr || out == nullptr || outCount > VrpqChanObj::kMaxOuts)
        return failed(Errc::bad_argument, "null pointer, or more than 32 outputs");
    chan->begun = nullptr;
    const std::uint32_t in_bytes = block_bytes(inSize, inRefCount, inRefSize, outCount);
    const std::uint64_t out_bytes =
        outCount == 0 ? outSize : rpq::round8(std::uint64_t{outSize} + std::uint64_t{7} * outCount);
    if ((in_bytes == 0 && inSize != 0) || out_bytes > UINT32_MAX)
        return failed(Errc::too_long, "references of more than 4 GiB");
    auto block = chan->client->begin_call(0, in_bytes, static_cast<std::uint32_t>(out_bytes));
    if (!block) return failed(block.error());
    begun(*chan, *block, inSize, in_bytes, outCount);
    chan->begun_call = true;
    chan->out_bytes = static_cast<std::uint32_t>(out_bytes);
    for (std::uint32_t i = 0; i < outCount; ++i) chan->out[i] = {};
    *in = *block;
    *out = outCount == 0 ? static_cast<void*>(*block + rpq::round8(in_bytes))
                         : static_cast<void*>(chan->out_table.data());
    return 0;
}

int vrpqPost(VrpqChan chan, uint32_t procId, void* in) {
    if (!finish_plain(chan, in, procId)) [[unlikely]] {
        if (chan == nullptr || chan->client == nullptr) return no_client(chan);
        if (const int wrong = finish(*chan, in, procId, false)) return wrong;
    }
    ++chan->tally.unsent;
    chan->count_procedure(procId);
    return compat::outcome(chan->client->post());
}

int vrpqNotify(VrpqChan chan) {
    if (chan == nullptr || chan->client == nullptr) [[unlikely]]
        return no_client(chan);
    if (chan->tally.unsent != 0) {
        VrpqChanObj::add(chan->tally.notifies, 1);
        chan->count_sent(chan->tally.notify_posts, chan->tally.notify_posts_max);
    }
    return compat::outcome(chan->client->notify());
}

int vrpqPostAndNotify(VrpqChan chan, uint32_t procId, void* in) {
    const int posted = vrpqPost(chan, procId, in);
    return posted != 0 ? posted : vrpqNotify(chan);
}

int vrpqCall(VrpqChan chan, uint32_t procId, void* in, void* out) {
    if (chan == nullptr || chan->client == nullptr) [[unlikely]]
        return no_client(chan);
    (void)out;  // it belongs to `in`
    chan->reason = 0;
    if (const int wrong = finish(*chan, in, procId, true)) return wrong;
    const std::uint32_t out_bytes = chan->out_bytes;
    Outs outs;
    outs.count = chan->outs;
    if (outs.count != 0) {
        if (const int wrong = place_outs(*chan, static_cast<std::byte*>(in), out_bytes))
            return wrong;
        outs.out = chan->out;
    }
    chan->count_sent(chan->tally.call_posts, chan->tally.call_posts_max);
    chan->count_procedure(procId);
    auto reply = chan->client->call();
    if (!reply) [[unlikely]] {
        // As in the original: a call that a signal ends is given up, its late answer is dropped.
        if (reply.code() == Errc::interrupted) chan->client->call_forget();
        return failed(reply.error());
    }
    chan->reason = reply->status;
    chan->out_bytes = out_bytes;
    if (reply->status == 0) copy_outs(outs, *reply);
    return 0;
}

int32_t vrpqCallReason(VrpqChan chan) { return chan == nullptr ? 0 : chan->reason; }
uint32_t vrpqCallOutSize(VrpqChan chan) { return chan == nullptr ? 0 : chan->out_bytes; }

}  // extern "C"
