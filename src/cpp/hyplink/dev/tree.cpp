#include "hyplink/dev/tree.hpp"

#include "hyplink/base/text.hpp"

namespace hyplink::dev {

std::optional<Node> Tree::find(std::uint64_t number) {
    if (number == kRoot) return Node{};
    if (number >= kInputsAt && number < kDevices)
        return Node{Node::Kind::inputs, static_cast<VmId>(number - kInputsAt), {}};
    if (number < kDevices) {
        // Two for each VM: its directory and the `dev` in it.
        const auto vm = static_cast<VmId>((number - 2) / 2);
        return Node{number % 2 == 0 ? Node::Kind::vm : Node::Kind::dev, vm, {}};
    }
    std::lock_guard lock(mutex_);
    if (number - kDevices >= devices_.size()) return std::nullopt;
    return devices_[static_cast<std::size_t>(number - kDevices)];
}

std::vector<Entry> Tree::list(std::uint64_t number) {
    std::vector<Entry> entries;
    const auto node = find(number);
    if (!node) return entries;
    switch (node->kind) {
        case Node::Kind::root:
            if (auto vms = vms_->list())
                for (const VmEntry& vm : *vms)
                    entries.push_back(
                        {text("vm", vm.id), std::uint64_t{vm.id} * 2 + 2, S_IFDIR | 0700});
            break;
        case Node::Kind::vm:
            entries.push_back({"dev", std::uint64_t{node->vm} * 2 + 3, S_IFDIR | 0700});
            break;
        case Node::Kind::dev:
        case Node::Kind::inputs:
            for (const std::string& name : vms_->devices(node->vm)) {
                const bool input = name.starts_with(kInputs);
                if (input && node->kind == Node::Kind::dev) {
                    if (entries.empty() || entries.front().name != "input")
                        entries.insert(entries.begin(),
                                       {"input", kInputsAt + node->vm, S_IFDIR | 0700});
                    continue;
                }
                if (input != (node->kind == Node::Kind::inputs)) continue;
                std::lock_guard lock(mutex_);
                const auto [known, fresh] =
                    numbers_.try_emplace({node->vm, name}, kDevices + devices_.size());
                if (fresh) devices_.push_back({Node::Kind::device, node->vm, name});
                entries.push_back(
                    {input ? name.substr(kInputs.size()) : name, known->second, S_IFREG | 0600});
            }
            break;
        case Node::Kind::device:
            break;
    }
    return entries;
}

std::optional<Entry> Tree::find_in(std::uint64_t parent, std::string_view name) {
    for (Entry& entry : list(parent))
        if (entry.name == name) return std::move(entry);
    return std::nullopt;
}

}  // namespace hyplink::dev
