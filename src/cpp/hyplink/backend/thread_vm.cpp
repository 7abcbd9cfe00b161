#include "hyplink/backend/thread_vm.hpp"

#include <algorithm>

#include "hyplink/base/text.hpp"

namespace hyplink::backend {

/// An application's way to a kernel in the same process: a call under the kernel's lock.
class ThreadVm::Link final : public app::KernelLink, public guest::AppSink {
   public:
    Link(std::shared_ptr<ThreadVm> vm, app::Application& application)
        : vm_(std::move(vm)), application_(&application) {}

    Status send(guest::SysRequest&& request) override {
        auto lock = vm_->lock_kernel();
        if (vm_->dead_ || app_ == 0)
            return Error::make(Errc::peer_dead, text("VM ", vm_->vm_, " died"));
        vm_->kernel_->handle(app_, std::move(request));
        return {};
    }
    Errc wait(const BellWait& until, Deadline deadline, Turn&, guest::Sys) override {
        return application_->runtime().wait(std::span(&until, 1), deadline);
    }
    void close() override {
        auto lock = vm_->lock_kernel();
        if (app_ != 0 && !vm_->dead_) vm_->kernel_->app_gone(app_, false);
        app_ = 0;
        std::erase(vm_->links_, this);
    }
    void reply(guest::SysReply&& reply) override {
        if (auto said = application_->on_reply(std::move(reply))) said_.push_back(std::move(*said));
    }
    /// What was said back on the kernel's words, when the kernel has time for it.
    void hand_over() {
        for (auto& request : std::exchange(said_, {}))
            vm_->kernel_->handle(app_, std::move(request));
    }

    void lost() { application_->on_lost(text("VM ", vm_->vm_, " died")); }
    std::shared_ptr<ThreadVm> vm_;
    app::Application* application_;  // closes us, under the kernel's lock, before it goes
    guest::AppId app_ = 0;
    std::vector<guest::SysRequest> said_;
};

ThreadVm::ThreadVm(hyp::Hypervisor& hypervisor, VmId vm)
    : hypervisor_(&hypervisor), vm_(vm), hypercalls_(hypervisor, vm) {}

ThreadVm::~ThreadVm() {
    if (kernel_) kill();  // never started: the VM that runs under this id is another one
    join();
}

std::unique_lock<std::mutex> ThreadVm::lock_kernel() {
    std::unique_lock lock(mutex_, std::defer_lock);
    Runtime& runtime = hypervisor_->runtime();
    if (!runtime.seeded()) {
        lock.lock();
    } else {
        while (!lock.try_lock()) runtime.switch_point(SwitchPoint::wait);
    }
    return lock;
}

Status ThreadVm::start() {
    kernel_ = std::make_unique<guest::GuestKernel>(hypervisor_->runtime(), hypercalls_);
    thread_ = TaskThread(hypervisor_->runtime(), [this] { loop(); });
    return {};
}

void ThreadVm::loop() {
    Runtime& runtime = hypervisor_->runtime();
    {
        auto lock = lock_kernel();
        const Status booted = dead_ ? Status(Errc::cancelled) : kernel_->boot();
        if (!booted) {
            if (!dead_) last_words_ = booted.error().text();
            lock.unlock();
            hypervisor_->vm_gone(vm_);
            return;
        }
    }
    for (;;) {
        const std::uint32_t seen = bell_seen(bell_);
        {
            auto lock = lock_kernel();
            if (dead_) return;
            kernel_->on_events();
            for (Link* link : std::vector(links_)) link->hand_over();
            if (kernel_->halted()) {
                dead_ = true;
                for (Link* link : std::vector(links_)) link->lost();
                return;
            }
        }
        const BellWait wait{&bell_, seen};
        (void)runtime.wait(std::span(&wait, 1), Deadline::never());
    }
}

std::string ThreadVm::last_words() const {
    std::lock_guard lock(mutex_);
    return last_words_;
}

void ThreadVm::wake() { ring(hypervisor_->runtime(), bell_); }

Result<std::unique_ptr<app::KernelLink>> ThreadVm::attach(
    const std::shared_ptr<app::Application>& application) {
    auto lock = lock_kernel();
    if (dead_ || !kernel_) return Error::make(Errc::peer_dead, text("VM ", vm_, " is not running"));
    auto link = std::make_unique<Link>(shared_from_this(), *application);
    link->app_ = HYPLINK_TRY(kernel_->app_attach(*link));
    links_.push_back(link.get());
    return std::unique_ptr<app::KernelLink>(std::move(link));
}

Result<sys::Fd> ThreadVm::attach_socket() {
    return Error::make(Errc::unsupported,
                       "a VM of the thread backend has no applications in other processes");
}

Status ThreadVm::run(const Program&) {
    return Error::make(Errc::unsupported, "programs run in a VM of the process backend only");
}

void ThreadVm::kill() {
    {
        auto lock = lock_kernel();
        if (dead_) return;
        dead_ = true;
    }
    hypervisor_->vm_gone(vm_);
    {
        auto lock = lock_kernel();
        for (Link* link : std::vector(links_)) link->lost();
    }
    wake();
}

void ThreadVm::join() {
    thread_.join();
    auto lock = lock_kernel();
    kernel_.reset();
}

}  // namespace hyplink::backend
