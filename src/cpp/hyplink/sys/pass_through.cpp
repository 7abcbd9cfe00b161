#include "hyplink/sys/pass_through.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <vector>

#include "hyplink/sys/call.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/memfd.hpp"
#include "hyplink/sys/thread.hpp"

namespace hyplink::sys {
namespace {

// In the kernel since 6.9, in the headers of the machine perhaps not yet.
constexpr std::uint32_t kMoreFlags = 1U << 30;     // there is a second word of them
constexpr std::uint32_t kPassesThrough = 1U << 5;  // in that word
constexpr std::uint32_t kOpenPassesThrough = 1U << 7;
struct InitReply {
    std::uint32_t major, minor, max_readahead, flags;
    std::uint16_t max_background, congestion_threshold;
    std::uint32_t max_write, time_granularity;
    std::uint16_t max_pages, map_alignment;
    std::uint32_t more_flags, max_stack_depth, unused[6];
};
static_assert(sizeof(InitReply) == 64);
struct OpenReply {
    std::uint64_t handle;
    std::uint32_t flags;
    std::int32_t backing;
};
struct Backing {
    std::int32_t fd;
    std::uint32_t flags;
    std::uint64_t padding;
};
constexpr auto kBackingOpen = _IOW(229, 1, Backing);
constexpr auto kBackingClose = _IOW(229, 2, std::uint32_t);
constexpr std::uint32_t kMinor = 40;
constexpr std::uint32_t kMinorAtLeast = 40;

constexpr unsigned kSetString = 1;  // of fsconfig
constexpr unsigned kCreate = 6;
constexpr std::uint64_t kRoot = 1;
constexpr std::size_t kRoom = 65536;  // for a request; the kernel wants 8 KiB at least
constexpr int kPatience = 5'000;      // milliseconds with a kernel that does not say hello

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
    return std::as_bytes(std::span(&value, 1));
}
template <class T>
T read_as(std::span<const std::byte> from) {
    T value{};
    std::memcpy(&value, from.data(), std::min(sizeof value, from.size()));
    return value;
}

fuse_attr attributes(std::uint64_t number, std::uint64_t bytes) {
    fuse_attr made{};
    made.ino = number;
    made.size = bytes;
    made.mode = number == kRoot ? S_IFDIR | 0700 : S_IFREG | 0600;
    made.nlink = 1;
    made.uid = ::getuid();
    made.gid = ::getgid();
    made.blksize = 4096;
    return made;
}

Error not_here(Error why) {
    const int number = why.number();
    if (number == EMFILE || number == ENFILE || number == ENOMEM) return why;  // only for now
    return Error::make(Errc::unsupported,
                       text("files cannot be passed through to memory here (it takes Linux 6.9 and "
                            "CAP_SYS_ADMIN): ",
                            why.text()));
}

}  // namespace

Result<std::unique_ptr<PassThrough>> PassThrough::make() {
    std::unique_ptr<PassThrough> files(new PassThrough());
    if (Status mounted = files->mount(); !mounted) return not_here(std::move(mounted).error());
    files->thread_ = start_thread([raw = files.get()] { raw->serve(); });
    // Whether it may pass through at all is found out by doing it.
    const Fd object = HYPLINK_TRY(make_open_memfd("hyplink-pass", page_size()));
    auto tried = files->open(object.get(), true);
    if (!tried) return not_here(std::move(tried).error());
    return files;
}

Status PassThrough::mount() {
    stop_ = HYPLINK_TRY(make_eventfd());
    device_ = Fd(HYPLINK_TRY(call(
        "open /dev/fuse", [] { return ::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK); })));
    const Fd context(HYPLINK_TRY(
        call("fsopen(fuse)", [] { return static_cast<int>(::syscall(SYS_fsopen, "fuse", 1U)); })));
    auto set = [&](const char* name, const std::string& value) -> Status {
        HYPLINK_TRY(call(
            "fsconfig",
            [&] {
                return ::syscall(SYS_fsconfig, context.get(), kSetString, name, value.c_str(), 0);
            },
            name));
        return {};
    };
    HYPLINK_TRY(set("fd", std::to_string(device_.get())));
    HYPLINK_TRY(set("rootmode", "40000"));
    HYPLINK_TRY(set("user_id", std::to_string(::getuid())));
    HYPLINK_TRY(set("group_id", std::to_string(::getgid())));
    HYPLINK_TRY(call("fsconfig(create)", [&] {
        return ::syscall(SYS_fsconfig, context.get(), kCreate, nullptr, nullptr, 0);
    }));
    root_ = Fd(HYPLINK_TRY(call("fsmount", [&] {
        return static_cast<int>(::syscall(SYS_fsmount, context.get(), 1U, 0U));
    })));
    return agree();
}

