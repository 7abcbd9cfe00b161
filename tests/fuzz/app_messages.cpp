// What applications send to their kernel, and what an application makes of a reply.
#include <sys/eventfd.h>

#include "board.hpp"
#include "hyplink/backend/app_messages.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;

namespace {

std::vector<std::byte> as_bytes(std::span<const std::uint8_t> bytes) {
    const auto view = std::as_bytes(bytes);
    return {view.begin(), view.end()};
}

void replies(fuzz::Input& input) {
    sys::Message message;
    for (std::uint8_t count = input.byte() % 9; count > 0; --count) {
        auto fd = input.byte() % 2 == 0 ? sys::make_eventfd() : sys::make_memfd("fuzz", 4096);
        message.fds.push_back(*std::move(fd));
    }
    const std::size_t fds = message.fds.size();
    message.bytes = as_bytes(input.rest());
    auto reply = backend::decode_reply(message);
    if (!reply) return;
    FUZZ_CHECK(reply->regions.size() + reply->fds.size() == fds);
    for (const auto& region : reply->regions) fuzz::touch(region->bytes());
    fuzz::touch(reply->data);
}

/// Bytes as they come from the socket, straight into the kernel.
void raw_requests(fuzz::Input& input) {
    const auto hypervisor = fuzz::make_board();
    fuzz::KernelVm vm(*hypervisor, fuzz::kServerVm);
    while (!input.empty()) {
        sys::Message message;
        message.bytes = as_bytes(input.take(input.byte()));
        auto request = backend::decode_request(message);
        if (!request) {
            FUZZ_CHECK(request.code() == Errc::protocol);
            continue;
        }
        vm.send(vm.apps[0], *std::move(request));
        vm.pump();
    }
    vm.check_serves(vm.apps[1]);
}

/// Both VMs with honest kernels, applications that ask for anything.
void requests(fuzz::Input& input) {
    const auto hypervisor = fuzz::make_board();
    fuzz::KernelVm server(*hypervisor, fuzz::kServerVm);
    fuzz::KernelVm client(*hypervisor, fuzz::kClientVm);
    auto settle = [&] {
        for (int turns = 0; turns < 8 && (server.waker.due || client.waker.due); ++turns) {
            server.pump();
            client.pump();
        }
    };
    settle();
    for (int step = 0; step < 80 && !input.empty(); ++step) {
        const std::uint8_t what = input.byte();
        fuzz::KernelVm& vm = what % 2 == 0 ? server : client;
        fuzz::App& app = vm.apps[what / 2 % 2];
        if (what < 232) {
            vm.ask(app, input);
        } else if (what < 244) {
            vm.leave(app, what % 8 < 4);
            vm.attach(app);
        } else if (what < 248) {
            vm.down();
            (what % 2 == 0 ? client : server).pump();
            hypervisor->on_time();
            (what % 2 == 0 ? client : server).pump();
            vm.boot();
        }
        if (what % 8 != 7) settle();
    }
    settle();
    server.check_serves(server.apps[1]);
    client.check_serves(client.apps[1]);
    // Applications that leave take everything with them: nothing stays to be answered.
    for (fuzz::KernelVm* vm : {&server, &client})
        for (fuzz::App& app : vm->apps) vm->leave(app, true);
    settle();
}

}  // namespace

void fuzz::one(Input& input) {
    switch (input.byte() % 4) {
        case 0:
            return replies(input);
        case 1:
            return raw_requests(input);
        default:
            return requests(input);
    }
}
