// The control socket of a VM: messages that are no hypercalls, or absurd ones; and honest ones
// about memory that is granted, with absurd parts.
#include "board.hpp"
#include "hyplink/backend/codec.hpp"
#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/serve_hypercall.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/socket.hpp"

using namespace hyplink;
using backend::HypOp;

namespace {

/// Where the two VMs' applications have memory.
using Known = std::vector<mem::Ipa>;
constexpr std::uint64_t kPage = 4096;

/// Grants, denies, holds and looks at memory, well formed or nearly.
void make_memory_call(fuzz::Input& input, const Known& known, sys::Message& message,
                      backend::Packer& packer) {
    static constexpr HypOp kOps[] = {
        HypOp::mem_alloc, HypOp::mem_alloc,  HypOp::mem_free,    HypOp::mem_grant,
        HypOp::mem_grant, HypOp::mem_grant,  HypOp::mem_deny,    HypOp::mem_deny,
        HypOp::mem_hold,  HypOp::mem_verify, HypOp::mem_map,     HypOp::mem_map,
        HypOp::mem_unmap, HypOp::mem_held,   HypOp::mem_release, HypOp::mem_watch};
    const HypOp op = kOps[input.byte() % std::size(kOps)];
    packer.put(op);
    const auto some = [&] {
        if (known.empty() || input.byte() % 16 == 0) return input.wide();
        return known[input.byte() % known.size()].value;
    };
    const auto range = [&]() -> hyp::MemRange {
        const std::uint8_t pages = input.byte();
        const std::uint64_t at = some() + pages % 4 * kPage;
        return {at, pages < 240 ? (1 + pages / 4 % 4) * kPage : input.wide()};
    };
    const std::uint32_t app = input.byte() % 32 == 0 ? input.number() : 1;
    switch (op) {
        case HypOp::mem_alloc:
            packer.put(app).put(input.byte() % 16 == 0 ? input.wide() : 8 * kPage);
            break;
        case HypOp::mem_free:
            packer.put(app).put(some());
            break;
        case HypOp::mem_map:
            packer.put(range()).put(static_cast<std::uint8_t>(input.byte() % 2));
            packer.put(static_cast<std::uint8_t>(input.byte() % 2));
            break;
        case HypOp::mem_unmap:
            packer.put(range());
            break;
        case HypOp::mem_watch:
            packer.put(range()).put(input.number() % 32);
            break;
        case HypOp::mem_held:
            packer.put(input.number() % 8);
            break;
        case HypOp::mem_release:
            packer.put(app);
            break;
        default: {
            const std::uint8_t flags = input.byte();
            const std::uint32_t count = flags % 16 == 0 ? input.byte() % 12 : 1 + flags % 3;
            std::uint32_t present = flags < 200 ? (1U << count) - 1 : input.number();
            packer.put(fuzz::kServerVm + input.byte() % 2);
            const std::uint32_t moves =
                op == HypOp::mem_deny && flags % 4 == 3 ? hyp::kDenyMoves : 0U;
            packer.put((flags < 128 ? 5U + flags % 2 * 2U : input.number()) | moves);
            packer.put(app).put(present);
            packer.put(input.byte() % 32 == 0 ? input.number() : count);
            for (std::uint32_t i = 0; i < count; ++i) {
                const hyp::MemRange one = range();
                packer.put(one);
                if ((present >> i & 1) == 0) continue;
                const std::uint64_t bytes =
                    flags % 32 == 1 ? kPage : std::min<std::uint64_t>(one.bytes, 8 * kPage);
                message.fds.push_back(*sys::make_open_memfd("fuzz", bytes));
                if (flags % 32 == 2) (void)sys::seal(message.fds.back().get(), true);
            }
        }
    }
}

sys::Message make_message(fuzz::Input& input, const Known& known) {
    sys::Message message;
    backend::Packer packer;
    const std::uint8_t how = input.byte();
    if (how >= 160) {
        make_memory_call(input, known, message, packer);
    } else if (how < 32) {
        for (const std::uint8_t byte : input.take(input.byte())) packer.put(byte);
    } else {
        packer.put(static_cast<HypOp>(how % 16));
        switch (static_cast<HypOp>(how % 16)) {
            case HypOp::publish: {
                const std::uint32_t count = input.byte() % 8;
                packer.put(input.byte() % 8 == 0 ? input.number() : count);
                for (std::uint32_t i = 0; i < count; ++i)
                    packer.put(hyp::EndRef{input.number(), static_cast<Role>(input.byte() % 4)});
                break;
            }
            case HypOp::resources: {
                const std::uint32_t count = input.byte() % 4;
                packer.put(input.byte() % 8 == 0 ? input.number() : count);
                for (std::uint32_t i = 0; i < count; ++i) {
                    hyp::ResourceRequest request;
                    request.type = static_cast<hyp::ResourceType>(input.byte() % 4);
                    request.slot = input.number();
                    request.id = input.number();
                    request.owner = input.byte() % 8;
                    request.size = input.byte() % 4 == 0 ? input.wide() : input.number() % 100'000;
                    packer.put(request);
                }
                break;
            }
            case HypOp::mem_open:
                packer.put(std::uint64_t{0x1'0000'0000} + input.byte() * 0x10'0000ULL);
                break;
            case HypOp::port_alloc:
                packer.put(input.number());
                packer.put(input.byte() % 4 == 0 ? input.wide()
                                                 : std::uint64_t{input.number() % 100'000});
                break;
            case HypOp::xirq_bell:
            case HypOp::xirq_trigger:
                packer.put(input.byte() % 2 == 0 ? kSysconf + input.byte() : input.number());
                packer.put(std::uint32_t{input.byte()} % 8);
                break;
            default:
                for (std::uint8_t words = input.byte() % 4; words > 0; --words)
                    packer.put(input.number());
        }
    }
    message.bytes.assign(packer.bytes().begin(), packer.bytes().end());
    if (how == 31) message.fds.push_back(*sys::make_eventfd());
    return message;
}

}  // namespace

void fuzz::one(Input& input) {
    const auto hypervisor = make_board();
    Waker wakers[2];
    hyp::LocalHypercalls guests[2] = {{*hypervisor, kServerVm}, {*hypervisor, kClientVm}};
    (void)hypervisor->begin_boot(kServerVm, wakers[0]);
    (void)hypervisor->begin_boot(kClientVm, wakers[1]);
    auto sockets = *sys::make_socket_pair();
    Known known;
    for (int step = 0; step < 60 && !input.empty(); ++step) {
        hyp::LocalHypercalls& guest = guests[input.byte() % 2];
        sys::Message message = make_message(input, known);
        HypOp op{};
        if (message.bytes.size() >= sizeof op) std::memcpy(&op, message.bytes.data(), sizeof op);
        const bool allocates = op == HypOp::mem_alloc;
        const bool served =
            static_cast<bool>(backend::serve_hypercall(guest, sockets.first.get(), message));
        if (served && op != HypOp::recall_soon) {
            auto answer = sys::receive_message(sockets.second.get(), false);
            FUZZ_CHECK(answer);
            backend::Unpacker reader(answer->bytes);
            FUZZ_CHECK(reader.get<backend::VmMessage>() == backend::VmMessage::reply);
            const auto code = reader.get<Errc>();
            if (code != Errc::ok) touch(reader.get_text());
            FUZZ_CHECK(reader.ok());
            FUZZ_CHECK(code == Errc::ok || (answer->fds.empty() && reader.at_end()));
            if (code == Errc::ok && allocates) known.push_back(reader.get<mem::Ipa>());
        } else {
            FUZZ_CHECK(sys::receive_message(sockets.second.get(), false).code() ==
                       Errc::would_block);
        }
        for (Waker& waker : wakers)  // whoever is told of a hold hears of it, or not yet
            if (waker.due && input.byte() % 4 == 0) {
                waker.due = false;
                (void)guests[&waker - wakers].take_events();
            }
        if (input.byte() % 16 == 0) {
            const VmId vm = input.byte() % 2 == 0 ? kServerVm : kClientVm;
            (void)hypervisor->request_shutdown(vm);
            if (input.byte() % 2 == 0) hypervisor->vm_gone(vm);
            hypervisor->on_time();
            (void)hypervisor->begin_boot(vm, wakers[vm - kServerVm]);
        }
    }
    // The hypervisor is well: it can still be asked.
    (void)hypervisor->begin_boot(kServerVm, wakers[0]);
    FUZZ_CHECK(guests[0].identity());
    FUZZ_CHECK(hypervisor->scopes().size() >= 1);
}
