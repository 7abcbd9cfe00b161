#include "hyplink/mem/owned.hpp"

#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/mem/address.hpp"
#include "hyplink/sys/mapping.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::mem {
namespace {
constexpr const char* kName = "hyplink-owned";
constexpr std::size_t kFew = 65536;

/// Where what one object shows at `place` can be read while writers are held back: holding them
/// takes the mapping of a huge page to pieces, but not a second one. Empty: at `place` itself.
sys::Mapping second_mapping(const void* place, std::size_t bytes) {
    static const bool helps = sys::memfds_have_huge_pages();
    if (!helps || bytes <= kFew) return {};
    auto second = sys::Mapping::second(place, bytes);
    if (!second || !sys::populate(second->data(), bytes, false)) return {};
    return *std::move(second);
}
}  // namespace

Result<sys::Fd> migrate(sys::WriteFreezer* freezer, void* place, std::size_t bytes, Behind behind) {
    sys::Fd fresh = HYPLINK_TRY(sys::make_open_memfd(kName, bytes));
    sys::Mapping second;
    if (freezer != nullptr && behind == Behind::one_object) second = second_mapping(place, bytes);
    const auto* from = second ? second.data() : static_cast<const std::byte*>(place);
    // Page faults come in crowds as long as nothing is frozen, one by one then.
    if (bytes > kFew && !second) (void)sys::populate(place, bytes, false);
    sys::WriteFreezer::Frozen frozen;
    if (freezer != nullptr) frozen = HYPLINK_TRY(freezer->freeze(place, bytes));
    HYPLINK_TRY(sys::fill(fresh.get(), from, bytes));
    HYPLINK_TRY(sys::map_over(place, bytes, fresh.get()));
    frozen.replaced();
    return fresh;
}

Result<std::unique_ptr<OwnedMemory>> OwnedMemory::adopt(std::shared_ptr<sys::WriteFreezer> freezer,
                                                        void* place, std::size_t bytes,
                                                        Writers writers) {
    const sys::PrivateRange range = HYPLINK_TRY(sys::private_range(place, bytes));
    if (range.file_backed && writers != Writers::quiet)
        return Error::make(
            Errc::unsupported,
            text(bytes, " bytes at ", place, ": initialised static data; writers to ",
                 "it cannot be held back, so say that they are quiet"));
    std::unique_ptr<OwnedMemory> memory(new OwnedMemory(std::move(freezer), place, bytes));
    HYPLINK_TRY(memory->migrate(writers));
    return memory;
}

Result<std::unique_ptr<OwnedMemory>> OwnedMemory::make(std::shared_ptr<sys::WriteFreezer> freezer,
                                                       std::uint64_t bytes) {
    const std::uint64_t size = round_up(bytes == 0 ? 1 : bytes, sys::page_size());
    if (size < bytes || size != static_cast<std::size_t>(size))
        return Error::make(Errc::no_memory, text(bytes, " bytes: more than can be mapped"));
    sys::Fd fd = HYPLINK_TRY(sys::make_open_memfd(kName, static_cast<std::size_t>(size)));
    sys::Mapping mapping =
        HYPLINK_TRY(sys::Mapping::shared(fd.get(), static_cast<std::size_t>(size), true));
    std::unique_ptr<OwnedMemory> memory(
        new OwnedMemory(std::move(freezer), mapping.data(), mapping.size()));
    memory->fd_ = std::move(fd);
    memory->own_ = std::move(mapping);
    memory->generation_ = 1;
    return memory;
}

OwnedMemory::~OwnedMemory() {
    if (!fd_) return;  // never adopted
    // Whoever was given it must not see what the owner's allocator does with these pages next.
    if (!own_ && !give_private_pages() && shared_)
        (void)migrate(freezer_ ? Writers::held : Writers::quiet);
    if (shared_) (void)shared_.wipe();
    if (stale_) (void)stale_.wipe();
}

Result<sys::WriteFreezer*> OwnedMemory::holder(Writers writers) const {
    if (writers == Writers::quiet) return nullptr;
    if (!freezer_)
        return Error::make(Errc::unsupported, "writers cannot be held back without a freezer");
    return freezer_.get();
}

Status OwnedMemory::migrate(Writers writers) {
    sys::WriteFreezer* freezer = HYPLINK_TRY(holder(writers));
    const Behind behind = fd_ ? Behind::one_object : Behind::anything;
    fd_ = HYPLINK_TRY(mem::migrate(freezer, data_, size_, behind));
    ++generation_;
    return {};
}

Status OwnedMemory::give_private_pages() {
    sys::Mapping fresh = HYPLINK_TRY(sys::Mapping::anonymous(size_));
    sys::WriteFreezer::Frozen frozen;
    if (freezer_) frozen = HYPLINK_TRY(freezer_->freeze(data_, size_));
    std::memcpy(fresh.data(), data_, size_);
    HYPLINK_TRY(fresh.move_over(data_));
    frozen.replaced();
    return {};
}

Result<sys::Fd> OwnedMemory::share(Access access) {
    if (shared_ && shared_.access() != access)
        return Error::make(Errc::busy,
                           "share memory: it is shared already, for reading only in one case and "
                           "for writing in the other; one object cannot enforce both");
    if (shared_) return shared_.descriptor();
    // The seal cannot be undone, so it comes last: what fails leaves nothing shared.
    sys::Fd fd = HYPLINK_TRY(sys::duplicate(fd_.get()));
    sys::Fd given = HYPLINK_TRY(SharedObject::descriptor_of(fd.get(), access));
    shared_ = HYPLINK_TRY(SharedObject::seal(std::move(fd), size_, access));
    return given;
}

Status OwnedMemory::revoke(Writers writers) {
    if (stale_) {
        HYPLINK_TRY(stale_.wipe());
        stale_ = SharedObject();
    }
    if (!shared_) return {};
    HYPLINK_TRY(migrate(writers));
    stale_ = std::move(shared_);
    shared_ = SharedObject();
    HYPLINK_TRY(stale_.wipe());
    stale_ = SharedObject();
    return {};
}

}  // namespace hyplink::mem
