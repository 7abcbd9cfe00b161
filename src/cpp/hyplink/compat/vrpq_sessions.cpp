#include <algorithm>

#include "hyplink/compat/vrpq_objects.hpp"

namespace {

using namespace hyplink;
using compat::device_name;
using compat::failed;
using compat::Place;
using rpq::Session;

int no_session() { return failed(Errc::closed, "no session of this program"); }

std::string info_text(const void* info, std::uint32_t size) {
    return info == nullptr ? std::string() : std::string(static_cast<const char*>(info), size);
}

void give_info(const std::string& sent, void* info, std::uint32_t* size) {
    if (size == nullptr) return;
    if (info != nullptr) std::memcpy(info, sent.data(), std::min<std::size_t>(*size, sent.size()));
    *size = static_cast<std::uint32_t>(sent.size());
}

/// No node of that name is ENXIO in the original.
int no_device(const Error& error) {
    const int number = failed(error);
    return number == ENODEV ? ENXIO : number;
}

template <class Open>
int keep(Result<std::unique_ptr<Open>> opened, const Session& session, VrpqChan* chan) {
    if (!opened) return failed(opened.error());
    auto made = std::make_unique<VrpqChanObj>();
    made->device = session.device();
    if constexpr (std::is_same_v<Open, rpq::OpenClient>) {
        made->open_client = *std::move(opened);
        made->client = &made->open_client->channel();
    } else {
        made->open_server = *std::move(opened);
        made->server = &made->open_server->channel();
    }
    Place::only().add(*made);
    *chan = made.release();
    return 0;
}

}  // namespace

extern "C" {

int vrpqSessionCreate(const char* devName, const void* info, uint32_t infoSize,
                      VrpqSession* session) {
    if (devName == nullptr || session == nullptr) return failed(Errc::bad_argument, "null pointer");
    auto application = compat::application();
    if (!application) return failed(application.error());
    const std::string device = device_name(devName);
    Place::only().count(device, VRPQ_STAT_ADMIN_CALLS);
    auto made = Session::create(*application, device, info_text(info, infoSize), Deadline::never());
    if (!made) return no_device(made.error());
    *session = Place::only().add(*std::move(made));
    return 0;
}

int vrpqSessionAccept(const char* devName, void* info, uint32_t* infoSize, VrpqSession* session) {
    if (devName == nullptr || session == nullptr) return failed(Errc::bad_argument, "null pointer");
    auto application = compat::application();
    if (!application) return failed(application.error());
    const std::string device = device_name(devName);
    Place::only().count(device, VRPQ_STAT_ADMIN_CALLS);
    auto made = Session::accept(*application, device, Deadline::never());
    if (!made) return no_device(made.error());
    give_info((*made)->info(), info, infoSize);
    *session = Place::only().add(*std::move(made));
    return 0;
}

int vrpqSessionDestroy(VrpqSession session) {
    auto found = Place::only().remove(session);
    if (!found) return no_session();
    found->close();
    return 0;
}

int vrpqClientIdGet(VrpqSession session, VrpqClientId* id) {
    auto found = Place::only().find(session);
    if (!found) return no_session();
    if (id == nullptr || found->role() != Role::server)
        return failed(Errc::bad_argument, "a server's session tells who its client is");
    id->vmId = found->peer_vm();
    id->appId = found->peer_app();
    return 0;
}

int vrpqShmMap(VrpqSession session, void** base) {
    static char every_channel_has_its_own;
    if (base == nullptr) return failed(Errc::bad_argument, "null pointer");
    if (session != VRPQ_SESSION_ANY && !Place::only().find(session)) return no_session();
    *base = &every_channel_has_its_own;
    return 0;
}

int vrpqChanCreate(VrpqSession session, const void* info, uint32_t infoSize, VrpqChan* chan) {
    return vrpqChanCreateSized(session, 0, info, infoSize, chan);
}

int vrpqChanCreateSized(VrpqSession session, uint64_t parameterBytes, const void* info,
                        uint32_t infoSize, VrpqChan* chan) {
    auto found = Place::only().find(session);
    if (!found) return no_session();
    if (chan == nullptr) return failed(Errc::bad_argument, "null pointer");
    Place::only().count(found->device(), VRPQ_STAT_ADMIN_CALLS);
    return keep(found->create_channel(parameterBytes, info_text(info, infoSize), Deadline::never()),
                *found, chan);
}

int vrpqChanAccept(VrpqSession session, void* info, uint32_t* infoSize, VrpqChan* chan) {
    if (chan == nullptr) return failed(Errc::bad_argument, "null pointer");
    const bool any = session == VRPQ_SESSION_ANY;
    std::shared_ptr<Session> found;
    if (any) {
        auto chosen = Place::only().any();
        if (!chosen) return failed(chosen.error());
        found = *std::move(chosen);
    } else {
        found = Place::only().find(session);
    }
    if (!found) return no_session();
    Place::only().count(found->device(), VRPQ_STAT_ADMIN_CALLS);
    const int number = keep(any ? found->accept_any_channel(Deadline::never())
                                : found->accept_channel(Deadline::never()),
                            *found, chan);
    if (number == 0) give_info((*chan)->open_server->info(), info, infoSize);
    return number;
}

int vrpqChanDestroy(VrpqChan chan) {
    if (!Place::only().remove(chan)) return failed(Errc::closed, "no channel of this program");
    delete chan;
    return 0;
}

int vrpqChanTimeout(VrpqChan chan, int64_t milliseconds) {
    if (chan == nullptr) return failed(Errc::closed, "no channel");
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1'000'000;
    chan->end().set_timeout(milliseconds < 0 ? -1 : std::min(milliseconds, kMost) * 1'000'000);
    return 0;
}

}  // extern "C"
