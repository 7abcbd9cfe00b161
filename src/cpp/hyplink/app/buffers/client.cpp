#include "hyplink/app/buffers/client.hpp"

#include <algorithm>

#include "hyplink/app/buffers/introduction.hpp"
#include "hyplink/app/buffers/large.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::buffers {

Result<BufferRef> ClientBuffers::attach(std::shared_ptr<umem::Buffer> buffer, std::byte* memory,
                                        Deadline deadline) {
    if (!buffer->is_mapped() || memory == nullptr)
        return Error::make(Errc::bad_argument, text("buffer ", buffer->id(), " is not mapped"));
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
    std::vector<std::shared_ptr<umem::Buffer>> gone;  // let go without the lock
    std::lock_guard lock(all_->mutex);
    gone.swap(all_->unmapped);
    Attached& entry = all_->attached[name.slot];
    if (entry.buffer && entry.buffer != buffer) gone.push_back(std::move(entry.buffer));
    ledger_->adopt(name, {memory, name.length, buffer->mapping()});
    entry = {name, buffer};
    buffer->before_unmap(all_.get(), [name, at = buffer.get(), all = std::weak_ptr(all_),
                                      names = std::weak_ptr(ledger_)] {
        if (const auto ledger = names.lock()) ledger->end(name);
        const auto place = all.lock();
        if (!place) return;
        std::lock_guard held(place->mutex);
        const auto found = place->attached.find(name.slot);
        if (found == place->attached.end() || found->second.buffer.get() != at) return;
        // Never the last to hold it, for somebody is inside it.
        place->unmapped.push_back(std::move(found->second.buffer));
        place->attached.erase(found);
    });
    return name;
}

Result<std::unique_ptr<Table>> ClientBuffers::table(rpq::ClientChannel& channel,
                                                    std::shared_ptr<umem::Buffer> buffer,
                                                    std::byte* memory, Deadline deadline) {
    const BufferRef name = HYPLINK_TRY(attach(std::move(buffer), memory, deadline));
    return std::unique_ptr<Table>(std::make_unique<LargeTable>(ledger_, channel, name));
}

void ClientBuffers::detach(const umem::Buffer& buffer) {
    std::lock_guard lock(all_->mutex);
    std::erase_if(all_->attached, [&](auto& item) {
        if (item.second.buffer.get() != &buffer) return false;
        all_->unmapped.push_back(std::move(item.second.buffer));
        ledger_->remove(item.first);
        return true;
    });
}

std::shared_ptr<umem::Buffer> ClientBuffers::buffer(const BufferRef& ref) {
    std::lock_guard lock(all_->mutex);
    const auto found = all_->attached.find(ref.slot);
    if (found == all_->attached.end() || found->second.name.generation != ref.generation) return {};
    return found->second.buffer;
}

}  // namespace hyplink::buffers