/// The kernel's first request says what it can do.
Status PassThrough::agree() {
    struct pollfd ready{device_.get(), POLLIN, 0};
    const int readable = HYPLINK_TRY(call("poll", [&] { return ::poll(&ready, 1, kPatience); }));
    if (readable == 0) return Error::make(Errc::timed_out, "FUSE does not say hello");
    std::vector<std::byte> request(kRoom);
    const auto got = HYPLINK_TRY(call(
        "read /dev/fuse", [&] { return ::read(device_.get(), request.data(), request.size()); }));
    const auto all = std::span(request).first(static_cast<std::size_t>(got));
    const auto head = read_as<fuse_in_header>(all);
    constexpr std::size_t kWords = 5;  // versions, read ahead, flags, more flags
    if (head.opcode != FUSE_INIT || all.size() < sizeof head + kWords * sizeof(std::uint32_t))
        return Error::make(Errc::protocol, "FUSE does not say hello first");
    const auto words = read_as<std::array<std::uint32_t, kWords>>(all.subspan(sizeof head));
    const bool offered = words[1] >= kMinorAtLeast && (words[3] & kMoreFlags) != 0 &&
                         (words[4] & kPassesThrough) != 0;
    if (!offered)
        return Error::make(Errc::unsupported, text("FUSE ", words[0], ".", words[1],
                                                   " of this kernel passes nothing through, "
                                                   "expected 7.",
                                                   kMinorAtLeast, " (Linux 6.9)"));
    InitReply agreed{};
    agreed.major = FUSE_KERNEL_VERSION;
    agreed.minor = kMinor;
    agreed.flags = kMoreFlags;
    agreed.more_flags = kPassesThrough;
    agreed.max_stack_depth = 1;
    agreed.max_background = 16;
    agreed.congestion_threshold = 12;
    agreed.max_write = 4096;
    agreed.time_granularity = 1;
    reply(head.unique, 0, bytes_of(agreed));
    return {};
}

PassThrough::~PassThrough() {
    if (thread_.joinable()) {
        signal_eventfd(stop_.get());
        thread_.join();
    }
    // With the device the kernel knows that nobody answers any more.
    device_.reset();
    root_.reset();
}

std::size_t PassThrough::files() const {
    std::lock_guard lock(mutex_);
    return nodes_.size();
}

