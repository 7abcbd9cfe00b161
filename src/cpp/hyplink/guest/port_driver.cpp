/// The devices whose ends applications join: finding an end, and what its handle is asked for.
#include <algorithm>
#include <array>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/guest/ion.hpp"
#include "hyplink/guest/port_end.hpp"

namespace hyplink::guest {
namespace {

constexpr std::array<std::string_view, 3> kClasses = {"vrpc", "vmq", "vevent"};
/// A front end's name under /dev, with its number behind.
constexpr std::string_view kInput = "input/event";

class PortDevice final : public Handle {
   public:
    explicit PortDevice(std::string name) : name_(std::move(name)) {}
    const std::string& name() const { return name_; }
    void close() override {}

   private:
    std::string name_;
};

class EndHandle final : public Handle {
   public:
    explicit EndHandle(PortEnd& end) : end_(&end) {}
    PortEnd& end() { return *end_; }
    void close() override { end_->release(); }

   private:
    PortEnd* end_;
};

class PortDriver final : public Driver {
   public:
    explicit PortDriver(GuestKernel& kernel) : kernel_(&kernel) {}

    Status add(const PortLinkEnd& link) {
        ends_.push_back(std::make_unique<PortEnd>(*kernel_, link));
        return ends_.back()->allocate();
    }

    std::vector<std::string> devices() const override {
        std::vector<std::string> names;
        for (const std::string_view name : kClasses)
            if (std::any_of(ends_.begin(), ends_.end(),
                            [&](const auto& end) { return end->device() == name; }))
                names.emplace_back(name);
        const std::size_t inputs = static_cast<std::size_t>(std::count_if(
            ends_.begin(), ends_.end(), [](const auto& end) { return is_input(*end); }));
        for (std::size_t i = 0; i < inputs; ++i) names.push_back(text(kInput, i));
        return names;
    }

    Result<std::unique_ptr<Handle>> open(AppId, const std::string& device) override {
        return std::unique_ptr<Handle>(std::make_unique<PortDevice>(device));
    }

    bool handle(Pending pending, Handle& handle, SysRequest& request) override {
        if (auto* device = dynamic_cast<PortDevice*>(&handle)) {
            if (request.op != Sys::port_lookup) return false;
            lookup(pending, *device, request);
            return true;
        }
        if (auto* end = dynamic_cast<EndHandle*>(&handle)) {
            if (request.op != Sys::port_join) return false;
            end->end().join(pending, {(request.args[1] & PortJoin::alone) != 0,
                                      (request.args[1] & PortJoin::now) == 0, request.args[0],
                                      std::move(request.data)});
            return true;
        }
        return false;
    }

   private:
    static bool is_input(PortEnd& end) {
        return end.device() == "vevent" && end.end().role() == Role::client;
    }
    /// The end behind "input/event0": front ends in the board's order.
    PortEnd* input(const std::string& name) {
        std::size_t at = 0;
        for (auto end = ends_.rbegin(); end != ends_.rend(); ++end)
            if (is_input(**end) && name == text(kInput, at++)) return end->get();
        return nullptr;
    }
    void take_input(const Pending& pending, const std::string& name) {
        PortEnd* const end = input(name);
        if (end == nullptr)
            return kernel_->fail(pending, Errc::not_found, text(name, ": no such input"));
        if (end->taken())
            return kernel_->fail(pending, Errc::busy, text(name, ": another application has it"));
        end->take(pending, std::make_unique<EndHandle>(*end));
    }

    /// Newest first, those somebody has left out. A null name is that of ends without one.
    void lookup(const Pending& pending, const PortDevice& device, const SysRequest& request) {
        if (device.name().starts_with(kInput)) return take_input(pending, device.name());
        std::uint64_t over = request.args[2];
        bool taken = false;
        std::string known;
        for (const auto& end : ends_) {
            const auto role = static_cast<std::uint64_t>(end->end().role());
            const auto wanted = static_cast<PortRole>(request.args[0]);
            if (end->device() != device.name()) continue;
            if (wanted != PortRole::either && request.args[0] != role) continue;
            if (request.args[1] != 0 && request.args[1] != end->end().peer_vm()) continue;
            if (known.size() < 400)
                known += text(known.empty() ? "" : ", ", '"', end->info(), "\" to VM ",
                              end->end().peer_vm());
            if (request.data.empty() ? !(end->info().empty() || end->info().starts_with(','))
                                     : !end->info().starts_with(request.data))
                continue;
            if (end->taken()) {
                taken = true;
                continue;
            }
            if (over-- != 0) continue;
            return end->take(pending, std::make_unique<EndHandle>(*end));
        }
        kernel_->fail(pending, taken ? Errc::busy : Errc::not_found,
                      text(device.name(), " \"", request.data, "\": ",
                           taken ? "somebody has every end of that name" : "no end of that name",
                           "; there are ", known.empty() ? "none" : known));
    }

    GuestKernel* kernel_;
    std::vector<std::unique_ptr<PortEnd>> ends_;
};

}  // namespace

bool joins_ports(std::string_view device_class, std::string_view server_info) {
    return std::find(kClasses.begin(), kClasses.end(), device_class) != kClasses.end() &&
           !carries_ion(device_class, server_info);
}

Result<std::unique_ptr<Driver>> make_port_driver(GuestKernel& kernel,
                                                 const std::vector<PortLinkEnd>& ends) {
    if (ends.empty()) return std::unique_ptr<Driver>();
    auto driver = std::make_unique<PortDriver>(kernel);
    // Newest first, as they are looked up.
    for (auto end = ends.rbegin(); end != ends.rend(); ++end) HYPLINK_TRY(driver->add(*end));
    return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace hyplink::guest
