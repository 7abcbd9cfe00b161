/// Memory of this process that can be shared with another one and taken back, at any time and
/// whether the other one wants it or not, without moving: its owner's pointers stay good.
///
///     auto memory = HYPLINK_TRY(OwnedMemory::adopt(freezer, block, bytes));
///     sys::Fd fd = HYPLINK_TRY(memory->share(Access::read));
///     …
///     memory->revoke();
///
/// How: what stands behind the pages is replaced, never the pages' address. Threads of this process
/// that write meanwhile wait a moment (`sys/freeze`), no write is lost. Whatever somebody did with
/// what he was given – mapped it twice, in a child, kept a descriptor, pinned a page – leads to the
/// object that was replaced and emptied.
/// A forked child of the owner shares the pages from `adopt` to the next revoke, not longer.
/// Thread rule: one thread at a time an object; the memory itself belongs to all threads as before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "hyplink/base/result.hpp"
#include "hyplink/mem/shared_object.hpp"
#include "hyplink/sys/freeze.hpp"

namespace hyplink::mem {

/// What the owner's other threads do during a call.
enum class Writers {
    held,   ///< they may write: hold them back
    quiet,  ///< the caller knows that nobody writes; nothing is held back
};

/// What stands behind some pages.
enum class Behind {
    one_object,  ///< one mapping of one object, and readable
    anything,
};

/// Put a fresh unsealed memfd behind [place, place + bytes), whole pages of this process's memory
/// that may be private or an object's, with the contents copied and writers held back (`freezer`
/// null: they are quiet). What was mapped there before keeps the old contents and is the caller's
/// business. After an error nothing has changed.
Result<sys::Fd> migrate(sys::WriteFreezer* freezer, void* place, std::size_t bytes,
                        Behind behind = Behind::anything);

class OwnedMemory {
   public:
    /// Take over whole pages of private memory, contents and all: a static array, an allocator's
    /// block, another library's buffer. They are private again when this object ends. `freezer` may
    /// be null if writers are always quiet. Errors: bad_argument (not whole pages, not private, not
    /// writable), bad_address (not mapped), unsupported (initialised static data or no freezer, and
    /// writers are not quiet), no_memory, system. After an error nothing has changed.
    static Result<std::unique_ptr<OwnedMemory>> adopt(std::shared_ptr<sys::WriteFreezer> freezer,
                                                      void* place, std::size_t bytes,
                                                      Writers writers = Writers::held);
    /// New zeroed memory, rounded up to whole pages; unmapped when this object ends.
    static Result<std::unique_ptr<OwnedMemory>> make(std::shared_ptr<sys::WriteFreezer> freezer,
                                                     std::uint64_t bytes);
    ~OwnedMemory();
    OwnedMemory(const OwnedMemory&) = delete;
    OwnedMemory& operator=(const OwnedMemory&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool shared() const { return static_cast<bool>(shared_); }
    /// Counts the objects that have stood behind the pages.
    std::uint64_t generation() const { return generation_; }

    /// A descriptor of the pages for somebody else; as many as one likes, all with the same access:
    /// one object cannot be sealed against one holder and open to another. Errors: busy (shared
    /// with the other access), system; after an error it is shared as little as before.
    Result<sys::Fd> share(Access access);
    /// Take all of it back from everybody. Copies once. After an error nothing was taken back and
    /// the owner's memory is as it was; it can be tried again. Not shared: nothing happens.
    Status revoke(Writers writers = Writers::held);

   private:
    OwnedMemory(std::shared_ptr<sys::WriteFreezer> freezer, void* place, std::size_t bytes)
        : freezer_(std::move(freezer)), data_(static_cast<std::byte*>(place)), size_(bytes) {}
    Result<sys::WriteFreezer*> holder(Writers writers) const;
    Status migrate(Writers writers);
    Status give_private_pages();

    std::shared_ptr<sys::WriteFreezer> freezer_;
    std::byte* data_;
    std::size_t size_;
    sys::Fd fd_;
    sys::Mapping own_;     // made, not adopted
    SharedObject shared_;  // the object behind the pages, once it was shared
    SharedObject stale_;   // replaced, but emptying it failed
    std::uint64_t generation_ = 0;
};

}  // namespace hyplink::mem
