#include "hyplink/sys/page_mover.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "hyplink/base/text.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::sys {
namespace {
constexpr int kRoom = 1 << 20;       // what a pipe may have without privileges
constexpr std::size_t kFew = 65536;  // bytes whose pages are given back at once
constexpr std::size_t kMostOld = 4;  // pipes of old pages

}  // namespace

Result<std::unique_ptr<PageMover>> PageMover::make() {
    if (memfds_have_huge_pages())
        return Error::make(Errc::unsupported,
                           "pages cannot be moved where memfds have huge pages (shmem_enabled)");
    std::unique_ptr<PageMover> mover(new PageMover());
    HYPLINK_TRY(mover->open_pipe());
    HYPLINK_TRY(mover->holds_pages());
    return mover;
}

Status PageMover::open_pipe() {
    int ends[2] = {-1, -1};
    HYPLINK_TRY(call("pipe2", [&] { return ::pipe2(ends, O_CLOEXEC | O_NONBLOCK); }));
    out_ = Fd(ends[0]);
    in_ = Fd(ends[1]);
    const int given = ::fcntl(in_.get(), F_SETPIPE_SZ, kRoom);
    const int room = given > 0 ? given : ::fcntl(in_.get(), F_GETPIPE_SZ);
    room_ = std::max<std::size_t>(room > 0 ? static_cast<std::size_t>(room) : 0, page_size());
    return {};
}

/// All depends on a pipe that holds the very page: what is written to it later is read from there.
Status PageMover::holds_pages() {
    Fd page = HYPLINK_TRY(make_open_memfd("hyplink-pipe", page_size()));
    std::byte before{1};
    std::byte after{2};
    HYPLINK_TRY(write_at(page.get(), std::span(&before, 1), 0));
    HYPLINK_TRY(take_in(page.get(), 0, page_size()));
    HYPLINK_TRY(write_at(page.get(), std::span(&after, 1), 0));
    HYPLINK_TRY(call("read", [&] { return ::read(out_.get(), &before, 1); }));
    if (before != after)
        return Error::make(Errc::unsupported, "a pipe of this kernel copies what is spliced in");
    return open_pipe();  // without what is left in it
}

Status PageMover::take_in(int from, std::size_t at, std::size_t bytes) {
    auto next = static_cast<::loff_t>(at);
    for (std::size_t done = 0; done < bytes;) {
        const auto got = HYPLINK_TRY(call("splice", [&] {
            return ::splice(from, &next, in_.get(), nullptr, bytes - done, SPLICE_F_NONBLOCK);
        }));
        if (got == 0) return Error::make(Errc::corrupt, text("an object ends at ", at + done));
        done += static_cast<std::size_t>(got);
    }
    return {};
}

Status PageMover::put_out(int to, std::size_t at, std::size_t bytes, std::size_t& done) {
    auto next = static_cast<::loff_t>(at);
    while (done < bytes) {
        const auto got = HYPLINK_TRY(call("splice", [&] {
            return ::splice(out_.get(), nullptr, to, &next, bytes - done, SPLICE_F_NONBLOCK);
        }));
        if (got == 0) return Error::make(Errc::corrupt, text("an object ends at ", at + done));
        done += static_cast<std::size_t>(got);
    }
    return {};
}

Status PageMover::move(const PageMove& move) {
    Status moved;
    for (std::size_t at = 0; moved && at < move.bytes;) {
        const std::size_t bytes = std::min(room_, move.bytes - at);
        moved = move_some(move, at, bytes);
        if (moved)
            at += bytes;
        else
            copy_back(move, at);
    }
    return moved;
}

Status PageMover::move_some(const PageMove& move, std::size_t at, std::size_t bytes) {
    std::size_t done = 0;
    Status moved = take_in(move.from, move.from_at + at, bytes);
    if (moved) moved = punch(move.from, move.from_at + at, bytes);
    const bool punched = static_cast<bool>(moved);
    if (punched && keeps_ && bytes > kFew) keep(bytes);
    if (moved) moved = put_out(move.to, move.to_at + at, bytes, done);
    if (moved) return {};
    if (punched) {
        std::size_t back = 0;
        (void)put_out(move.from, move.from_at + at + done, bytes - done, back);
        copy_back({move.from, move.from_at + at, move.to, move.to_at + at, done}, done);
    }
    (void)open_pipe();  // without what is left in it; without any, the next move fails as this one
    return moved;
}

/// The pages of the pipe belong to a second one, too. Whatever fails: they are given back now.
void PageMover::keep(std::size_t bytes) {
    if (old_.size() >= kMostOld) return;
    int ends[2] = {-1, -1};
    if (!call("pipe2", [&] { return ::pipe2(ends, O_CLOEXEC | O_NONBLOCK); })) return;
    OldPages kept{Fd(ends[0]), Fd(ends[1])};
    (void)::fcntl(kept.in.get(), F_SETPIPE_SZ, kRoom);
    if (call("tee", [&] { return ::tee(out_.get(), kept.in.get(), bytes, SPLICE_F_NONBLOCK); }))
        old_.push_back(std::move(kept));
}

PageMover::OldPages PageMover::take_old_pages() {
    OldPages taken = std::move(old_.back());
    old_.pop_back();
    return taken;
}

/// The first bytes of a move that failed further on.
void PageMover::copy_back(const PageMove& move, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes;) {
        const std::size_t some = std::min(room_, bytes - at);
        std::size_t done = 0;
        if (!open_pipe() || !take_in(move.to, move.to_at + at, some) ||
            !put_out(move.from, move.from_at + at, some, done))
            return;
        at += some;
    }
}

}  // namespace hyplink::sys
