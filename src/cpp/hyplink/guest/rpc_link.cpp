#include "hyplink/guest/rpc_link.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hyplink/base/info.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/guest/link_memory.hpp"

namespace hyplink::guest {
namespace {
constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;
}  // namespace

Result<RpcInfo> RpcInfo::parse(std::string_view info) {
    RpcInfo made;
    const std::size_t comma = info.find(',');
    made.name = info.substr(0, comma);
    if (comma == std::string_view::npos) return made;
    const std::string_view size = info.substr(comma + 1);
    const auto bytes = parse_size(size);
    if (!bytes || *bytes < 16 || *bytes > kMostBytes)
        return Error::make(Errc::bad_argument, text("info \"", info, "\": ", size,
                                                    " is not a size of 16 bytes to 64M"));
    made.bytes = *bytes;
    return made;
}

RpcLink::RpcLink(GuestKernel& kernel, VlinkEnd& end, std::uint64_t bytes)
    : kernel_(&kernel),
      end_(&end),
      bytes_(std::max<std::uint64_t>(bytes, 16)),
      book_(kernel, end, kCountsIon, bytes_) {
    end_->add_user(*this);
}

Status RpcLink::allocate() {
    const LinkMemory memory = HYPLINK_TRY(link_memory(*kernel_, *end_, bytes_, "vrpc"));
    area_ = reinterpret_cast<Area*>(memory.pmem);
    own_xirq_ = memory.own_xirq;
    peer_xirq_ = memory.peer_xirq;
    own_bell_ = memory.own_bell;
    return {};
}

// --- life cycle
// -----------------------------------------------------------------------------------

Status RpcLink::reset() {
    number_ = 0;
    calling_ = false;
    if (end_->role() == Role::server)
        area_->answers.store(0, std::memory_order_relaxed);
    else
        area_->calls.store(0, std::memory_order_relaxed);
    return {};
}

Status RpcLink::start() {
    kernel_->attach_xirq(own_xirq_, *own_bell_, *this);
    return {};
}

void RpcLink::up() {
    send();
    on_xirq(own_xirq_);
}

void RpcLink::abort() {
    calling_ = false;
    // What they do may call again: that waits for the next life of the link.
    for (Call& call : std::exchange(waiting_, {}))
        call.done(Error::make(Errc::peer_dead,
                              text("vRPC call: VM ", end_->peer_vm(), " or its vlink is gone")));
    if (down_) down_();
}

void RpcLink::stop() { kernel_->detach_xirq(own_xirq_); }

void RpcLink::on_xirq(XirqNumber) {
    if (!end_->is_up()) return;
    if (end_->role() == Role::server)
        take_call();
    else
        take_answer();
}

void RpcLink::corrupt(const Error& error) {
    kernel_->journal(Event::corrupt, end_->index(), static_cast<std::uint32_t>(end_->role()),
                     static_cast<std::uint64_t>(error.number()));
    end_->fail();
    kernel_->kick();
}

void RpcLink::ring() {
    book_.rang();
    (void)kernel_->hypercalls().xirq_trigger(peer_xirq_, end_->peer_vm());
}

// --- data
// -----------------------------------------------------------------------------------------

void RpcLink::write(std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(data(), bytes.data(), bytes.size());
    area_->size.store(static_cast<std::uint32_t>(bytes.size()), std::memory_order_relaxed);
    book_.message(sizeof(Area) + bytes.size());
}

Result<RpcLink::Bytes> RpcLink::read() {
    const std::uint32_t size = area_->size.load(std::memory_order_relaxed);
    if (size > most_bytes())
        return Error::make(Errc::corrupt, text("vrpc: size ", size, ", expected at most ",
                                               most_bytes(), " from VM ", end_->peer_vm()));
    return Bytes(data(), data() + size);
}

// --- client
// ---------------------------------------------------------------------------------------

void RpcLink::call(Bytes data, Done done) {
    if (data.size() > most_bytes())
        return done(Error::make(Errc::too_long,
                                text("vRPC call of ", data.size(), " bytes: the link has room for ",
                                     most_bytes(), "; raise the size in its info")));
    if (calling_) book_.waited();
    waiting_.push_back({std::move(data), std::move(done)});
    send();
}

void RpcLink::send() {
    if (calling_ || waiting_.empty() || !end_->is_up()) return;
    calling_ = true;
    write(waiting_.front().data);
    area_->calls.store(++number_, std::memory_order_release);  // partner: take_call
    ring();
}

void RpcLink::take_answer() {
    if (!calling_ || area_->answers.load(std::memory_order_acquire) != number_) return;
    auto answer = read();
    if (!answer) return corrupt(answer.error());
    calling_ = false;
    const Call call = std::move(waiting_.front());
    waiting_.pop_front();
    send();
    call.done(std::move(answer));
}

// --- server
// ---------------------------------------------------------------------------------------

void RpcLink::take_call() {
    const std::uint32_t number = area_->calls.load(std::memory_order_acquire);
    if (number == number_) return;
    number_ = number;
    const auto data = read();
    if (!data) return corrupt(data.error());
    Bytes answer = procedure_ ? procedure_(*data) : Bytes();
    if (answer.size() > most_bytes()) answer.resize(most_bytes());
    if (!end_->is_up()) return;
    write(answer);
    area_->answers.store(number, std::memory_order_release);  // partner: take_answer
    ring();
}

}  // namespace hyplink::guest
