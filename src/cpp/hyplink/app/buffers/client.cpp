#include "hyplink/app/buffers/client.hpp"

#include <algorithm>

#include "hyplink/app/buffers/introduction.hpp"
#include "hyplink/app/buffers/large.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::buffers {

Result<BufferRef> ClientBuffers::attach(std::shared_ptr<umem::Buffer> buffer, std::byte* memory,
                                        Deadline deadline) {
    std::string argument = argument_of(Introduction{});
    std::uint64_t unused = 0;
    HYPLINK_TRY(buffer->control(umem::Control::remote, argument, unused, deadline));
    const auto words = introduction_of(argument);
    if (!words || words->slot == 0 || words->generation == 0)
        return Error::make(Errc::unsupported,
                           text("the server of buffer ", buffer->id(), " takes none in calls"));
    // What the server says of the size is believed as far as this side has memory.
    const BufferRef name{words->slot, words->generation, 0,
                         std::min(words->bytes, buffer->bytes())};
    std::lock_guard lock(mutex_);
    ledger_->adopt(name, {memory, name.length, buffer});
    attached_[name.slot] = {name, std::move(buffer)};
    return name;
}

Result<std::unique_ptr<Table>> ClientBuffers::table(rpq::ClientChannel& channel,
                                                    std::shared_ptr<umem::Buffer> buffer,
                                                    std::byte* memory, Deadline deadline) {
    const BufferRef name = HYPLINK_TRY(attach(buffer, memory, deadline));
    return std::unique_ptr<Table>(
        std::make_unique<LargeTable>(ledger_, channel, std::move(buffer), memory, name));
}

void ClientBuffers::detach(const umem::Buffer& buffer) {
    std::lock_guard lock(mutex_);
    std::erase_if(attached_, [&](const auto& item) {
        if (item.second.second.get() != &buffer) return false;
        ledger_->remove(item.first);
        return true;
    });
}

std::shared_ptr<umem::Buffer> ClientBuffers::buffer(const BufferRef& ref) {
    std::lock_guard lock(mutex_);
    const auto found = attached_.find(ref.slot);
    if (found == attached_.end() || found->second.first.generation != ref.generation) return {};
    return found->second.second;
}

}  // namespace hyplink::buffers
