// The control socket of a VM: messages that are no hypercalls, or absurd ones.
#include "board.hpp"
#include "hyplink/backend/codec.hpp"
#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/remote_hypercalls.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/socket.hpp"

using namespace hyplink;
using backend::HypOp;

namespace {

sys::Message make_message(fuzz::Input& input) {
    sys::Message message;
    backend::Packer packer;
    const std::uint8_t how = input.byte();
    if (how < 32) {
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
    for (int step = 0; step < 60 && !input.empty(); ++step) {
        hyp::LocalHypercalls& guest = guests[input.byte() % 2];
        sys::Message message = make_message(input);
        if (backend::serve_hypercall(guest, sockets.first.get(), message)) {
            auto answer = sys::receive_message(sockets.second.get(), false);
            FUZZ_CHECK(answer);
            backend::Unpacker reader(answer->bytes);
            FUZZ_CHECK(reader.get<backend::VmMessage>() == backend::VmMessage::reply);
            const auto code = reader.get<Errc>();
            if (code != Errc::ok) touch(reader.get_text());
            FUZZ_CHECK(reader.ok());
            FUZZ_CHECK(code == Errc::ok || (answer->fds.empty() && reader.at_end()));
        } else {
            FUZZ_CHECK(sys::receive_message(sockets.second.get(), false).code() ==
                       Errc::would_block);
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
