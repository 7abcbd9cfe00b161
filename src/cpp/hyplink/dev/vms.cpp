#include "hyplink/dev/vms.hpp"

#include <sstream>
#include <utility>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/backend/socket_link.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/dev/tasks.hpp"
#include "hyplink/dev/tree.hpp"
#include "hyplink/sys/socket.hpp"

namespace hyplink::dev {

Result<Vms::Reply> Vms::ask(const std::string& request) {
    HYPLINK_TRY(sys::send_message(
        starter_.get(), std::as_bytes(std::span(request.data(), request.size())), {}, true));
    sys::Message message = HYPLINK_TRY(sys::receive_message(starter_.get(), true));
    Reply reply;
    reply.text.assign(reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size());
    if (!message.fds.empty()) reply.fd = std::move(message.fds[0]);
    return reply;
}

Result<std::vector<VmEntry>> Vms::list() {
    std::lock_guard lock(mutex_);
    const Reply reply = HYPLINK_TRY(ask("list"));
    std::vector<VmEntry> entries;
    std::istringstream lines(reply.text);
    for (std::string line; std::getline(lines, line);) {
        VmEntry entry;
        std::istringstream words(line);
        if (words >> entry.id >> entry.name) entries.push_back(std::move(entry));
    }
    return entries;
}

Result<std::shared_ptr<app::Application>> Vms::application(VmId vm) {
    std::lock_guard lock(mutex_);
    auto& known = applications_[vm];
    if (known && !known->lost()) return known;
    known.reset();
    Reply reply = HYPLINK_TRY(ask(text("attach ", vm)));
    if (!reply.fd) return Error::make(Errc::peer_dead, reply.text);
    known = HYPLINK_TRY(backend::application_from_fd(reply.fd.release()));
    known->set_interrupt_check([] { return Tasks::interrupted(); });
    return known;
}

std::vector<std::string> Vms::devices(VmId vm) {
    {
        std::lock_guard lock(mutex_);
        if (auto known = names_.find(vm); known != names_.end()) return known->second;
    }
    std::vector<std::string> names;
    auto found = application(vm);
    if (!found) return names;
    guest::SysRequest request;
    request.op = guest::Sys::list;
    auto reply = (*found)->call(std::move(request), (*found)->runtime().in(app::kClosePatience));
    if (!reply) return names;
    std::istringstream lines(reply->data);
    for (std::string name; std::getline(lines, name);)
        if (!name.empty() &&
            (name.starts_with(Tree::kInputs) || name.find('/') == std::string::npos))
            names.push_back(name);
    std::lock_guard lock(mutex_);
    return names_[vm] = names;
}

void Vms::note(const std::string& said) {
    std::lock_guard lock(mutex_);
    if (!noted_.insert(said).second) return;
    const std::string line = "note " + said;
    (void)sys::send_message(starter_.get(), std::as_bytes(std::span(line.data(), line.size())), {},
                            true);
}

void Vms::close() {
    std::lock_guard lock(mutex_);
    for (auto& [vm, application] : applications_)
        if (application) application->close();
}

}  // namespace hyplink::dev
