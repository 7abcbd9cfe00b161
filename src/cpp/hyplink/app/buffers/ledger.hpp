/// Which vUmem buffers calls may name, under which name, and on which side each of them is.
///
/// A buffer is at the client's from the beginning. `gives` moves it; what is not here is not named
/// from here, and what is here is not taken from there: so it moves once. The two sides keep one
/// ledger each and need no third party to agree, for every move travels in the order of a channel.
/// A name is a slot and how many buffers that slot has had: an old name leads nowhere. Thread rule:
/// any thread.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "hyplink/app/rpq/buffers.hpp"
#include "hyplink/base/ids.hpp"

namespace hyplink::buffers {

using rpq::BufferRef;

enum class Side { client, server };

/// A client application: what names a buffer must hold it.
struct Holder {
    VmId vm = 0;
    std::uint32_t app = 0;
    auto operator<=>(const Holder&) const = default;
};

class Ledger {
   public:
    explicit Ledger(Side side) : side_(side) {}

    /// Memory of a buffer, and what keeps it where it is.
    struct Found {
        std::byte* data = nullptr;
        std::uint64_t bytes = 0;
        std::shared_ptr<void> keep;
    };

    /// Server: a new buffer of a client; the reference is all of it.
    BufferRef add(Found memory);
    /// Client: a buffer under the name that its server gave it. A name that is known is replaced.
    void adopt(const BufferRef& name, Found memory);
    /// Server: this client may name the buffer. Errors: not_found, busy (the server has it).
    Status let(std::uint32_t slot, Holder holder);
    void withdraw(std::uint32_t slot, Holder holder);
    /// It is gone: its name leads nowhere from now on.
    void remove(std::uint32_t slot);
    /// The same, unless the slot is another buffer's by now.
    void end(const BufferRef& name) {
        if (is_known(name)) remove(name.slot);
    }

    /// What this side is about to name. Errors: not_found (no such buffer, or not any more),
    /// bad_address (beyond its end), not_permitted (it was given away, or is another client's).
    Status admit(const BufferRef& ref, Holder peer) const;
    /// The same, and all of its memory.
    Result<Found> own(const BufferRef& ref, Holder peer) const;
    /// What the other side named: as above, and not_permitted while it is this side's.
    Result<Found> resolve(const BufferRef& ref, Holder peer) const;
    /// It is the other side's from now on (`given`), or this side's, by way of channel `via`.
    void moved(const BufferRef& ref, bool given, std::uint64_t via);
    /// Whether it is this side's now.
    bool is_here(const BufferRef& ref) const;
    /// Whether the name leads to a buffer.
    bool is_known(const BufferRef& ref) const;

    /// A channel begins: the number it goes by in `moved`.
    std::uint64_t enter();
    /// It ends: what moved through it is where it was at the beginning. A client has to ask for the
    /// name of what it gave again, for its server may learn of the end later.
    void leave(std::uint64_t via);

   private:
    struct Entry {
        std::uint32_t generation = 0;
        bool live = false;
        bool here = false;
        std::uint64_t via = 0;
        Found memory;
        std::set<Holder> holders;
    };
    /// Errors: as `admit`, but for the side it is on.
    Result<const Entry*> find(const BufferRef& ref, Holder peer) const;
    /// The same, and it must be here.
    Result<const Entry*> find_here(const BufferRef& ref, Holder peer) const;

    const Side side_;
    mutable std::mutex mutex_;
    std::map<std::uint32_t, Entry> entries_;
    std::vector<std::uint32_t> free_;
    std::uint64_t channels_ = 0;
};

/// One channel's view of a ledger, for generated code. Thread rule: the channel's.
class Table : public rpq::BufferTable {
   public:
    /// `peer`: whom a server serves with the channel; a client leaves it out.
    explicit Table(std::shared_ptr<Ledger> ledger, Holder peer = {})
        : ledger_(std::move(ledger)), peer_(peer), via_(ledger_->enter()) {}
    ~Table() override { ledger_->leave(via_); }

    Result<std::span<std::byte>> resolve(const BufferRef& ref, std::uint32_t rights) override;
    Status admit(const BufferRef& ref) override { return ledger_->admit(ref, peer_); }
    void transferred(const BufferRef& ref, bool given) override {
        ledger_->moved(ref, given, via_);
    }

    /// A request begins: memory of earlier ones that is not this side's may go. Without it memory
    /// that was once named stays mapped until the channel ends, even if the buffer is gone.
    void next();

   protected:
    Ledger& ledger() { return *ledger_; }

   private:
    std::shared_ptr<Ledger> ledger_;
    Holder peer_;
    std::uint64_t via_;
    /// A handler may look at these whatever becomes of the buffer meanwhile.
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::shared_ptr<void>> kept_;
};

}  // namespace hyplink::buffers
