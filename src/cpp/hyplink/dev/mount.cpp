#define FUSE_USE_VERSION 312
#include "hyplink/dev/mount.hpp"

#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "hyplink/base/text.hpp"
#include "hyplink/dev/file.hpp"
#include "hyplink/dev/input.hpp"
#include "hyplink/dev/tasks.hpp"
#include "hyplink/dev/tree.hpp"

#ifndef FOPEN_STREAM
#define FOPEN_STREAM (1 << 4)
#endif

namespace hyplink::dev {

struct Mount::State {
    explicit State(Vms& given) : vms(&given), tree(given), inputs(tasks) {}
    Vms* vms;
    Tree tree;
    Tasks tasks;
    Inputs inputs;
    std::vector<std::byte> room = std::vector<std::byte>(kMostBytes);
    static constexpr std::size_t kMostBytes = std::size_t{1} << 20;

    ~State() {
        // Whoever watches or waits in a file leaves before the threads are waited for.
        for (auto& [number, file] : files) file->close();
    }

    std::uint64_t keep(std::shared_ptr<File> file) {
        std::lock_guard lock(mutex);
        files.emplace(++last, std::move(file));
        return last;
    }
    std::shared_ptr<File> file(std::uint64_t number) {
        std::lock_guard lock(mutex);
        auto found = files.find(number);
        return found == files.end() ? nullptr : found->second;
    }
    std::shared_ptr<File> drop(std::uint64_t number) {
        std::lock_guard lock(mutex);
        auto found = files.extract(number);
        return found.empty() ? nullptr : std::move(found.mapped());
    }
    std::mutex mutex;
    std::uint64_t last = 0;
    std::unordered_map<std::uint64_t, std::shared_ptr<File>> files;
};

namespace {

constexpr double kNamesLast = 1.0;  // seconds that the kernel may remember a name

template <class StateType>
StateType& state_of(fuse_req_t request) {
    return *static_cast<StateType*>(fuse_req_userdata(request));
}

struct stat attributes(std::uint64_t number, mode_t mode) {
    struct stat made{};
    made.st_ino = number;
    made.st_mode = mode;
    made.st_nlink = S_ISDIR(mode) ? 2 : 1;
    made.st_uid = ::getuid();
    made.st_gid = ::getgid();
    made.st_blksize = 4096;
    return made;
}

/// Whether a program was built for 32 bits, which a read alone does not tell.
bool has_32_bits(pid_t program) {
    constexpr std::size_t kClassAt = 4;  // of ELF
    char head[kClassAt + 1] = {};
    const sys::Fd file(::open(text("/proc/", program, "/exe").c_str(), O_RDONLY | O_CLOEXEC));
    return file && ::read(file.get(), head, sizeof head) == sizeof head && head[kClassAt] == 1;
}

int error_number(const Error& error) {
    // A device that is no pipe does not know the request.
    return error.code() == Errc::cancelled ? EBADF : error.number();
}

}  // namespace

/// The requests, as the library calls them.
struct Requests {
    using Shared = Mount::State;
    static Shared& shared(fuse_req_t request) { return state_of<Shared>(request); }
    /// The file of a request; without one it is answered.
    static std::shared_ptr<File> file_of(fuse_req_t request, const fuse_file_info* info) {
        auto file = shared(request).file(info->fh);
        if (!file) fuse_reply_err(request, EBADF);
        return file;
    }

    static void init(void*, struct fuse_conn_info* connection) {
        connection->max_write = Shared::kMostBytes;
        connection->want |= connection->capable & FUSE_CAP_ATOMIC_O_TRUNC;
        connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ);
    }

