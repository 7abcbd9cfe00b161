#include "hyplink/backend/vm_process.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <optional>

#include "hyplink/backend/app_messages.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::backend {
namespace {
/// Nanoseconds that programs have to end by themselves when their VM has shut down; they are killed
/// then.
constexpr std::int64_t kFarewell = 1'000'000'000;
constexpr int kPutOff = 1;         // milliseconds that what nobody waits for waits for company
constexpr int kPutOffTurns = 256;  // of the loop, as long as it does not sleep
}  // namespace

constexpr int kLifeLine = 4;

/// One application of this VM, as its kernel's process sees it.
struct VmProcess::App final : public guest::AppSink {
    static constexpr std::size_t kMaxWords = 4096;
    static constexpr std::size_t kMaxObjects = 256;  // descriptors that go along

    sys::Fd socket;
    guest::AppId id = 0;
    /// Why it has no id: what it asks first is answered with this, then it is gone.
    std::optional<Error> refused;
    /// Dropped at the next turn of the loop: its kernel is in the midst of something.
    Dropped broken = Dropped::none;
    Errc code = Errc::ok;

    void reply(guest::SysReply&& reply) override {
        if (broken != Dropped::none) return;
        if (words_.empty()) {
            const Status sent = send_reply(socket.get(), reply);
            if (sent || sent.code() == Errc::peer_dead) return;  // its end is read soon
            if (sent.code() != Errc::would_block) return fail(Dropped::broken, sent.code());
        }
        objects_ += reply.regions.size() + reply.fds.size();
        words_.push_back(std::move(reply));
        if (words_.size() > kMaxWords || objects_ > kMaxObjects)
            fail(Dropped::unread, Errc::ring_full);
    }
    bool congested() const override { return !words_.empty(); }
    /// The socket has room again. True when nothing waits any more.
    bool flush() {
        while (!words_.empty()) {
            const guest::SysReply& next = words_.front();
            const Status sent = send_reply(socket.get(), next);
            if (sent.code() == Errc::would_block) return false;
            if (!sent && sent.code() != Errc::peer_dead) {
                fail(Dropped::broken, sent.code());
                return false;
            }
            objects_ -= next.regions.size() + next.fds.size();
            words_.pop_front();
        }
        return true;
    }

   private:
    void fail(Dropped reason, Errc why) {
        broken = reason;
        code = why;
        words_.clear();
        objects_ = 0;
    }
    std::deque<guest::SysReply> words_;
    std::size_t objects_ = 0;
};

VmProcess::VmProcess(sys::Fd hypervisor, sys::Fd offers, std::string own_program)
    : hypervisor_(std::move(hypervisor)),
      own_program_(std::move(own_program)),
      hypercalls_(hypervisor_.get(), std::move(offers), runtime_),
      xirqs_(hypercalls_),
      kernel_(runtime_, hypercalls_) {}

VmProcess::~VmProcess() = default;

int VmProcess::run() {
    Status status = xirqs_.open();
    if (status) status = kernel_.boot();
    while (status && !kernel_.halted()) {
        if (hypercalls_.unread().empty()) {
            if (!turn()) continue;
            auto message = sys::receive_message(hypervisor_.get(), false);
            if (message.code() == Errc::would_block) continue;
            if (message.code() == Errc::peer_dead) return 0;  // the bench is gone
            // Descriptors found no room in this process: whom they were for is told, we go on.
            if (static_cast<int>(message.code()) == EMFILE)
                not_started(message.error());
            else
                status = message ? on_hypervisor(*message) : Status(std::move(message).error());
        } else {
            sys::Message message = std::move(hypercalls_.unread().front());
            hypercalls_.unread().pop_front();
            if (message.lost)
                not_started(Error::make(static_cast<Errc>(EMFILE), "descriptors are lost"));
            else
                status = on_hypervisor(message);
        }
    }
    if (!status) {
        std::fprintf(stderr, "hyplink-vm: VM %u ends: %s\n", unsigned{kernel_.identity().id},
                     status.error().text().c_str());
        return 1;
    }
    see_off();
    return 0;
}

/// Wait for whatever comes, then serve the applications and look after the programs. Returns
/// whether the hypervisor may have said something.
bool VmProcess::turn() {
    for (auto app = apps_.begin(); app != apps_.end();) {
        App& current = **app++;
        if (current.broken != Dropped::none) drop(current, current.broken, current.code);
    }
    std::vector<struct pollfd> fds;
    fds.push_back({hypervisor_.get(), POLLIN, 0});
    std::vector<App*> asked;
    for (const auto& app : apps_) {
        const int events = app->congested() ? POLLIN | POLLOUT : POLLIN;
        fds.push_back({app->socket.get(), static_cast<short>(events), 0});
        asked.push_back(app.get());
    }
    const std::size_t lines = fds.size();
    for (std::size_t line = 0; line < xirqs_.size(); ++line)
        fds.push_back({xirqs_.fd(line), POLLIN, 0});
    const std::size_t programs = fds.size();
    for (const Program& program : programs_) fds.push_back({program.child.pidfd.get(), POLLIN, 0});
    const bool put_off = hypercalls_.has_put_off();
    const int ready = ::poll(fds.data(), fds.size(), put_off ? kPutOff : -1);
    if (put_off && (ready == 0 || ++put_off_turns_ >= kPutOffTurns)) {
        put_off_turns_ = 0;
        hypercalls_.send_put_off();
    }
    if (ready <= 0) return false;
    // What is served below may make hypercalls, whose answers come the same way.
    const bool said = fds.front().revents != 0;
    const bool ended = std::any_of(fds.begin() + static_cast<std::ptrdiff_t>(programs), fds.end(),
                                   [](const struct pollfd& one) { return one.revents != 0; });
    for (std::size_t line = 0; line < xirqs_.size(); ++line)
        if (fds[lines + line].revents != 0) on_line(line);
    for (std::size_t at = 0; at < asked.size(); ++at) {
        const short events = fds[1 + at].revents;
        // What one of them asks for may be the end of another.
        if (events == 0 || std::none_of(apps_.begin(), apps_.end(),
                                        [&](const auto& app) { return app.get() == asked[at]; }))
            continue;
        if ((events & POLLOUT) != 0 && asked[at]->congested() && asked[at]->flush())
            kernel_.app_ready(asked[at]->id);
        if ((events & ~POLLOUT) != 0) on_app(*asked[at]);
    }
    if (ended) reap();
    return said;
}

