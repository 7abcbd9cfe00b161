#include "hyplink/hyp/io_memory.hpp"

#include <algorithm>
#include <set>

#include "hyplink/base/text.hpp"

namespace hyplink::hyp {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kTop = std::uint64_t{1} << 48;

std::string span(std::uint64_t base, std::uint64_t bytes) {
    return text(std::hex, "[0x", base, ", 0x", base + bytes, ")");
}

}  // namespace

Status IoMemory::check(const VmSpec& vm) const {
    const IoMemorySpec* last = nullptr;
    for (const IoMemorySpec& memory : maps_.at(vm.id)) {
        for (const std::uint64_t value : {memory.ipa, memory.pa, memory.bytes})
            if (value % kPage != 0 || value > kTop)
                return Error::make(
                    Errc::bad_argument,
                    text("static memory of VM ", vm.id, ": 0x", std::hex, value,
                         " is not a multiple of the page size 0x1000 within 48 bits"));
        if (memory.bytes == 0 || memory.bytes > kTop - std::max(memory.ipa, memory.pa))
            return Error::make(Errc::bad_argument,
                               text("static memory of VM ", vm.id, ": ",
                                    span(memory.ipa, memory.bytes), " is empty or too long"));
        if (last != nullptr && memory.ipa < last->ipa + last->bytes)
            return Error::make(
                Errc::bad_argument,
                text("static memory of VM ", vm.id, ": ", span(last->ipa, last->bytes), " and ",
                     span(memory.ipa, memory.bytes), " overlap"));
        last = &memory;
    }
    return {};
}

Status IoMemory::check_sharing() const {
    for (const auto& [vm, memories] : maps_)
        for (const IoMemorySpec& mine : memories) {
            if (mine.sharing) continue;
            for (const auto& [other, others] : maps_)
                for (const IoMemorySpec& theirs : others)
                    if (&theirs != &mine && mine.pa < theirs.pa + theirs.bytes &&
                        theirs.pa < mine.pa + mine.bytes)
                        return Error::make(Errc::not_permitted,
                                           text("static memory ", span(mine.pa, mine.bytes),
                                                " of VM ", vm, " does not allow sharing, and VM ",
                                                other, " maps ", span(theirs.pa, theirs.bytes)));
        }
    return {};
}

Status IoMemory::build(const std::vector<VmSpec>& vms) {
    std::set<std::uint64_t> cuts;
    for (const VmSpec& vm : vms) {
        auto& memories = maps_[vm.id] = vm.io_memory;
        std::sort(memories.begin(), memories.end(),
                  [](const auto& a, const auto& b) { return a.ipa < b.ipa; });
        HYPLINK_TRY(check(vm));
        for (const IoMemorySpec& memory : memories) {
            cuts.insert({memory.pa, memory.pa + memory.bytes});
            top_ = std::max(top_, memory.ipa + memory.bytes);
        }
    }
    HYPLINK_TRY(check_sharing());
    // From cut to cut everybody who maps a byte maps all; where nobody does, nothing is ever asked.
    for (auto at = cuts.begin(); at != cuts.end() && std::next(at) != cuts.end(); ++at)
        pieces_.try_emplace(*at, Piece{*std::next(at) - *at, nullptr});
    return {};
}

const IoMemorySpec* IoMemory::find(VmId vm, mem::Ipa address) const {
    const auto found = maps_.find(vm);
    if (found == maps_.end()) return nullptr;
    const auto& memories = found->second;
    auto after =
        std::upper_bound(memories.begin(), memories.end(), address.value,
                         [](std::uint64_t at, const IoMemorySpec& m) { return at < m.ipa; });
    if (after == memories.begin()) return nullptr;
    const IoMemorySpec& memory = *std::prev(after);
    return address.value - memory.ipa < memory.bytes ? &memory : nullptr;
}

Result<MemoryView> IoMemory::open(VmId vm, mem::Ipa address) {
    const IoMemorySpec* memory = find(vm, address);
    if (memory == nullptr) return Errc::bad_address;
    const std::uint64_t pa = memory->pa + (address.value - memory->ipa);
    auto& [base, piece] = *std::prev(pieces_.upper_bound(pa));
    if (piece.region == nullptr)
        piece.region = HYPLINK_TRY(mem::Region::make("hyplink-io-memory", piece.bytes));
    return MemoryView{mem::Ipa{memory->ipa + (base - memory->pa)}, piece.region};
}

}  // namespace hyplink::hyp
