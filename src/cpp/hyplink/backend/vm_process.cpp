#include "hyplink/backend/vm_process.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "hyplink/backend/app_messages.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::backend {
namespace {
/// Nanoseconds that programs have to end by themselves when their VM has shut down; they are killed
/// then.
constexpr std::int64_t kFarewell = 1'000'000'000;
}  // namespace

constexpr int kLifeLine = 4;

/// One application of this VM, as its kernel's process sees it.
struct VmProcess::App final : public guest::AppSink {
    sys::Fd socket;
    guest::AppId id = 0;
    bool broken = false;
    void reply(guest::SysReply&& reply) override {
        if (!send_reply(socket.get(), reply))
            broken = true;  // dropped at the next turn of the loop
    }
};

VmProcess::VmProcess(sys::Fd hypervisor, std::string own_program)
    : hypervisor_(std::move(hypervisor)),
      own_program_(std::move(own_program)),
      hypercalls_(hypervisor_.get()),
      kernel_(runtime_, hypercalls_) {}

VmProcess::~VmProcess() = default;

int VmProcess::run() {
    if (!kernel_.boot()) return 1;
    while (!kernel_.halted()) {
        if (!hypercalls_.unread().empty()) {
            sys::Message message = std::move(hypercalls_.unread().front());
            hypercalls_.unread().pop_front();
            if (!on_hypervisor(message)) return 1;
            continue;
        }
        for (auto app = apps_.begin(); app != apps_.end();) {
            auto current = app++;
            if ((*current)->broken) drop(**current, true);
        }
        std::vector<struct pollfd> fds;
        fds.push_back({hypervisor_.get(), POLLIN, 0});
        for (const auto& app : apps_) fds.push_back({app->socket.get(), POLLIN, 0});
        for (const auto& child : children_) fds.push_back({child.pidfd.get(), POLLIN, 0});
        if (::poll(fds.data(), fds.size(), -1) < 0) continue;
        if (fds[0].revents != 0) {
            auto message = sys::receive_message(hypervisor_.get(), false);
            if (!message && message.code() != Errc::would_block) return 0;  // the bench is gone
            if (message && !on_hypervisor(*message)) return 1;
        }
        std::vector<App*> ready;
        std::size_t at = 1;
        for (const auto& app : apps_) {
            if (at < fds.size() && fds[at].revents != 0) ready.push_back(app.get());
            ++at;
            if (at > fds.size()) break;
        }
        for (App* app : ready)
            if (std::any_of(apps_.begin(), apps_.end(),
                            [&](const auto& other) { return other.get() == app; }))
                on_app(*app);
        std::erase_if(children_, [](sys::Child& child) { return sys::reap(child, false) >= 0; });
    }
    see_off();
    return 0;
}

void VmProcess::see_off() {
    apps_.clear();  // their sockets: every application sees that the VM is gone
    const Deadline until = runtime_.in(kFarewell);
    for (;;) {
        std::erase_if(children_, [](sys::Child& child) { return sys::reap(child, false) >= 0; });
        std::vector<struct pollfd> fds;
        for (const auto& child : children_) fds.push_back({child.pidfd.get(), POLLIN, 0});
        const std::int64_t left = until.at - runtime_.now();
        if (fds.empty() || left <= 0) return;
        (void)::poll(fds.data(), fds.size(), static_cast<int>((left + 999'999) / 1'000'000));
    }
}

bool VmProcess::on_hypervisor(sys::Message& message) {
    Unpacker reader(message.bytes);
    switch (reader.get<VmMessage>()) {
        case VmMessage::events:
            kernel_.on_events();
            return true;
        case VmMessage::attach:
            if (message.fds.size() == 1) (void)adopt(std::move(message.fds[0]));
            return true;
        case VmMessage::run:
            (void)run_program(message);
            return true;
        default:
            return false;
    }
}

Status VmProcess::adopt(sys::Fd socket) {
    auto app = std::make_unique<App>();
    app->socket = std::move(socket);
    app->id = HYPLINK_TRY(kernel_.app_attach(*app));
    apps_.push_back(std::move(app));
    return {};
}

Status VmProcess::run_program(sys::Message& message) {
    Unpacker reader(message.bytes);
    (void)reader.get<VmMessage>();
    // The launcher ties the program's life to ours, whatever the program is.
    sys::SpawnOptions options;
    options.arguments = {own_program_, "exec", std::to_string(::getpid())};
    for (auto count = reader.get<std::uint32_t>(); count > 0 && reader.ok(); --count)
        options.arguments.push_back(reader.get_text());
    for (auto count = reader.get<std::uint32_t>(); count > 0 && reader.ok(); --count)
        options.environment.push_back(reader.get_text());
    if (!reader.ok()) return Errc::protocol;
    auto sockets = HYPLINK_TRY(sys::make_socket_pair());
    options.environment.push_back("HYPLINK_APP_FD=3");
    options.fds.push_back(sockets.second.get());
    for (const sys::Fd& fd : message.fds) options.fds.push_back(fd.get());
    options.fds.push_back(kLifeLine);  // inherited on: the bench sees when the last of us is gone
    sys::Child child = HYPLINK_TRY(sys::spawn(options));
    children_.push_back(std::move(child));
    return adopt(std::move(sockets.first));
}

void VmProcess::on_app(App& app) {
    auto message = sys::receive_message(app.socket.get(), false);
    if (!message) {
        if (message.code() != Errc::would_block) drop(app, true);
        return;
    }
    auto request = decode_request(*message);
    if (!request) return drop(app, true);
    kernel_.handle(app.id, *std::move(request));
}

void VmProcess::drop(App& app, bool died) {
    kernel_.app_gone(app.id, died);
    apps_.remove_if([&](const auto& other) { return other.get() == &app; });
}

}  // namespace hyplink::backend
