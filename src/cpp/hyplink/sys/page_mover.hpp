/// Move pages from one memfd to another under everybody who maps them: at one instant for each page
/// nobody can reach the old one any more, and whatever was written before that is in the new one.
///
/// How: the pages are held by a pipe, punched out of the object, which takes them out of every page
/// table, and copied from the pipe. Whoever touches them from then on meets a hole, so those who
/// are to go on in the new object must wait in that fault (`AccessHolder::watch`). Thread rule: one
/// thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

struct PageMove {
    int from = -1;
    std::size_t from_at = 0;
    int to = -1;
    std::size_t to_at = 0;
    std::size_t bytes = 0;
};

class PageMover {
   public:
    /// Errors: unsupported (a pipe of this kernel copies pages instead of holding them, or this
    /// machine gives memfds huge pages: a part of one that is held is not taken out but zeroed
    /// where it is, for those who hold it, too), EMFILE.
    static Result<std::unique_ptr<PageMover>> make();
    /// Whole pages of an object that may be punched. After an error they are where they were, and
    /// all that was in them; whoever was held must be let go. Errors: not_permitted (sealed against
    /// punching), no_memory, corrupt (an object ends before).
    Status move(const PageMove& move);

    /// Giving hundreds of old pages back takes the machine a fifth of the time of a move. From now
    /// on a part of them is kept until somebody has the time: whoever destroys what is taken.
    void keep_old_pages() { keeps_ = true; }
    struct OldPages {
        Fd out;  // of a pipe that holds them
        Fd in;
    };
    bool has_old_pages() const { return !old_.empty(); }
    /// Some of them.
    OldPages take_old_pages();

   private:
    PageMover() = default;
    Status open_pipe();
    Status holds_pages();
    Status take_in(int from, std::size_t at, std::size_t bytes);
    Status put_out(int to, std::size_t at, std::size_t bytes, std::size_t& done);
    Status move_some(const PageMove& move, std::size_t at, std::size_t bytes);
    void copy_back(const PageMove& move, std::size_t bytes);
    void keep(std::size_t bytes);

    Fd out_;  // of the pipe
    Fd in_;
    std::size_t room_ = 0;
    bool keeps_ = false;
    std::vector<OldPages> old_;
};

}  // namespace hyplink::sys
