#include "hyplink/backend/process_vm.hpp"

#include <unistd.h>

#include "hyplink/backend/codec.hpp"
#include "hyplink/backend/hyp_messages.hpp"
#include "hyplink/backend/socket_link.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::backend {

namespace {
constexpr int kStragglers = 5'000;  // milliseconds, for a process that hangs in the kernel
}

ProcessVm::ProcessVm(hyp::Hypervisor& hypervisor, ControlLoop& loop, VmId vm, std::string program)
    : hypervisor_(&hypervisor),
      loop_(&loop),
      program_(std::move(program)),
      channel_(std::make_shared<VmChannel>(hypervisor, vm, loop.poke_fd())) {}

ProcessVm::~ProcessVm() { kill(); }

Status ProcessVm::start() {
    // In the loop's thread: the VM dies when that thread ends.
    Status status = loop_->in_loop([this]() -> Status {
        auto sockets = HYPLINK_TRY(sys::make_socket_pair());
        sys::SpawnOptions options;
        options.arguments = {program_, "serve", std::to_string(::getpid())};
        sys::LifeLine line = HYPLINK_TRY(sys::make_life_line());
        auto offers = HYPLINK_TRY(sys::make_socket_pair());
        options.fds = {sockets.second.get(), line.write.get(), offers.second.get()};
        channel_->child = HYPLINK_TRY(sys::spawn(options));
        channel_->socket = std::move(sockets.first);
        channel_->offers = std::move(offers.first);
        lives_ = std::move(line.read);
        pid_ = channel_->child.pid;
        loop_->add(channel_);
        return {};
    });
    started_ = static_cast<bool>(status);
    return status;
}

Status ProcessVm::send(std::span<const std::byte> bytes, std::span<const int> fds) {
    return loop_->in_loop([&]() -> Status {
        if (channel_->gone)
            return Error::make(Errc::peer_dead, text("VM ", channel_->vm, " is not running"));
        return sys::send_message(channel_->socket.get(), bytes, fds, false);
    });
}

Result<sys::Fd> ProcessVm::attach_socket() {
    auto sockets = HYPLINK_TRY(sys::make_socket_pair());
    Packer packer;
    packer.put(VmMessage::attach);
    const int fd = sockets.second.get();
    HYPLINK_TRY(send(packer.bytes(), std::span(&fd, 1)));
    return std::move(sockets.first);
}

Result<std::unique_ptr<app::KernelLink>> ProcessVm::attach(
    const std::shared_ptr<app::Application>& application) {
    sys::Fd socket = HYPLINK_TRY(attach_socket());
    auto link = HYPLINK_TRY(SocketLink::make(std::move(socket), *application, channel_->vm));
    {
        std::lock_guard lock(mutex_);
        std::erase_if(here_, [](const auto& weak) { return weak.expired(); });
        here_.push_back(application);
    }
    return std::unique_ptr<app::KernelLink>(std::move(link));
}

Status ProcessVm::run(const Program& program) {
    Packer packer;
    packer.put(VmMessage::run);
    packer.put(static_cast<std::uint32_t>(program.arguments.size()));
    for (const std::string& argument : program.arguments) packer.put_text(argument);
    packer.put(static_cast<std::uint32_t>(program.environment.size()));
    for (const std::string& entry : program.environment) packer.put_text(entry);
    return send(packer.bytes(), program.fds);
}

void ProcessVm::kill() {
    if (!started_) return;
    (void)loop_->in_loop([this]() -> Status {
        if (!channel_->gone) sys::kill_child(channel_->child);
        return {};
    });
    join();
}

void ProcessVm::join() {
    if (!started_) return;
    const BellWait wait{&channel_->ended, 0};
    while (bell_seen(channel_->ended) == 0)
        (void)hypervisor_->runtime().wait(std::span(&wait, 1), Deadline::never());
    // Applications in this process are not killed; they must not outlive their VM by a moment
    // either.
    std::vector<std::weak_ptr<app::Application>> here;
    {
        std::lock_guard lock(mutex_);
        here.swap(here_);
    }
    for (const auto& weak : here)
        if (auto application = weak.lock())
            application->on_lost(text("VM ", channel_->vm, " died"));
    // Its applications were killed with it; wait until the last has stopped running, too.
    (void)sys::wait_lives(lives_, kStragglers);
    lives_.reset();
    started_ = false;
}

std::string ProcessVm::last_words() const {
    return bell_seen(channel_->ended) == 0 ? "" : sys::describe_exit(channel_->exit_status);
}

}  // namespace hyplink::backend
