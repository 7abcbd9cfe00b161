/// Which pages of which VM are granted to whom, and the objects behind them.
///
/// Pages are granted in extents: those of one call to mem_grant, or what a deny of a part left of
/// them. Extents never overlap; each has an object that exactly its importers may hold, so taking a
/// part from one of them means another object for those who keep it. Every step is O(log n) in the
/// number of extents. Thread rule: under the hypervisor's lock.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "hyplink/hyp/board_spec.hpp"
#include "hyplink/hyp/hypercalls.hpp"
#include "hyplink/mem/shared_object.hpp"
#include "hyplink/sys/page_mover.hpp"
#include "hyplink/sys/pass_through.hpp"

namespace hyplink::hyp {

enum class GrantState : std::uint32_t { offered = 1, active = 2, revoking = 3 };
constexpr const char* name(GrantState state) {
    return state == GrantState::offered  ? "offered"
           : state == GrantState::active ? "active"
                                         : "revoking";
}

/// One importer of one extent.
struct GrantRow {
    MemRange range;
    VmId exporter = 0;
    VmId importer = 0;
    std::uint32_t rights = 0;      ///< kGrantRead, …
    std::uint32_t generation = 0;  ///< of the object behind it; never used again
    GrantState state = GrantState::offered;
    bool notify = false;  ///< the importer maps it and must hear of the change
    bool broker = false;  ///< at that level
};

/// Where a device finds an address, if it may.
struct DmaPlace {
    DmaFault fault = DmaFault::none;
    int fd = -1;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;  ///< that lie together from there on
};

class GrantTable {
   public:
    /// What one VM's applications have. Errors: bad_argument, over_quota.
    Status add_region(VmId owner, std::uint32_t app, MemRange range, const Limits& limits);
    /// Errors: not_permitted (no region of that application begins there).
    Result<MemRange> find_region(VmId owner, std::uint32_t app, std::uint64_t at) const;
    void drop_region(std::uint64_t at);

    Status grant(VmId owner, const MemCall& call, const Limits& limits);
    /// Those who map some of it and keep it when it is denied so. Errors: as deny.
    Result<std::uint32_t> keepers(VmId owner, const MemCall& call) const;
    /// Rows of what was taken, and of those who keep it and have to map the new object. Where level
    /// memfd cannot be given anyway, a range that others keep may come without a new object: the
    /// old one stays, and the importer is only told. With a mover the new objects are empty and
    /// the pages are moved there from under those who keep them. Errors besides: would_block (not
    /// all ranges are granted for writing, kept by others, and watched by all who map them).
    Result<std::vector<GrantRow>> deny(VmId owner, const MemCall& call, const Limits& limits,
                                       sys::PageMover* mover = nullptr);
    /// The importer's windows on whole grants wait when pages are moved from under them. Not so
    /// where another object is behind the pages than the one of this generation.
    void watch(VmId importer, MemRange range, std::uint32_t generation);
    /// Nobody's do any more.
    void unwatch(const std::vector<MemRange>& ranges);
    Status verify(VmId importer, VmId owner, std::uint32_t rights, MemRange range) const;
    /// With `files` where something was granted at level broker.
    Result<std::vector<WindowPiece>> map(VmId importer, MemRange range, bool writable, Show show,
                                         sys::PassThrough* files = nullptr);
    void unmap(VmId importer, MemRange range);

    /// What the device of an application of `vm` finds at an address.
    DmaPlace dma_place(VmId vm, std::uint32_t app, std::uint64_t at, bool write) const;
    /// Whether a descriptor leads to an object behind granted pages. O(n).
    bool has_object(int fd) const;

    /// Take all of a range from everybody. What fails to be emptied stays granted and is in no row.
    std::vector<GrantRow> revoke(MemRange range);
    /// Nothing of it can be mapped any more; true if there is anything.
    bool exporter_ended(VmId owner);
    /// Take what an ended VM exported, and forget its regions. Its next life's are left alone.
    std::vector<GrantRow> revoke_ended(VmId owner);
    void importer_ended(VmId importer);
    /// Importers of an ended VM's grants, as a set.
    std::uint32_t importers_of_ended(VmId owner) const;

    std::vector<GrantRow> rows() const;
    /// 0 when nothing is granted there.
    VmId exporter_at(std::uint64_t at) const;
    std::size_t extents() const { return extents_.size(); }
    std::uint64_t grants_of(VmId owner) const;

   private:
    struct Extent {
        std::uint32_t pages = 0;
        std::uint32_t object = 0;  // position in objects_
        std::uint32_t first = 0;   // page in the object
        std::uint32_t cpu = 0;     // sets of VMs from here on: importers with the right to
        std::uint32_t dma = 0;
        std::uint32_t active = 0;   // who maps it
        std::uint32_t watched = 0;  // of these
        std::uint32_t importers() const { return cpu | dma; }
        std::uint32_t owner : 8;
        std::uint32_t write : 1;
        std::uint32_t revoking : 1;
        std::uint32_t broker : 1;
    };
    static_assert(sizeof(Extent) == 32);  // with the map's node and the object: 120 bytes
    struct Slot {
        mem::SharedObject object;
        std::uint32_t users = 0;
        std::uint32_t generation = 0;
    };
    static_assert(sizeof(Slot) <= 40);
    static Result<sys::Fd> way_to(const mem::SharedObject& object, const Extent& extent,
                                  bool writable, sys::PassThrough* files);
    struct Region {
        std::uint64_t bytes = 0;
        VmId owner = 0;
        std::uint32_t app = 0;
        bool ended = false;
    };
    using Extents = std::map<std::uint64_t, Extent>;

    Status check(VmId owner, const MemCall& call) const;
    /// What a deny of one range meets.
    struct Denied {
        bool kept = false;          // by somebody else, in parts at least
        bool mixed = false;         // and not by the same VMs everywhere
        bool write = false;         // granted for writing
        std::uint32_t keep = 0;     // who keeps the last part
        std::uint32_t keepers = 0;  // who keeps and maps some of it
        std::uint32_t blind = 0;    // of these: who does not watch
    };
    Result<Denied> denied(const MemCall& call, MemRange range) const;
    /// All pages of a deny to the objects made for them, or none.
    Status move(const MemCall& call, const std::vector<std::optional<mem::SharedObject>>& made,
                sys::PageMover& mover) const;
    Extents::iterator first_at(std::uint64_t at);
    Extents::const_iterator first_at(std::uint64_t at) const;
    /// Make `at` a border between extents.
    void split(std::uint64_t at);
    std::uint32_t take_slot(mem::SharedObject object, std::uint32_t users);
    void drop_user(std::uint32_t slot);
    GrantRow row(Extents::const_iterator extent, VmId importer) const;
    void rows_of(Extents::const_iterator extent, std::uint32_t importers,
                 std::vector<GrantRow>& rows) const;

    std::map<std::uint64_t, Region> regions_;
    std::map<VmId, std::uint64_t> ram_;     // bytes by owner
    std::map<VmId, std::uint64_t> counts_;  // grants by owner
    Extents extents_;
    std::deque<Slot> objects_;
    std::vector<std::uint32_t> free_;
    std::uint32_t next_generation_ = 1;
};

}  // namespace hyplink::hyp