    static void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
        const auto found = shared(request).tree.find_in(parent, name);
        if (!found) return void(fuse_reply_err(request, ENOENT));
        struct fuse_entry_param entry{};
        entry.ino = found->number;
        entry.attr = attributes(found->number, found->mode);
        entry.attr_timeout = entry.entry_timeout = kNamesLast;
        fuse_reply_entry(request, &entry);
    }

    static void getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info*) {
        const auto node = shared(request).tree.find(number);
        if (!node) return void(fuse_reply_err(request, ENOENT));
        const struct stat now = attributes(number, Tree::mode(*node));
        fuse_reply_attr(request, &now, kNamesLast);
    }

    /// `> file` cuts what is there; of a pipe nothing is.
    static void setattr(fuse_req_t request, fuse_ino_t number, struct stat*, int,
                        struct fuse_file_info* info) {
        getattr(request, number, info);
    }

    static void readdir(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset,
                        struct fuse_file_info*) {
        std::vector<Entry> entries = shared(request).tree.list(number);
        entries.insert(entries.begin(), {{".", number, S_IFDIR}, {"..", 1, S_IFDIR}});
        std::vector<char> room(size);
        std::size_t used = 0;
        for (auto at = static_cast<std::size_t>(offset); at < entries.size(); ++at) {
            const struct stat now = attributes(entries[at].number, entries[at].mode);
            const std::size_t more =
                fuse_add_direntry(request, room.data() + used, size - used,
                                  entries[at].name.c_str(), &now, static_cast<off_t>(at + 1));
            if (more > size - used) break;
            used += more;
        }
        fuse_reply_buf(request, room.data(), used);
    }

    /// Hand a request to a thread of its own; the kernel may interrupt it.
    template <class Body>
    static void wait_in_thread(fuse_req_t request, Body body) {
        Shared& state = shared(request);
        auto task = std::make_shared<Task>();
        task->body = [request, body](Task& own) {
            fuse_req_interrupt_func(
                request,
                [](fuse_req_t, void* data) { Tasks::interrupt(*static_cast<Task*>(data)); }, &own);
            body();
        };
        if (!state.tasks.start(task)) fuse_reply_err(request, EAGAIN);
    }

    static void open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info* info) {
        Shared& state = shared(request);
        const auto node = state.tree.find(number);
        if (!node || node->kind != Node::Kind::device) return void(fuse_reply_err(request, EISDIR));
        const int access = info->flags & O_ACCMODE;
        pipe::OpenFlags flags;
        flags.read = access != O_WRONLY;
        flags.write = access != O_RDONLY;
        flags.nonblock = (info->flags & O_NONBLOCK) != 0;
        const bool narrow = has_32_bits(fuse_req_ctx(request)->pid);
        wait_in_thread(request, [request, &state, device = *node, flags, narrow] {
            auto opened = [&]() -> Result<std::shared_ptr<File>> {
                auto application = HYPLINK_TRY(state.vms->application(device.vm));
                if (device.name.starts_with(Tree::kInputs))
                    return state.inputs.open(device.vm, std::move(application), device.name,
                                             narrow);
                auto pipe = HYPLINK_TRY(pipe::Pipe::open(std::move(application), device.name, flags,
                                                         Deadline::never()));
                pipe->set_interrupt_check(&Tasks::interrupted);
                return std::shared_ptr<File>(std::make_shared<PipeFile>(std::move(pipe)));
            }();
            if (!opened) {
                // The program only gets a number; whoever mounted can read why.
                if (opened.code() == Errc::bad_argument || opened.code() == Errc::unsupported)
                    state.vms->note(
                        text("vm", device.vm, "/dev/", device.name, ": ", opened.error().text()));
                return void(fuse_reply_err(request, error_number(opened.error())));
            }
            const std::uint64_t file = state.keep(*std::move(opened));
            // The library does not know FOPEN_STREAM: without it a read that waits would hold the
            // file's position, and a write in another thread would wait for that.
            struct fuse_open_out out{};
            out.fh = file;
            out.open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE | FOPEN_STREAM;
            if (fuse_reply_buf(request, reinterpret_cast<const char*>(&out), sizeof out) != 0)
                state.drop(file)->close();  // nobody waits for it any more
        });
    }

    static void release(fuse_req_t request, fuse_ino_t, struct fuse_file_info* info) {
        if (const auto file = shared(request).drop(info->fh)) file->close();
        fuse_reply_err(request, 0);
    }

    static void read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t,
                     struct fuse_file_info* info) {
        Shared& state = shared(request);
        const std::shared_ptr<File> file = file_of(request, info);
        if (!file) return;
        const bool nonblock = (info->flags & O_NONBLOCK) != 0;
        file->set_nonblock(nonblock);
        if (size > state.room.size()) size = state.room.size();
        const auto done = file->try_read(std::span(state.room.data(), size));
        if (done || nonblock || done.code() != Errc::would_block)
            return reply_read(request, done, state.room.data());
        wait_in_thread(request, [request, file, size] {
            std::vector<std::byte> room(size);
            const auto later = file->read(room);
            reply_read(request, later, room.data());
        });
    }
    static void reply_read(fuse_req_t request, const Result<std::size_t>& done,
                           const std::byte* from) {
        if (!done) return void(fuse_reply_err(request, error_number(done.error())));
        fuse_reply_buf(request, reinterpret_cast<const char*>(from), *done);
    }

    static void write(fuse_req_t request, fuse_ino_t, const char* data, std::size_t size, off_t,
                      struct fuse_file_info* info) {
        const std::shared_ptr<File> file = file_of(request, info);
        if (!file) return;
        const bool nonblock = (info->flags & O_NONBLOCK) != 0;
        file->set_nonblock(nonblock);
        const auto bytes = std::as_bytes(std::span(data, size));
        const auto done = file->try_write(bytes);
        if (done || nonblock || done.code() != Errc::would_block) return reply_write(request, done);
        wait_in_thread(request,
                       [request, file, kept = std::vector<std::byte>(bytes.begin(), bytes.end())] {
                           reply_write(request, file->write(kept));
                       });
    }
    static void reply_write(fuse_req_t request, const Result<std::size_t>& done) {
        if (!done) return void(fuse_reply_err(request, error_number(done.error())));
        fuse_reply_write(request, *done);
    }

    static void poll(fuse_req_t request, fuse_ino_t, struct fuse_file_info* info,
                     struct fuse_pollhandle* handle) {
        const std::shared_ptr<File> file = file_of(request, info);
        if (!file) return;
        if (handle != nullptr) {
            const std::shared_ptr<fuse_pollhandle> held(handle, &fuse_pollhandle_destroy);
            file->watch(shared(request).tasks, [held] { fuse_lowlevel_notify_poll(held.get()); });
        }
        fuse_reply_poll(request, file->poll());
    }

    static void ioctl(fuse_req_t request, fuse_ino_t, unsigned command, void*,
                      struct fuse_file_info* info, unsigned, const void* in, std::size_t in_bytes,
                      std::size_t out_bytes) {
        const std::shared_ptr<File> file = file_of(request, info);
        if (!file) return;
        const auto answer =
            file->ioctl({command, {static_cast<const std::byte*>(in), in_bytes}, out_bytes});
        if (!answer) return void(fuse_reply_err(request, error_number(answer.error())));
        fuse_reply_ioctl(request, answer->result, answer->out.data(), answer->out.size());
    }

    static void fsync(fuse_req_t request, fuse_ino_t, int, struct fuse_file_info*) {
        fuse_reply_err(request, 0);
    }
};

