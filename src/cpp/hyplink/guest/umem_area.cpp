#include "hyplink/guest/umem_area.hpp"

#include <cstring>

#include "hyplink/base/text.hpp"

namespace hyplink::guest::umem {
namespace {
Slot& slot(std::byte* half) { return *reinterpret_cast<Slot*>(half); }
std::byte* data(std::byte* half) { return half + sizeof(Slot); }
Error corrupt(const char* field, std::uint64_t found, const std::string& expected) {
    return Error::make(Errc::corrupt,
                       text("vUmem call: ", field, " is ", found, ", expected ", expected));
}
}  // namespace

void CallerEnd::reset() {
    number_ = 0;
    calling_ = false;
    slot(half_).caller.bytes = 0;
    slot(half_).caller.number.store(0, std::memory_order_release);
}

void CallerEnd::call(std::uint32_t server, const Request& request) {
    std::memcpy(data(half_), &request, sizeof request);
    slot(half_).caller.server = server;
    slot(half_).caller.bytes = sizeof request;
    calling_ = true;
    if (++number_ == 0) ++number_;  // 0 is "never called"
    slot(half_).caller.number.store(number_,
                                    std::memory_order_release);  // partner: CalledEnd::poll
}

Result<std::optional<Reply>> CallerEnd::poll() {
    if (!calling_) return std::optional<Reply>{};
    Slot::Called& called = slot(half_).called;
    const std::uint32_t number = called.number.load(std::memory_order_acquire);
    if (number != number_) {
        // The last answer, or none yet; nothing else is possible.
        if (number == number_ - 1 || number == 0 || (number_ == 1 && number == 0xffffffff))
            return std::optional<Reply>{};
        return corrupt("answer number", number, text(number_));
    }
    Reply reply;
    reply.error = called.error;
    const std::uint32_t bytes = called.bytes;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the locals only from here on
    if (bytes < sizeof(Answer) || bytes > bytes_ - sizeof(Slot))
        return corrupt("answer size", bytes, text(sizeof(Answer), "..", bytes_ - sizeof(Slot)));
    std::memcpy(&reply.head, data(half_), sizeof reply.head);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (reply.head.chunks != (bytes - sizeof(Answer)) / sizeof(Chunk) ||
        (bytes - sizeof(Answer)) % sizeof(Chunk) != 0)
        return corrupt("number of chunks", reply.head.chunks, text("what ", bytes, " bytes hold"));
    reply.chunks.resize(reply.head.chunks);
    if (!reply.chunks.empty())
        std::memcpy(reply.chunks.data(), data(half_) + sizeof(Answer),
                    reply.chunks.size() * sizeof(Chunk));
    calling_ = false;
    return std::optional(std::move(reply));
}

void CalledEnd::reset() {
    number_ = 0;
    called_ = false;
    slot(half_).called.bytes = 0;
    slot(half_).called.number.store(0, std::memory_order_release);
}

Result<std::optional<Call>> CalledEnd::poll() {
    Slot::Caller& caller = slot(half_).caller;
    const std::uint32_t number = caller.number.load(std::memory_order_acquire);
    if (number == number_) return std::optional<Call>{};
    if (called_)
        return corrupt("call number", number, text(number_, " until that one is answered"));
    Call call;
    call.server = caller.server;
    const std::uint32_t bytes = caller.bytes;
    std::memcpy(&call.request, data(half_), sizeof call.request);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the copy only from here on
    if (bytes != sizeof(Request)) return corrupt("call size", bytes, text(sizeof(Request)));
    if (call.request.opaque_bytes > kMaxOpaque)
        return corrupt("size of the opaque argument", call.request.opaque_bytes,
                       text("at most ", kMaxOpaque));
    number_ = number;
    called_ = true;
    return std::optional(call);
}

void CalledEnd::answer(std::uint32_t server, std::int32_t error, const Answer& head,
                       std::span<const Chunk> chunks) {
    Answer local = head;
    local.chunks = static_cast<std::uint32_t>(chunks.size());
    std::memcpy(data(half_), &local, sizeof local);
    if (!chunks.empty())
        std::memcpy(data(half_) + sizeof local, chunks.data(), chunks.size_bytes());
    Slot::Called& called = slot(half_).called;
    called.server = server;
    called.error = error;
    called.bytes = static_cast<std::uint32_t>(sizeof local + chunks.size_bytes());
    called_ = false;
    called.number.store(number_, std::memory_order_release);  // partner: CallerEnd::poll
}

}  // namespace hyplink::guest::umem