Result<Fd> PassThrough::open(int object, bool writable) {
    const std::uint64_t bytes = HYPLINK_TRY(file_size(object));
    std::uint64_t number = 0;
    {
        std::lock_guard lock(mutex_);
        number = next_++;
        nodes_[number] = {object, bytes};
    }
    const std::string name = std::to_string(number);
    auto opened = call("open a file that passes through", [&] {
        return ::openat(root_.get(), name.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    });
    hide(number);
    std::lock_guard lock(mutex_);
    if (auto found = nodes_.find(number); found != nodes_.end()) {
        Node& node = found->second;
        node.opens = false;
        node.object = -1;
        if (node.backing >= 0) {  // the open file has it
            const auto backing = static_cast<std::uint32_t>(std::exchange(node.backing, -1));
            (void)::ioctl(device_.get(), kBackingClose, &backing);
        }
        if (!opened) nodes_.erase(found);
    }
    if (!opened) return std::move(opened).error();
    return Fd(*opened);
}

void PassThrough::hide(std::uint64_t number) {
    const std::string name = std::to_string(number);
    fuse_notify_inval_entry_out gone{};
    gone.parent = kRoot;
    gone.namelen = static_cast<std::uint32_t>(name.size());
    std::vector<std::byte> data(sizeof gone + name.size() + 1);
    std::memcpy(data.data(), &gone, sizeof gone);
    std::memcpy(data.data() + sizeof gone, name.c_str(), name.size() + 1);
    reply(0, -static_cast<int>(FUSE_NOTIFY_INVAL_ENTRY), data);
}

// --- the thread that serves
// ------------------------------------------------------------------------------------

void PassThrough::serve() {
    std::vector<std::byte> room(kRoom);
    for (;;) {
        struct pollfd fds[2] = {{device_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        if (::poll(fds, 2, -1) < 0) continue;
        if (fds[1].revents != 0) return;
        const ssize_t got = ::read(device_.get(), room.data(), room.size());
        if (got < 0 && errno == ENODEV) return;
        if (got >= static_cast<ssize_t>(sizeof(fuse_in_header)))
            answer(std::span(room).first(static_cast<std::size_t>(got)));
    }
}

void PassThrough::reply(std::uint64_t to, int error, std::span<const std::byte> data) {
    fuse_out_header head{};
    head.len = static_cast<std::uint32_t>(sizeof head + data.size());
    head.error = -error;
    head.unique = to;
    std::vector<std::byte> whole(head.len);
    std::memcpy(whole.data(), &head, sizeof head);
    if (!data.empty()) std::memcpy(whole.data() + sizeof head, data.data(), data.size());
    // What fails: who asked is gone.
    [[maybe_unused]] const ssize_t sent = ::write(device_.get(), whole.data(), whole.size());
}

void PassThrough::answer(std::span<const std::byte> request) {
    const auto head = read_as<fuse_in_header>(request);
    const auto body = request.subspan(sizeof head);
    switch (head.opcode) {
        case FUSE_LOOKUP:
            return look_up(head.unique, body);
        case FUSE_GETATTR:
            return tell(head.unique, head.nodeid);
        case FUSE_OPEN:
            return open_node(head.unique, head.nodeid);
        case FUSE_RELEASE:
            return reply(head.unique, 0);
        case FUSE_FORGET:
            return forget(head.nodeid);
        case FUSE_BATCH_FORGET: {
            const auto count = read_as<fuse_batch_forget_in>(body).count;
            for (std::size_t at = sizeof(fuse_batch_forget_in), i = 0;
                 i < count && at + sizeof(fuse_forget_one) <= body.size();
                 ++i, at += sizeof(fuse_forget_one))
                forget(read_as<fuse_forget_one>(body.subspan(at)).nodeid);
            return;
        }
        case FUSE_INTERRUPT:
            return;  // nothing here takes long
        case FUSE_FLUSH:
        case FUSE_FSYNC:
        case FUSE_GETXATTR:
        case FUSE_LISTXATTR:
        case FUSE_ACCESS:
        case FUSE_LSEEK:
            return reply(head.unique, ENOSYS);  // the kernel does without, and does not ask again
        default:
            return reply(head.unique, EPERM);  // to cut, to punch, to rename ...
    }
}

void PassThrough::look_up(std::uint64_t to, std::span<const std::byte> name) {
    const auto* text = reinterpret_cast<const char*>(name.data());
    std::uint64_t number = 0;
    const auto end = std::from_chars(text, text + ::strnlen(text, name.size()), number);
    std::lock_guard lock(mutex_);
    const auto found = nodes_.find(number);
    if (end.ec != std::errc() || found == nodes_.end() || !found->second.opens)
        return reply(to, ENOENT);
    fuse_entry_out entry{};
    entry.nodeid = number;
    entry.generation = 1;
    entry.attr = attributes(number, found->second.bytes);
    reply(to, 0, bytes_of(entry));
}

void PassThrough::tell(std::uint64_t to, std::uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto found = nodes_.find(number);
    if (number != kRoot && found == nodes_.end()) return reply(to, ENOENT);
    fuse_attr_out told{};
    told.attr = attributes(number, number == kRoot ? 0 : found->second.bytes);
    reply(to, 0, bytes_of(told));
}

void PassThrough::open_node(std::uint64_t to, std::uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto found = nodes_.find(number);
    // Opened once by us; whoever opens it after that has it from somebody.
    if (found == nodes_.end() || !found->second.opens) return reply(to, EACCES);
    Node& node = found->second;
    if (node.backing < 0) {
        Backing backing{node.object, 0, 0};
        node.backing = ::ioctl(device_.get(), kBackingOpen, &backing);
        if (node.backing < 0) return reply(to, errno);
    }
    reply(to, 0, bytes_of(OpenReply{0, kOpenPassesThrough, node.backing}));
}

void PassThrough::forget(std::uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto found = nodes_.find(number);
    if (found != nodes_.end() && !found->second.opens) nodes_.erase(found);
}

}  // namespace hyplink::sys
