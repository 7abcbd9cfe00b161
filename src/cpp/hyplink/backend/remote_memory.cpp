/// Hypercalls as messages: memory that is granted, lent, or a device's. The guest's end.
#include <algorithm>

#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/remote_hypercalls.hpp"

namespace hyplink::backend {

Result<mem::Ipa> RemoteHypercalls::mem_alloc(std::uint32_t app, std::uint64_t bytes) {
    Answer answer = HYPLINK_TRY(call(request(HypOp::mem_alloc).put(app).put(bytes)));
    return answer.results.get<mem::Ipa>();
}

Status RemoteHypercalls::mem_free(std::uint32_t app, mem::Ipa at) {
    HYPLINK_TRY(call(request(HypOp::mem_free).put(app).put(at)));
    return {};
}

Result<RemoteHypercalls::Answer> RemoteHypercalls::mem_call(HypOp op, const hyp::MemCall& mem) {
    Packer packer = request(op);
    const std::vector<int> fds = pack_mem_call(packer, mem);
    return call(packer, fds);
}

Status RemoteHypercalls::mem_grant(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_grant, mem));
    return {};
}
Status RemoteHypercalls::mem_deny(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_deny, mem));
    return {};
}
Status RemoteHypercalls::mem_verify(const hyp::MemCall& mem) {
    HYPLINK_TRY(mem_call(HypOp::mem_verify, mem));
    return {};
}

Result<std::uint32_t> RemoteHypercalls::mem_hold(const hyp::MemCall& mem) {
    Answer answer = HYPLINK_TRY(mem_call(HypOp::mem_hold, mem));
    return answer.results.get<std::uint32_t>();
}

Status RemoteHypercalls::mem_release(std::uint32_t app) {
    HYPLINK_TRY(call(request(HypOp::mem_release).put(app)));
    return {};
}

Status RemoteHypercalls::mem_held(std::uint32_t hold) {
    HYPLINK_TRY(call(request(HypOp::mem_held).put(hold)));
    return {};
}

Result<std::vector<hyp::WindowPiece>> RemoteHypercalls::mem_map(hyp::MemRange range, bool writable,
                                                                hyp::Show show) {
    Packer packer = request(HypOp::mem_map);
    packer.put(range).put(static_cast<std::uint8_t>(writable)).put(show);
    Answer answer = HYPLINK_TRY(call(packer));
    std::vector<hyp::WindowPiece> pieces;
    auto fd = answer.message.fds.begin();
    for (auto left = answer.results.get<std::uint32_t>(); left != 0; --left) {
        hyp::WindowPiece piece;
        piece.range = answer.results.get<hyp::MemRange>();
        piece.offset = answer.results.get<std::uint64_t>();
        piece.generation = answer.results.get<std::uint32_t>();
        const bool granted = answer.results.get<std::uint8_t>() != 0;
        if (!answer.results.ok() || (granted && fd == answer.message.fds.end()))
            return Errc::protocol;
        if (granted) piece.fd = std::make_shared<sys::Fd>(std::move(*fd++));
        pieces.push_back(std::move(piece));
    }
    return pieces;
}

Status RemoteHypercalls::mem_watch(hyp::MemRange range, std::uint32_t generation) {
    HYPLINK_TRY(call(request(HypOp::mem_watch).put(range).put(generation)));
    return {};
}

Status RemoteHypercalls::mem_unmap(hyp::MemRange range) {
    HYPLINK_TRY(call(request(HypOp::mem_unmap).put(range)));
    return {};
}

Result<hyp::DmaReply> RemoteHypercalls::dma(const hyp::DmaOrder& order,
                                            const std::shared_ptr<sys::Fd>& object) {
    const int fd = object ? object->get() : -1;
    Answer answer =
        HYPLINK_TRY(call(request(HypOp::dma).put(order), std::span(&fd, object ? 1U : 0U)));
    return answer.results.get<hyp::DmaReply>();
}

Result<mem::Ipa> RemoteHypercalls::lend(std::uint32_t slot, const std::shared_ptr<sys::Fd>& object,
                                        std::uint64_t offset, std::uint64_t bytes,
                                        hyp::LoanKind kind) {
    const int fd = object->get();
    Answer answer = HYPLINK_TRY(
        call(request(HypOp::lend).put(slot).put(offset).put(bytes).put(kind), std::span(&fd, 1)));
    return answer.results.get<mem::Ipa>();
}

std::optional<hyp::Loan> RemoteHypercalls::offered(std::uint32_t slot, mem::Ipa at) {
    constexpr std::size_t kMost = 16;  // nobody borrows the others
    for (;;) {
        auto message = sys::receive_message(offers_.get(), false, true);
        if (!message) break;
        Unpacker reader(message->bytes);
        Offer offer;
        offer.slot = reader.get<std::uint32_t>();
        offer.loan.at = reader.get<mem::Ipa>();
        offer.loan.bytes = reader.get<std::uint64_t>();
        offer.loan.offset = reader.get<std::uint64_t>();
        if (!reader.ok() || message->fds.size() != 1) continue;
        offer.loan.object = std::make_shared<sys::Fd>(std::move(message->fds[0]));
        offered_.push_back(std::move(offer));
        if (offered_.size() > kMost) offered_.pop_front();
    }
    const auto found = std::find_if(offered_.begin(), offered_.end(), [&](const Offer& offer) {
        return offer.slot == slot && at >= offer.loan.at &&
               at.value - offer.loan.at.value < offer.loan.bytes;
    });
    if (found == offered_.end()) return std::nullopt;
    hyp::Loan loan = std::move(found->loan);
    offered_.erase(found);
    return loan;
}

Result<hyp::Loan> RemoteHypercalls::borrow(std::uint32_t slot, mem::Ipa at) {
    if (auto loan = offered(slot, at)) return *std::move(loan);
    Answer answer = HYPLINK_TRY(call(request(HypOp::borrow).put(slot).put(at)));
    if (answer.message.fds.size() != 1) return Errc::protocol;
    hyp::Loan loan;
    loan.at = answer.results.get<mem::Ipa>();
    loan.bytes = answer.results.get<std::uint64_t>();
    loan.offset = answer.results.get<std::uint64_t>();
    loan.object = std::make_shared<sys::Fd>(std::move(answer.message.fds[0]));
    return loan;
}

Status RemoteHypercalls::recall(std::uint32_t slot, mem::Ipa at, bool erase) {
    HYPLINK_TRY(
        call(request(HypOp::recall).put(slot).put(at).put(static_cast<std::uint8_t>(erase))));
    return {};
}

void RemoteHypercalls::recall_soon(std::uint32_t slot, mem::Ipa at, bool erase) {
    constexpr std::size_t kMost = 64;
    put_off_.push_back(
        request(HypOp::recall_soon).put(slot).put(at).put(static_cast<std::uint8_t>(erase)));
    if (put_off_.size() >= kMost) send_put_off();
}

}  // namespace hyplink::backend
