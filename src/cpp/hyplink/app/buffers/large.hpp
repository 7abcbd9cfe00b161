/// A client's table whose channel has a buffer for the large parameters of its requests.
#pragma once

#include "hyplink/app/buffers/ledger.hpp"
#include "hyplink/app/buffers/room.hpp"

namespace hyplink::buffers {

class LargeTable final : public Table {
   public:
    /// `name`: all of the buffer, as calls name it.
    LargeTable(std::shared_ptr<Ledger> ledger, rpq::ClientChannel& channel, const BufferRef& name)
        : Table(std::move(ledger)), name_(name), room_(channel, name.length) {}

    /// Copies: 1. Errors: also not_found and not_permitted, when the buffer is no longer mapped or
    /// was given away.
    Result<BufferRef> place(std::span<const std::byte> data, bool first) override {
        const Ledger::Found memory = HYPLINK_TRY(ledger().own(name_, {}));
        const std::uint64_t at = HYPLINK_TRY(room_.take(data.size(), first));
        std::memcpy(memory.data + at, data.data(), data.size());
        return BufferRef{name_.slot, name_.generation, at, data.size()};
    }

   private:
    BufferRef name_;
    Room room_;
};

}  // namespace hyplink::buffers