void VmProcess::reap() {
    for (auto program = programs_.begin(); program != programs_.end();) {
        const auto current = program++;
        const int pid = current->child.pid;
        const int status = sys::reap(current->child, false);
        if (status < 0) continue;
        kernel_.journal(Event::program_end, Record::kNoLink, static_cast<std::uint32_t>(pid),
                        static_cast<std::uint64_t>(status),
                        static_cast<std::uint64_t>((runtime_.now() - current->since) / 1'000'000));
        programs_.erase(current);
    }
}

void VmProcess::see_off() {
    apps_.clear();  // their sockets: every application sees that the VM is gone
    const Deadline until = runtime_.in(kFarewell);
    for (;;) {
        reap();
        std::vector<struct pollfd> fds;
        for (const Program& program : programs_)
            fds.push_back({program.child.pidfd.get(), POLLIN, 0});
        const std::int64_t left = until.at - runtime_.now();
        if (fds.empty() || left <= 0) return;
        (void)::poll(fds.data(), fds.size(), static_cast<int>((left + 999'999) / 1'000'000));
    }
}

void VmProcess::on_line(std::size_t line) {
    kernel_.on_xirqs(xirqs_.take(line));
    if (xirqs_.muted(line))
        kernel_.journal(Event::xirq_muted, Record::kNoLink, xirqs_.raiser(line));
}

Status VmProcess::on_hypervisor(sys::Message& message) {
    Unpacker reader(message.bytes);
    switch (reader.get<VmMessage>()) {
        case VmMessage::events:
            kernel_.on_events();
            if (hypercalls_.had_sysconf()) xirqs_.listen_again();
            return {};
        case VmMessage::attach:
            if (message.fds.size() == 1) adopt(std::move(message.fds[0]));
            return {};
        case VmMessage::run:
            if (const Status started = run_program(message); !started) not_started(started.error());
            return {};
        default:
            return Error::make(Errc::protocol, "the hypervisor said something that is no message");
    }
}

void VmProcess::not_started(const Error& why) {
    kernel_.journal(Event::program_failed, Record::kNoLink, 0, 0,
                    static_cast<std::uint64_t>(why.code()));
    std::fprintf(stderr, "hyplink-vm: VM %u cannot start a program: %s\n",
                 unsigned{kernel_.identity().id}, why.text().c_str());
}

void VmProcess::adopt(sys::Fd socket) {
    auto app = std::make_unique<App>();
    app->socket = std::move(socket);
    if (auto attached = kernel_.app_attach(*app)) {
        app->id = *attached;
    } else {
        kernel_.journal(Event::app_dropped, Record::kNoLink, 0,
                        static_cast<std::uint64_t>(Dropped::refused),
                        static_cast<std::uint64_t>(attached.code()));
        app->refused = std::move(attached).error();
    }
    apps_.push_back(std::move(app));
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
    Program program;
    program.since = runtime_.now();
    program.child = HYPLINK_TRY(sys::spawn(options));
    program.given = std::move(message.fds);
    programs_.push_back(std::move(program));
    adopt(std::move(sockets.first));
    return {};
}

void VmProcess::on_app(App& app) {
    auto message = sys::receive_message(app.socket.get(), false);
    if (message.code() == Errc::would_block) return;
    if (message.code() == Errc::peer_dead) return gone(app);
    if (!message)
        return drop(app, message.code() == Errc::corrupt ? Dropped::malformed : Dropped::broken,
                    message.code());
    auto request = decode_request(*message);
    if (!request) return drop(app, Dropped::malformed, request.code());
    if (!app.refused) return kernel_.handle(app.id, *std::move(request));
    guest::SysReply reply;
    reply.sequence = request->sequence;
    reply.code = app.refused->code();
    reply.data = app.refused->text();
    app.reply(std::move(reply));
    remove(app);
}

void VmProcess::gone(App& app) {
    if (!app.refused) kernel_.app_gone(app.id, true);
    remove(app);
}

void VmProcess::drop(App& app, Dropped reason, Errc code) {
    if (!app.refused) kernel_.app_drop(app.id, reason, code);
    remove(app);
}

void VmProcess::remove(App& app) {
    apps_.remove_if([&](const auto& other) { return other.get() == &app; });
}

}  // namespace hyplink::backend
