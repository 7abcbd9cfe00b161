/// The messages of vmq.h.
#include "hyplink/compat/vmq.h"

#include <cerrno>
#include <cstddef>
#include <utility>

#include "hyplink/compat/place.hpp"
#include "hyplink/compat/vmq_link.hpp"

using namespace hyplink;
using compat::failed;
using Lock = std::unique_lock<std::mutex>;

// The header reads what is public at the address of the whole.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
static_assert(offsetof(vmq_link_t, pub) == 0 && offsetof(vmq_links_t, pub) == 0);
#pragma GCC diagnostic pop

namespace {

/// What a receiving function answers, and what follows from it.
signed received(vmq_link_t& link, const Result<std::uint32_t>& slot) {
    if (slot) return 0;
    if (slot.code() == Errc::revoked) {
        link.stale = true;
        link.rouse(true);
        return -failed(slot.error());
    }
    return -failed(Errc::would_block, "vMQ: no message");
}

void misuse(const Status& done) {
    if (!done) failed(done.error());
}

void send(vmq_link_t& link, void* msg, bool flush) {
    Lock lock(link.mutex);
    const std::uint32_t slot = link.own_slot(msg);
    if (link.aborted || link.hindrance() != 0) {
        if (slot != vmq_link_t::kNone) (void)link.queue->discard(slot);
        return link.after_giving_back(lock);
    }
    const Status sent = link.queue->send_async(slot);
    if (!sent) return misuse(sent);
    if (flush) link.queue->deliver();
}

}  // namespace

extern "C" {

const char* hyplink_vmq_error(void) { return compat::last_error().c_str(); }

signed vmq_msg_allocate_ex(vmq_link_t* link, unsigned data_len, void** msg, unsigned* data_offset,
                           bool nonblocking) {
    if (data_offset == nullptr) data_len = 0;
    if (data_len > link->pub.data_max)
        return failed(Errc::too_long, "vMQ: larger than a buffer of this link"), -E2BIG;
    Lock lock(link->mutex);
    VmqWaiter waiter;
    bool waited = false;
    signed outcome = 0;
    for (;;) {
        outcome = -link->hindrance();
        if (outcome != 0) break;
        auto slot = link->queue->try_allocate();
        if (slot.code() == Errc::revoked) {
            (void)received(*link, slot);
            continue;
        }
        std::uint64_t at = 0;
        bool full = !slot;
        if (slot && data_len != 0) {
            const auto buffer = link->queue->data_allocate(data_len);
            full = !buffer;
            if (buffer)
                at = *buffer;
            else
                (void)link->queue->discard(*slot);
        }
        if (!full) {
            *msg = link->queue->header(*slot).data();
            if (data_offset != nullptr) *data_offset = static_cast<unsigned>(at);
            break;
        }
        if (link->queue->untold()) link->queue->deliver();
        // What came back has to be taken by the program: nobody else knows that it lies there.
        if (link->queue->returned_waiting()) link->poke();
        if (nonblocking || link->in_own_thread()) {
            outcome = -failed(Errc::would_block, "vMQ: every message or buffer is in use");
            break;
        }
        if (!std::exchange(waited, true)) {
            ++link->slots_wanted;
            link->queue->await_slots(true);
            continue;  // what came back before that was said
        }
        if (link->sleep(lock, waiter) == Errc::interrupted) {
            outcome = -failed(Errc::interrupted, "vMQ: a signal ended the wait");
            break;
        }
        link->queue->await_slots(true);
    }
    if (waited && --link->slots_wanted == 0 && link->on()) link->queue->await_slots(false);
    return outcome;
}

void vmq_msg_send(vmq_link_t* link, void* msg) { send(*link, msg, true); }
void vmq_msg_send_async(vmq_link_t* link, void* msg) { send(*link, msg, false); }

void vmq_msg_send_flush(vmq_link_t* link) {
    const Lock lock(link->mutex);
    if (link->on() && link->queue->untold()) link->queue->deliver();
}

signed vmq_msg_receive(vmq_link_t* link, void** msg) {
    const Lock lock(link->mutex);
    if (link->phase == vmq_link_t::Phase::down)
        return -failed(Errc::would_block, "vMQ: the other end is not on");
    const auto slot = link->queue->try_receive();
    if (slot)
        *msg = link->queue->received(*slot).data();
    else
        link->queue->rouse_sender();
    return received(*link, slot);
}

void vmq_msg_free(vmq_link_t* link, void* msg) {
    Lock lock(link->mutex);
    misuse(link->queue->free(link->received_slot(msg)));
    link->queue->rouse_sender();
    link->after_giving_back(lock);
}

void vmq_msg_return(vmq_link_t* link, void* msg) {
    Lock lock(link->mutex);
    misuse(link->queue->return_(link->received_slot(msg)));
    link->after_giving_back(lock);
}

unsigned vmq_msg_slot(vmq_link_t* link, const void* msg) {
    const Lock lock(link->mutex);
    return link->own_slot(msg);
}

bool vmq_data_offset_ok(vmq_link_t* link, unsigned data_offset) {
    const Lock lock(link->mutex);
    return link->phase != vmq_link_t::Phase::down && link->queue->data_offset_ok(data_offset);
}

void vmq_data_free(vmq_link_t* link, unsigned data_offset) {
    Lock lock(link->mutex);
    if (link->phase == vmq_link_t::Phase::down) return;
    misuse(link->queue->data_free(data_offset));
    link->after_giving_back(lock);
}

signed vmq_return_msg_receive(vmq_link_t* link, void** msg) {
    const Lock lock(link->mutex);
    if (link->phase == vmq_link_t::Phase::down)
        return -failed(Errc::would_block, "vMQ: the other end is not on");
    const auto slot = link->queue->try_return_receive();
    if (slot) *msg = link->queue->header(*slot).data();
    return received(*link, slot);
}

void vmq_return_msg_free(vmq_link_t* link, void* msg) {
    Lock lock(link->mutex);
    misuse(link->queue->return_free(link->own_slot(msg)));
    link->after_giving_back(lock);
}

}  // extern "C"
