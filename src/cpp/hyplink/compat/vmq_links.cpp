/// The links of vmq.h: which there are, how they begin and end.
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/compat/ends.hpp"
#include "hyplink/compat/vmq_link.hpp"

using namespace hyplink;
using compat::failed;

namespace {

mq::Config rounded(const vmq_xx_config_t& config) {
    const auto round = [](unsigned bytes) {
        return bytes > ~0U - 63 ? ~0U : (bytes + 63) / 64 * 64;
    };
    mq::Config made;
    made.msg_count = config.msg_count;
    made.msg_max = round(config.msg_max);
    made.data_count = config.data_max == 0 ? 0 : config.data_count;
    made.data_max = config.data_count == 0 ? 0 : round(config.data_max);
    return made;
}

std::string info_at(NkPhAddr address) {
    const auto* info = address == 0 ? nullptr : static_cast<const char*>(nkops.nk_ptov(address));
    return info == nullptr ? std::string() : std::string(info);
}

char* or_null(std::string& info) { return info.empty() ? nullptr : info.data(); }

/// VMQ_XX_CONFIG_IGNORE_VLINK, an address that is none.
constexpr std::uintptr_t kIgnore = 1;

using Ask = const vmq_xx_config_t* (*)(vmq_link_t*, const char*);

/// The configuration of one direction, given or asked for. Null with 0: the vlink is left out.
const vmq_xx_config_t* config_of(const vmq_xx_config_t* given, Ask ask, vmq_link_t& link,
                                 const char* info, int& number) {
    if (given != nullptr) return given;
    const vmq_xx_config_t* const asked = ask == nullptr ? nullptr : ask(&link, info);
    if (asked == nullptr) number = failed(Errc::bad_argument, "vMQ: no configuration");
    return reinterpret_cast<std::uintptr_t>(asked) == kIgnore ? nullptr : asked;
}

struct Wanted {
    std::string_view name;
    const vmq_xx_config_t* tx;
    const vmq_xx_config_t* rx;
    bool frontend;
    bool busy = false;  ///< another application has one
};

/// Add the own end of a vlink if it is wanted. Positive errno, or 0.
int add(vmq_links_t& links, const NkDevVlink& vlink, Wanted& wanted) {
    const NkOsId own = nkops.nk_id_get();
    if (vlink.s_id != own && vlink.c_id != own) return 0;
    const bool server = vlink.s_id == vlink.c_id ? !wanted.frontend : vlink.s_id == own;
    const std::string own_info = info_at(server ? vlink.s_info : vlink.c_info);
    if (wanted.name != "vmq" && !own_info.starts_with(wanted.name)) return 0;

    port::Lookup what;
    what.device = "vmq";
    what.name = own_info;
    what.role = server ? guest::PortRole::server : guest::PortRole::client;
    auto end =
        compat::take_end(what, [&](const port::End& found) { return found.link() == vlink.index; });
    if (end.code() == Errc::busy) {
        wanted.busy = true;
        return 0;
    }
    if (!end) return failed(end.error());

    vmq_link_t& link = links.all.emplace_front();
    link.links = &links;
    link.rx_info = own_info;
    link.tx_info = info_at(server ? vlink.c_info : vlink.s_info);
    link.pub.rx_s_info = or_null(link.rx_info);
    link.pub.tx_s_info = or_null(link.tx_info);
    link.pub.local_osid = own;
    link.pub.peer_osid = server ? vlink.c_id : vlink.s_id;
    int number = 0;
    const vmq_callbacks_t& call = *links.callbacks;
    const auto* tx = config_of(wanted.tx, call.get_tx_config, link, link.pub.tx_s_info, number);
    const auto* rx =
        tx == nullptr ? nullptr
                      : config_of(wanted.rx, call.get_rx_config, link, link.pub.rx_s_info, number);
    if (rx == nullptr) {
        links.all.pop_front();
        return number;
    }
    mq::QueueOptions options;
    options.tx = rounded(*tx);
    options.rx = rounded(*rx);
    options.returns = options.frees = call.return_notify != nullptr;
    auto queue = options.rx->check()
                     ? mq::Queue::open(*std::move(end), options)
                     : Result<std::unique_ptr<mq::Queue>>(options.rx->check().error().copy());
    if (!queue) return failed(queue.error());
    link.queue = *std::move(queue);
    link.pub.msg_max = options.tx.msg_max;
    link.pub.data_max = options.tx.data_max;
    return 0;
}

}  // namespace

extern "C" {

signed vmq_links_init_ex(vmq_links_t** result, const char* vlink_name,
                         const vmq_callbacks_t* callbacks, const vmq_xx_config_t* tx_config,
                         const vmq_xx_config_t* rx_config, void* priv, bool is_frontend) {
    *result = nullptr;
    if (vlink_name == nullptr || callbacks == nullptr || callbacks->sysconf_notify == nullptr)
        return -failed(Errc::bad_argument, "vMQ: a name and sysconf_notify are needed");
    if (const int number = hyplink_nkddi_init()) return -number;
    auto links = std::make_unique<vmq_links_t>();
    links->pub.priv = priv;
    links->callbacks = callbacks;
    Wanted wanted{vlink_name, tx_config, rx_config, is_frontend};
    int number = 0;
    (void)compat::find_vlink("vmq", [&](const NkDevVlink& vlink) {
        number = add(*links, vlink, wanted);
        return number != 0;
    });
    if (number == 0 && links->all.empty() && wanted.busy)
        number = failed(Errc::busy, "vMQ: another application has every end of that name");
    if (number != 0) return -number;
    *result = links.release();
    return 0;
}

signed vmq_links_start(vmq_links_t* links) {
    if (std::exchange(links->started, true)) return -EALREADY;
    auto application = compat::application();
    if (!application) return -failed(application.error());
    try {
        for (vmq_link_t& link : links->all) link.start();
        links->first = backend::TaskThread((*application)->runtime(),
                                           [links] { links->callbacks->sysconf_notify(links); });
    } catch (const std::system_error& error) {
        return failed(Errc::no_memory, error.what()), -EFAULT;
    }
    return 0;
}

void vmq_links_finish(vmq_links_t* links) {
    if (links == nullptr) return;
    for (vmq_link_t& link : links->all) link.finish();
    links->first.join();
    delete links;
}

bool vmq_links_iterate(vmq_links_t* links, bool (*func)(vmq_link_t*, void*), void* cookie) {
    for (vmq_link_t& link : links->all)
        if (func(&link, cookie)) return true;
    return false;
}

void vmq_links_sysconf(vmq_links_t* links) {
    for (vmq_link_t& link : links->all) link.sysconf();
}

void vmq_links_abort(vmq_links_t* links) {
    for (vmq_link_t& link : links->all) {
        const std::lock_guard lock(link.mutex);
        link.aborted = true;
        link.rouse(true);
    }
}

}  // extern "C"
