/// Static memory regions of the machine (`vl,io-memory`): which VM sees which physical memory at
/// which address.
///
/// A memory object is the whole of what its descriptor opens, so physical memory is cut where the
/// set of VMs that map it changes: a VM never holds an object that another one alone may see. The
/// contents outlive every VM, as memory does. Thread rule: under the hypervisor's lock. Source:
/// document 003, 2.1.1.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "hyplink/base/result.hpp"
#include "hyplink/hyp/board_spec.hpp"
#include "hyplink/hyp/hypercalls.hpp"

namespace hyplink::hyp {

class IoMemory {
   public:
    /// Take the regions of every VM over. Errors: bad_argument (not pages, beyond 48 bits, two of
    /// one VM overlap), not_permitted (memory of several VMs and a node without sharing).
    Status build(const std::vector<VmSpec>& vms);

    bool has(VmId vm, mem::Ipa address) const { return find(vm, address) != nullptr; }
    /// The object around an address of a VM, made when it is first asked for. Errors: bad_address,
    /// no_memory.
    Result<MemoryView> open(VmId vm, mem::Ipa address);
    /// End of the highest address any VM gives such memory; 0 without any.
    std::uint64_t top() const { return top_; }

   private:
    struct Piece {
        std::uint64_t bytes = 0;
        std::shared_ptr<mem::Region> region;
    };
    const IoMemorySpec* find(VmId vm, mem::Ipa address) const;
    Status check(const VmSpec& vm) const;
    Status check_sharing() const;

    std::map<VmId, std::vector<IoMemorySpec>> maps_;  ///< each in order of address
    std::map<std::uint64_t, Piece> pieces_;           ///< by physical address
    std::uint64_t top_ = 0;
};

}  // namespace hyplink::hyp
