#include "hyplink/backend/bench.hpp"

#include "hyplink/backend/process_vm.hpp"
#include "hyplink/backend/seeded_runtime.hpp"
#include "hyplink/backend/thread_vm.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/guest/pipe_config.hpp"
#include "hyplink/guest/port_end.hpp"
#include "hyplink/guest/rpq_link.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace hyplink::backend {
namespace {

/// What a link's ports may need together: parameters and record heads, doubled for the channels
/// that one side has closed and the other not yet, and a page or two for each port's own lines.
std::uint64_t port_budget(const guest::RpqConfig& config, const hyp::Limits& limits) {
    return 2 * (config.pmem + 16 * config.requests) +
           std::uint64_t{limits.max_ports_per_link} * 20480;
}

}  // namespace

Result<std::shared_ptr<Bench>> Bench::make(hyp::BoardSpec board, BenchOptions options) {
    if (options.seeded && options.kind != BackendKind::thread)
        return Error::make(Errc::unsupported,
                           "a seed needs the thread backend: processes cannot be scheduled");
    for (hyp::LinkSpec& link : board.links) {
        if (link.port_budget != 0) continue;
        if (guest::carries_rpq(link.name))
            link.port_budget =
                port_budget(HYPLINK_TRY(guest::RpqConfig::parse(link.server_info)), options.limits);
        if (const auto kind = guest::pipe_kind(link.name))
            link.port_budget =
                HYPLINK_TRY(guest::PipeConfig::parse(*kind, link.server_info)).budget();
        if (guest::joins_ports(link.name, link.server_info))
            link.port_budget = guest::kPortLinkBudget;
    }

    options.limits.grant_level = options.kind == BackendKind::process
                                     ? hyp::GrantLevel::memfd
                                     : hyp::GrantLevel::cooperative;
    std::shared_ptr<Bench> bench(new Bench(std::move(options)));
    if (bench->options_.seeded)
        bench->runtime_ = std::make_unique<SeededRuntime>(bench->options_.seed);
    else
        bench->runtime_ = std::make_unique<sys::RealRuntime>();
    bench->hypervisor_ =
        HYPLINK_TRY(hyp::Hypervisor::make(board, *bench->runtime_, bench->options_.limits));
    if (bench->options_.kind == BackendKind::process) {
        sys::raise_fd_limit();
        bench->loop_ = HYPLINK_TRY(ControlLoop::make(*bench->hypervisor_));
    } else {
        bench->hypervisor_->subscribe(bench->timer_bell_);
        bench->timer_ = TaskThread(*bench->runtime_, [raw = bench.get()] {
            while (!raw->closing_) {
                const std::uint32_t seen = bell_seen(raw->timer_bell_);
                raw->hypervisor_->on_time();
                if (raw->closing_) break;
                const BellWait wait{&raw->timer_bell_, seen};
                (void)raw->runtime_->wait(std::span(&wait, 1), raw->hypervisor_->next_deadline());
            }
        });
    }
    return bench;
}

Bench::~Bench() { close(); }

void Bench::close() {
    if (closing_.exchange(true)) return;
    std::map<VmId, std::shared_ptr<VmHost>> hosts;
    {
        std::lock_guard lock(mutex_);
        hosts.swap(hosts_);
    }
    for (auto& [vm, host] : hosts) host->kill();
    for (auto& [vm, host] : hosts) host->join();
    if (options_.kind == BackendKind::thread && hypervisor_) {  // null: make() failed half way
        ring(*runtime_, timer_bell_);
        timer_.join();
        hypervisor_->unsubscribe(timer_bell_);
    }
    loop_.reset();
}

std::shared_ptr<VmHost> Bench::host(VmId vm) {
    std::lock_guard lock(mutex_);
    auto found = hosts_.find(vm);
    return found == hosts_.end() ? nullptr : found->second;
}

