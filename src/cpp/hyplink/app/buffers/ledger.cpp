#include "hyplink/app/buffers/ledger.hpp"

#include "hyplink/base/text.hpp"

namespace hyplink::buffers {

BufferRef Ledger::add(Found memory) {
    std::lock_guard lock(mutex_);
    std::uint32_t slot;
    if (free_.empty()) {
        slot = static_cast<std::uint32_t>(entries_.size() + 1);
    } else {
        slot = free_.back();
        free_.pop_back();
    }
    Entry& entry = entries_[slot];
    entry.generation += entry.generation == ~std::uint32_t{0} ? 2 : 1;
    entry.live = true;
    entry.here = side_ == Side::client;
    entry.via = 0;
    entry.memory = std::move(memory);
    return {slot, entry.generation, 0, entry.memory.bytes};
}

void Ledger::adopt(const BufferRef& name, Found memory) {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[name.slot];
    const bool known = entry.live && entry.generation == name.generation;
    entry.generation = name.generation;
    entry.live = true;
    if (!known) {
        entry.here = side_ == Side::client;
        entry.via = 0;
    }
    entry.memory = std::move(memory);
    entry.holders.insert(Holder{});
}

Status Ledger::let(std::uint32_t slot, Holder holder) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(slot);
    if (found == entries_.end() || !found->second.live)
        return Error::make(Errc::not_found, text("no buffer ", slot));
    if (found->second.here)
        return Error::make(Errc::busy, text("buffer ", slot, " is in the server's hands"));
    found->second.holders.insert(holder);
    return {};
}

void Ledger::withdraw(std::uint32_t slot, Holder holder) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(slot);
    if (found != entries_.end()) found->second.holders.erase(holder);
}

void Ledger::remove(std::uint32_t slot) {
    Found gone;  // let go without the lock: it may be somebody's destructor
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(slot);
    if (found == entries_.end() || !found->second.live) return;
    found->second.live = false;
    found->second.holders.clear();
    gone = std::move(found->second.memory);
    if (side_ == Side::server) free_.push_back(slot);
}

Result<const Ledger::Entry*> Ledger::find(const BufferRef& ref, Holder peer) const {
    const auto found = entries_.find(ref.slot);
    if (found == entries_.end() || !found->second.live ||
        found->second.generation != ref.generation)
        return Error::make(Errc::not_found, text("no buffer ", ref.slot, ".", ref.generation));
    const Entry& entry = found->second;
    if (!entry.holders.contains(peer))
        return Error::make(Errc::not_permitted,
                           text("buffer ", ref.slot, ".", ref.generation, " is another client's"));
    if (ref.offset > entry.memory.bytes || ref.length > entry.memory.bytes - ref.offset)
        return Error::make(Errc::bad_address, text("buffer ", ref.slot, ".", ref.generation,
                                                   " has ", entry.memory.bytes, " bytes"));
    return &entry;
}

Result<const Ledger::Entry*> Ledger::find_here(const BufferRef& ref, Holder peer) const {
    const Entry* entry = HYPLINK_TRY(find(ref, peer));
    if (!entry->here)
        return Error::make(Errc::not_permitted, text("buffer ", ref.slot, ".", ref.generation,
                                                     " was given to the other side"));
    return entry;
}

Status Ledger::admit(const BufferRef& ref, Holder peer) const {
    std::lock_guard lock(mutex_);
    auto found = find_here(ref, peer);
    if (!found) return std::move(found).error();
    return {};
}

Result<Ledger::Found> Ledger::own(const BufferRef& ref, Holder peer) const {
    std::lock_guard lock(mutex_);
    const Entry* entry = HYPLINK_TRY(find_here(ref, peer));
    return entry->memory;
}

Result<Ledger::Found> Ledger::resolve(const BufferRef& ref, Holder peer) const {
    std::lock_guard lock(mutex_);
    const Entry* entry = HYPLINK_TRY(find(ref, peer));
    if (entry->here)
        return Error::make(Errc::not_permitted, text("buffer ", ref.slot, ".", ref.generation,
                                                     " is not the other side's"));
    Found found = entry->memory;
    if (found.data != nullptr) found.data += ref.offset;
    found.bytes = ref.length;
    return found;
}

void Ledger::moved(const BufferRef& ref, bool given, std::uint64_t via) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(ref.slot);
    if (found == entries_.end() || found->second.generation != ref.generation) return;
    found->second.here = !given;
    found->second.via = via;
}

bool Ledger::is_here(const BufferRef& ref) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(ref.slot);
    return found != entries_.end() && found->second.live &&
           found->second.generation == ref.generation && found->second.here;
}

bool Ledger::is_known(const BufferRef& ref) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(ref.slot);
    return found != entries_.end() && found->second.live &&
           found->second.generation == ref.generation;
}

std::uint64_t Ledger::enter() {
    std::lock_guard lock(mutex_);
    return ++channels_;
}

void Ledger::leave(std::uint64_t via) {
    std::lock_guard lock(mutex_);
    for (auto& [slot, entry] : entries_) {
        if (entry.via != via) continue;
        if (side_ == Side::client && !entry.here)
            entry.live = false;  // whether its server has let go is not known: ask again
        entry.here = side_ == Side::client;
        entry.via = 0;
    }
}

Result<std::span<std::byte>> Table::resolve(const BufferRef& ref, std::uint32_t) {
    Ledger::Found found = HYPLINK_TRY(ledger_->resolve(ref, peer_));
    if (found.data == nullptr && found.bytes != 0) return Errc::bad_address;  // without memory
    kept_[{ref.slot, ref.generation}] = std::move(found.keep);
    return std::span(found.data, static_cast<std::size_t>(found.bytes));
}

void Table::next() {
    std::erase_if(kept_, [&](const auto& item) {
        return !ledger_->is_here({item.first.first, item.first.second, 0, 0});
    });
}

}  // namespace hyplink::buffers
