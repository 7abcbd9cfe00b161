#include "hyplink/guest/pipe_driver.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/pipe_device.hpp"

namespace hyplink::guest {
namespace {

class DeviceHandle final : public Handle {
   public:
    explicit DeviceHandle(PipeDevice& device) : device_(&device) {}
    void close() override {}
    PipeDevice& device() { return *device_; }

   private:
    PipeDevice* device_;
};

class PipeDriver final : public Driver {
   public:
    explicit PipeDriver(GuestKernel& kernel) : kernel_(&kernel) {}

    Status build(const std::vector<PipeEnd>& ends) {
        std::set<const VlinkEnd*> used;
        for (const PipeEnd& pipe : ends) {
            if (used.contains(pipe.end)) continue;
            const PipeKind kind = kind_of(pipe);
            const PipeEnd* reverse = kind == PipeKind::both ? find_reverse(ends, pipe) : nullptr;
            auto& device = devices_.emplace_back(std::make_unique<PipeDevice>(*kernel_, kind));
            for (const PipeEnd* part : {&pipe, reverse}) {
                if (part == nullptr) continue;
                used.insert(part->end);
                PipeConfig config = HYPLINK_TRY(PipeConfig::parse(kind, part->server_info));
                HYPLINK_TRY(device->add(*part->end, std::move(config)));
            }
        }
        name_devices();
        return {};
    }

    std::vector<std::string> devices() const override {
        std::vector<std::string> names;
        for (const auto& device : devices_) names.push_back(device->name());
        return names;
    }

    Result<std::unique_ptr<Handle>> open(AppId, const std::string& name) override {
        for (const auto& device : devices_)
            if (device->name() == name)
                return std::unique_ptr<Handle>(std::make_unique<DeviceHandle>(*device));
        return Errc::no_such_link;
    }

    bool handle(Pending pending, Handle& handle, SysRequest& request) override {
        auto* opened = dynamic_cast<DeviceHandle*>(&handle);
        if (opened == nullptr || request.op != Sys::pipe_open) return false;
        opened->device().open(pending, request.args[0]);
        return true;
    }

   private:
    static PipeKind kind_of(const PipeEnd& pipe) { return *pipe_kind(pipe.end->descriptor().name); }

    /// The end through which this VM writes back: same pair, same peer, other role, another vlink.
    static const PipeEnd* find_reverse(const std::vector<PipeEnd>& ends, const PipeEnd& pipe) {
        for (const PipeEnd& candidate : ends)
            if (candidate.end->slot() != pipe.end->slot() &&
                candidate.end->descriptor().link == pipe.end->descriptor().link &&
                candidate.end->role() == other(pipe.end->role()) &&
                candidate.end->peer_vm() == pipe.end->peer_vm() &&
                kind_of(candidate) == PipeKind::both)
                return &candidate;
        return nullptr;
    }

    void name_devices() {
        std::set<std::string> taken;
        const auto take = [&](PipeDevice& device, const std::string& name) {
            if (name.empty() || !device.name().empty() || !taken.insert(name).second) return;
            device.set_name(name);
        };
        static constexpr const char* kNames[] = {"vbpipe", "vpipe", "vupipe"};
        const auto numbered = [](const PipeDevice& device, std::uint32_t number) {
            return text(kNames[static_cast<std::uint32_t>(device.kind())], number);
        };
        for (const auto& device : devices_) take(*device, device->config().name);
        for (const auto& device : devices_)
            if (const auto minor = device->config().minor) take(*device, numbered(*device, *minor));
        for (const auto& device : devices_)
            for (std::uint32_t number = 0; device->name().empty(); ++number)
                take(*device, numbered(*device, number));
    }

    GuestKernel* kernel_;
    std::vector<std::unique_ptr<PipeDevice>> devices_;
};

}  // namespace

Result<std::unique_ptr<Driver>> make_pipe_driver(GuestKernel& kernel,
                                                 const std::vector<PipeEnd>& ends) {
    if (ends.empty()) return std::unique_ptr<Driver>();
    auto driver = std::make_unique<PipeDriver>(kernel);
    HYPLINK_TRY(driver->build(ends));
    return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace hyplink::guest
