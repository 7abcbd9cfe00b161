/// An XIRQ there and back between two applications that drive a vlink themselves, through NKDDI.
#pragma once

#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "vm_pair.hpp"

namespace measure {

/// One end, in its VM: numbers of its own, the handshake, then the rounds. Returns the time of one
/// in ns. Work "eventfd": two eventfds in place of XIRQs, in the very same processes.
inline hyplink::Result<double> xirq_end(const EndOf& of) {
    using namespace hyplink;
    using nkddi::Nkddi;
    using nkddi::Window;
    const bool asks = of.first;
    const bool eventfd = of.work == "eventfd";
    of.application->scope().enable(of.work == "journal");
    auto nk = HYPLINK_TRY(Nkddi::open(of.application));
    const mem::Ipa link = nk->vlink_lookup("vearlydata", {});
    const XirqNumber to_first = HYPLINK_TRY(nk->pxirq_alloc(link, 0, 2, 1));
    const XirqNumber to_second = HYPLINK_TRY(nk->pxirq_alloc(link, 1, 4, 1));
    const XirqNumber own = asks ? to_first : to_second;
    const XirqNumber theirs = asks ? to_second : to_first;
    const VmId peer = asks ? 4 : 2;
    // A ring that met a sleeper counts twice, so the number of the round says what it is for.
    const mem::Ipa page = HYPLINK_TRY(nk->pmem_alloc(link, 0, 4096));
    const Window memory = HYPLINK_TRY(nk->map(page, 4096));
    auto& mine = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 0 : 128));
    auto& other = *reinterpret_cast<std::atomic<std::uint64_t>*>(memory.data + (asks ? 128 : 0));
    nkddi::VlinkDriver driver(*nk, link, asks ? Role::server : Role::client, {});
    HYPLINK_TRY(nk->attach(own, {}));
    const auto sysconf =
        HYPLINK_TRY(nk->attach(kSysconf, [&](XirqNumber) { (void)driver.step(); }));
    HYPLINK_TRY(driver.step());
    while (!driver.is_up()) HYPLINK_TRY(nk->dispatch(Deadline::never()));
    nk->detach(sysconf);

    const int await_fd = asks ? kBackEventfd : kThereEventfd;
    const int send_fd = asks ? kThereEventfd : kBackEventfd;
    std::uint64_t word = 1;
    const auto await = [&](std::uint64_t value) -> Status {
        if (eventfd) return ::read(await_fd, &word, 8) == 8 ? Status() : Status(Errc::internal);
        while (other.load(std::memory_order_acquire) != value)
            HYPLINK_TRY(nk->next(Deadline::never()));
        return {};
    };
    const auto send = [&](std::uint64_t value) -> Status {
        word = 1;
        if (eventfd) return ::write(send_fd, &word, 8) == 8 ? Status() : Status(Errc::internal);
        mine.store(value, std::memory_order_release);
        return nk->trigger(theirs, peer);
    };
    Timer timer;
    for (std::uint64_t i = 0; i < warm_of(of.rounds) + of.rounds; ++i) {
        timer.round(i, of.rounds);
        if (asks) HYPLINK_TRY(send(i + 1));
        HYPLINK_TRY(await(i + 1));
        if (!asks) HYPLINK_TRY(send(i + 1));
    }
    const double figure = timer.took() / static_cast<double>(of.rounds);
    if (!asks) {
        // Stay until the asker has taken the last answer: our leaving takes the link down.
        while (nk->state(link, Role::server) == LinkState::on) {
            if (const auto number = nk->next(Deadline::never()); !number) break;
        }
    }
    return figure;
}

}  // namespace measure