Mount::~Mount() {
    if (session_ != nullptr) {
        delete state_;  // ends what still waits, before that has nobody to answer
        fuse_session_destroy(session_);
    }
}

Status Mount::mount(const std::string& folder) {
    static const fuse_lowlevel_ops operations = [] {
        fuse_lowlevel_ops made{};
        made.init = &Requests::init;
        made.lookup = &Requests::lookup;
        made.getattr = &Requests::getattr;
        made.setattr = &Requests::setattr;
        made.readdir = &Requests::readdir;
        made.open = &Requests::open;
        made.release = &Requests::release;
        made.read = &Requests::read;
        made.write = &Requests::write;
        made.poll = &Requests::poll;
        made.ioctl = &Requests::ioctl;
        made.fsync = &Requests::fsync;
        return made;
    }();
    struct fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
    for (const char* word : {"hyplink", "-o", "fsname=hyplink", "-o", "subtype=hyplink"})
        fuse_opt_add_arg(&arguments, word);
    state_ = new State(*vms_);
    session_ = fuse_session_new(&arguments, &operations, sizeof operations, state_);
    fuse_opt_free_args(&arguments);
    if (session_ == nullptr) {
        delete state_;
        return Error::make(Errc::unsupported, "FUSE does not start here");
    }
    if (fuse_session_mount(session_, folder.c_str()) != 0)
        return Error::make(Errc::unsupported, text("cannot mount on ", folder));
    return {};
}

void Mount::run() {
    runner_ = ::pthread_self();
    running_.store(true);
    struct fuse_buf buffer{};
    while (fuse_session_exited(session_) == 0) {
        const int got = fuse_session_receive_buf(session_, &buffer);
        if (got == -EINTR) continue;
        if (got <= 0) break;
        fuse_session_process_buf(session_, &buffer);
    }
    std::free(buffer.mem);
    // They answer through the descriptor that unmounting closes.
    state_->tasks.end();
    fuse_session_unmount(session_);
    running_.store(false);
}

void Mount::stop() {
    fuse_session_exit(session_);
    // As long as a file is open, unmounting alone wakes nobody; a signal may come too early.
    while (running_.load()) {
        ::pthread_kill(runner_, SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

}  // namespace hyplink::dev
