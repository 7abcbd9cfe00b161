/// Windows whose pages may be moved away without asking: whoever touches what is gone waits in the
/// page fault until the window shows what is there now. A fault that nothing explains (the pages
/// were reclaimed, or another importer punched them out) is asked about after a while.
#include <algorithm>

#include "hyplink/app/memory/vm_memory.hpp"

namespace hyplink::app {

using guest::Sys;
using guest::SysRequest;

namespace {
constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kUsual = 20 * kMillisecond;    // a change is heard of before that
constexpr std::int64_t kAgain = 1000 * kMillisecond;  // asked, and nothing came of it
/// Watching means page tables that are filled beforehand.
constexpr std::uint64_t kMostWatched = std::uint64_t{64} << 20;
constexpr std::size_t kTriple = 3 * sizeof(std::uint64_t);
constexpr std::size_t kTriplesASay = 512;
}  // namespace

void VmMemory::prepare_windows() {
    if (application_->runtime().seeded()) return;  // its threads cannot wait in a fault
    auto made = sys::AccessHolder::make();
    if (!made) return;
    const int fd = (*made)->fd();
    {
        std::lock_guard held(windows_mutex_);
        holder_ = *std::move(made);
    }
    const bool watches =
        static_cast<bool>(application_->when_readable(fd, [this] { return on_faults(); }));
    std::lock_guard held(windows_mutex_);
    watches_ = watches;
}

bool VmMemory::watch(std::byte* at, std::size_t bytes) {
    // Reading is enough, and quicker: what is mapped of shared memory to read can be written, too.
    return watches_ && bytes <= kMostWatched && sys::populate(at, bytes, false) &&
           holder_->watch(at, bytes);
}

void VmMemory::say_watched(const Window& window, std::string& watched) {
    while (!watched.empty()) application_->post(watched_request(window, watched));
}

SysRequest VmMemory::watched_request(const Window& window, std::string& watched) const {
    SysRequest said;
    said.op = Sys::mem_watched;
    said.handle = handle_;
    said.args[0] = window.id_;
    said.data = watched.substr(0, kTriplesASay * kTriple);
    watched.erase(0, said.data.size());
    return said;
}

void VmMemory::ask_to_show(std::uint32_t window) {
    SysRequest show;
    show.op = Sys::mem_show;
    show.handle = handle_;
    show.args[0] = window;
    application_->post(std::move(show));
}

/// When to look again, in milliseconds. In the thread of the way to the kernel.
int VmMemory::on_faults() {
    const std::int64_t now = application_->runtime().now();
    std::vector<std::uint32_t> asked;
    std::int64_t next = -1;
    {
        std::lock_guard held(windows_mutex_);
        for (const std::byte* at : holder_->faults()) met_.emplace(at, now + kUsual);
        for (auto each = met_.begin(); each != met_.end();) {
            const std::byte* const at = each->first;
            std::int64_t& due = each->second;
            const auto shown = std::find_if(windows_.begin(), windows_.end(), [&](const auto& one) {
                const std::byte* begin = one.second->data();
                return at >= begin && at < begin + one.second->size();
            });
            if (shown == windows_.end()) {  // closed, and let go with it
                each = met_.erase(each);
                continue;
            }
            if (due <= now) {
                asked.push_back(shown->first);
                due = now + kAgain;
            }
            next = next < 0 ? due - now : std::min(next, due - now);
            ++each;
        }
    }
    std::sort(asked.begin(), asked.end());
    asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
    for (const std::uint32_t window : asked) ask_to_show(window);
    return next < 0 ? -1 : static_cast<int>(next / kMillisecond + 1);
}

}  // namespace hyplink::app
