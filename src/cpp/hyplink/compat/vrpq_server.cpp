#include "hyplink/compat/vrpq_objects.hpp"

namespace {

using namespace hyplink;
using compat::failed;
using rpq::Request;

// A batch is handed out as it lies in the channel.
static_assert(sizeof(VrpqReq) == sizeof(Request));
static_assert(offsetof(VrpqReq, procId) == offsetof(rpq::RequestView, proc));
static_assert(offsetof(VrpqReq, in) == offsetof(rpq::RequestView, in));
static_assert(offsetof(VrpqReq, inSize) == offsetof(rpq::RequestView, in_bytes));
static_assert(offsetof(VrpqReq, out) == offsetof(rpq::RequestView, out));
static_assert(offsetof(VrpqReq, outSize) == offsetof(rpq::RequestView, out_bytes));
static_assert(offsetof(VrpqReq, isCall) == offsetof(rpq::RequestView, is_call));

int no_server(VrpqChan chan) {
    if (chan == nullptr) return failed(Errc::closed, "no channel");
    return failed(Errc::bad_argument, "this is a client's channel");
}

}  // namespace

extern "C" {

int vrpqReceive(VrpqChan chan, VrpqReq* reqs[], uint32_t count, uint32_t* avail) {
    if (chan == nullptr || chan->server == nullptr) [[unlikely]]
        return no_server(chan);
    if (avail == nullptr || (reqs == nullptr && count != 0)) [[unlikely]]
        return failed(Errc::bad_argument, "null pointer");
    *avail = 0;
    auto batch = chan->server->receive(count);
    if (!batch) [[unlikely]] {
        chan->batch = {};
        return failed(batch.error());
    }
    chan->batch = *batch;
    for (std::size_t i = 0; i < batch->size(); ++i)
        reqs[i] = reinterpret_cast<VrpqReq*>(const_cast<Request*>(&(*batch)[i]));
    if (auto* table = chan->procedures.load(std::memory_order_acquire)) [[unlikely]]
        for (const Request& request : *batch) table->count(request.proc);
    *avail = static_cast<std::uint32_t>(batch->size());
    return 0;
}

int vrpqCallSetReason(VrpqChan chan, int32_t reason) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    chan->server->set_reason(reason);
    return 0;
}

int vrpqChanFail(VrpqChan chan, int error) {
    if (chan == nullptr || chan->server == nullptr) return no_server(chan);
    chan->server->fail(Error::make(static_cast<Errc>(error), "given up by the server"));
    return 0;
}

}  // extern "C"