Status Bench::boot(VmId vm, Deadline deadline) {
    if (closing_) return Error::make(Errc::closed, "the bench is closed");
    std::shared_ptr<VmHost> made;
    hyp::GuestWaker* waker = nullptr;
    if (options_.kind == BackendKind::thread) {
        auto thread_vm = std::make_shared<ThreadVm>(*hypervisor_, vm);
        waker = thread_vm.get();
        made = std::move(thread_vm);
    } else {
        auto process_vm =
            std::make_shared<ProcessVm>(*hypervisor_, *loop_, vm, options_.vm_program);
        waker = &process_vm->waker();
        made = std::move(process_vm);
    }
    if (auto old = host(vm); old && hypervisor_->vm_state(vm) != VmState::running) old->join();
    HYPLINK_TRY(hypervisor_->begin_boot(vm, *waker));
    {
        std::lock_guard lock(mutex_);
        hosts_[vm] = made;
    }
    if (Status started = made->start(); !started) {
        hypervisor_->vm_gone(vm);
        return std::move(started).error().with(text("boot VM ", vm));
    }
    Status up =
        wait_change([&] { return hypervisor_->vm_state(vm) != VmState::booting; }, deadline);
    if (!up) {
        (void)kill(vm);
        return std::move(up).error().with(text("boot VM ", vm));
    }
    if (hypervisor_->vm_state(vm) != VmState::running) {
        made->join();  // its last words come after its death
        return Error::make(Errc::peer_dead,
                           text("boot VM ", vm, ": it died (", made->last_words(), ")"));
    }
    return {};
}

Status Bench::shutdown(VmId vm, Deadline deadline) {
    HYPLINK_TRY(hypervisor_->request_shutdown(vm));
    Status down = wait_change(
        [&] {
            const VmState state = hypervisor_->vm_state(vm);
            return state == VmState::off || state == VmState::dead;
        },
        deadline);
    if (!down) {
        (void)kill(vm);
        return std::move(down).error().with(text("shut down VM ", vm));
    }
    if (auto running = host(vm)) running->join();
    return {};
}

Status Bench::kill(VmId vm) {
    auto running = host(vm);
    if (!running || hypervisor_->vm_state(vm) == VmState::off ||
        hypervisor_->vm_state(vm) == VmState::dead)
        return Error::make(Errc::peer_dead,
                           text("kill VM ", vm, ": it is ", name(hypervisor_->vm_state(vm))));
    running->kill();
    running->join();
    return {};
}

Result<std::shared_ptr<app::Application>> Bench::attach(VmId vm) {
    auto running = host(vm);
    if (!running || hypervisor_->vm_state(vm) != VmState::running)
        return Error::make(Errc::peer_dead,
                           text("VM ", vm, " is ", name(hypervisor_->vm_state(vm))));
    auto application = std::make_shared<app::Application>(*runtime_);
    if (interrupt_check_) application->set_interrupt_check(interrupt_check_);
    auto link = HYPLINK_TRY(running->attach(application));
    HYPLINK_TRY(application->attach(std::move(link), shared_from_this()));
    return application;
}

Result<sys::Fd> Bench::attach_socket(VmId vm) {
    auto running = host(vm);
    if (!running || hypervisor_->vm_state(vm) != VmState::running)
        return Error::make(Errc::peer_dead,
                           text("VM ", vm, " is ", name(hypervisor_->vm_state(vm))));
    return running->attach_socket();
}

Status Bench::run(VmId vm, const Program& program) {
    auto running = host(vm);
    if (!running || hypervisor_->vm_state(vm) != VmState::running)
        return Error::make(Errc::peer_dead,
                           text("VM ", vm, " is ", name(hypervisor_->vm_state(vm))));
    return running->run(program);
}

int Bench::vm_pid(VmId vm) {
    auto running = host(vm);
    return running ? running->pid() : -1;
}

Status Bench::wait_change(const std::function<bool()>& ready, Deadline deadline) {
    BellWords bell{};
    hypervisor_->subscribe(bell);
    Status status;
    for (;;) {
        const std::uint32_t seen = bell_seen(bell);
        if (ready()) break;
        const BellWait wait{&bell, seen};
        Errc outcome = runtime_->wait(std::span(&wait, 1), deadline);
        if (outcome == Errc::interrupted && !(interrupt_check_ && interrupt_check_()))
            outcome = Errc::ok;
        if (outcome != Errc::ok) {
            status = Status(outcome);
            break;
        }
    }
    hypervisor_->unsubscribe(bell);
    return status;
}

Status Bench::wait_link(LinkIndex link, bool on, Deadline deadline) {
    return wait_change(
        [&] {
            const bool both = hypervisor_->link_state(link, Role::server) == LinkState::on &&
                              hypervisor_->link_state(link, Role::client) == LinkState::on;
            return both == on;
        },
        deadline);
}

}  // namespace hyplink::backend
