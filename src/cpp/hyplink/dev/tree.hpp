/// What the mount looks like: `vm2/dev/vbpipe0`, `vm2/dev/input/event0`, as numbered nodes. Thread
/// rule: any thread.
#pragma once

#include <sys/stat.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hyplink/dev/vms.hpp"

namespace hyplink::dev {

struct Node {
    enum class Kind { root, vm, dev, inputs, device } kind = Kind::root;
    VmId vm = 0;
    std::string name;  ///< of a device, with the `input/` of one
};

struct Entry {
    std::string name;
    std::uint64_t number = 0;
    mode_t mode = 0;
};

class Tree {
   public:
    explicit Tree(Vms& vms) : vms_(&vms) {}
    std::optional<Node> find(std::uint64_t number);
    /// What is in a directory, `.` and `..` not included.
    std::vector<Entry> list(std::uint64_t number);
    std::optional<Entry> find_in(std::uint64_t parent, std::string_view name);

    static mode_t mode(const Node& node) {
        // A device must not be a device for the kernel, which would open its own driver; and what
        // is no regular file it would not hand to us.
        return node.kind == Node::Kind::device ? S_IFREG | 0600 : S_IFDIR | 0700;
    }

    static constexpr std::string_view kInputs = "input/";

   private:
    static constexpr std::uint64_t kInputsAt = 128;
    static constexpr std::uint64_t kRoot = 1;
    static constexpr std::uint64_t kDevices = 256;
    Vms* vms_;
    std::mutex mutex_;
    std::vector<Node> devices_;
    std::map<std::pair<VmId, std::string>, std::uint64_t> numbers_;
};

}  // namespace hyplink::dev
