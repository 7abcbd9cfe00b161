#include "hyplink/guest/umem_link.hpp"

#include <algorithm>
#include <map>

#include "hyplink/base/info.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/guest/umem_client.hpp"
#include "hyplink/guest/umem_server.hpp"

namespace hyplink::guest {
namespace {

constexpr std::array<std::string_view, 3> kClasses = {"vogl", "vomx", "vumem"};
constexpr std::uint32_t kPdev = 16;  // ids and counts as in vlx-facts 1.6
constexpr std::uint32_t kClientXirqs = 17;
constexpr std::uint32_t kServerXirqs = 18;
constexpr std::uint64_t kXirqsEach = 2;
constexpr std::uint64_t kDefaultPdev = 16 * 1024;
constexpr std::uint64_t kMostPdev = std::uint64_t{1} << 30;

Result<std::uint64_t> pdev_size(std::string_view info) {
    const auto value = info_value(info, "vumem-pdev");
    if (!value) return kDefaultPdev;
    const auto size = parse_size(*value);
    if (!size || *size < umem::kLeastPdev || *size > kMostPdev)
        return Error::make(Errc::bad_argument,
                           text("info \"", info, "\": vumem-pdev=", *value, ", expected ",
                                umem::kLeastPdev, "..", kMostPdev, " bytes"));
    return *size / 128 * 128;  // both halves begin on a line
}

class UmemDriver final : public Driver {
   public:
    explicit UmemDriver(GuestKernel& kernel) : kernel_(&kernel) {}

    Status build(const std::vector<UmemEnd>& ends) {
        std::map<std::string, std::uint32_t> units;
        std::vector<hyp::ResourceRequest> requests;
        for (const UmemEnd& umem : ends) {
            const std::uint64_t pdev = HYPLINK_TRY(pdev_size(umem.info));
            const bool server = umem.end->role() == Role::server;
            std::string device =
                text(server ? "vumem-srv-" : "vumem-clt-", umem.end->descriptor().name);
            device += std::to_string(units[device]++);
            if (server)
                links_.push_back(
                    std::make_unique<UmemServerLink>(*kernel_, *umem.end, pdev, device));
            else
                links_.push_back(
                    std::make_unique<UmemClientLink>(*kernel_, *umem.end, pdev, device));
            by_name_.emplace(std::move(device), links_.back().get());
            links_.back()->request_resources(requests);
        }
        constexpr std::size_t kBatch = UmemLink::kResources * 256;
        std::size_t link = 0;
        for (std::size_t at = 0; at < requests.size(); at += kBatch) {
            const auto batch =
                std::span(requests).subspan(at, std::min(kBatch, requests.size() - at));
            const auto replies = HYPLINK_TRY(kernel_->hypercalls().resources(batch));
            for (std::size_t i = 0; i + UmemLink::kResources <= replies.size();
                 i += UmemLink::kResources)
                HYPLINK_TRY(links_[link++]->take_resources(
                    std::span(replies).subspan(i, UmemLink::kResources)));
        }
        return {};
    }

    std::vector<std::string> devices() const override {
        std::vector<std::string> names;
        for (const auto& link : links_) names.push_back(link->device());
        return names;
    }
    Result<std::unique_ptr<Handle>> open(AppId app, const std::string& device) override {
        return by_name_.at(device)->open_device(app);
    }
    bool handle(Pending pending, Handle& handle, SysRequest& request) override {
        auto* umem = dynamic_cast<UmemHandle*>(&handle);
        if (umem == nullptr) return false;
        umem->request(pending, request);
        return true;
    }

   private:
    GuestKernel* kernel_;
    std::vector<std::unique_ptr<UmemLink>> links_;
    std::map<std::string, UmemLink*> by_name_;
};

}  // namespace

bool carries_umem(std::string_view device_class) {
    return std::find(kClasses.begin(), kClasses.end(), device_class) != kClasses.end();
}

Result<std::unique_ptr<Driver>> make_umem_driver(GuestKernel& kernel,
                                                 const std::vector<UmemEnd>& ends) {
    auto driver = std::make_unique<UmemDriver>(kernel);
    HYPLINK_TRY(driver->build(ends));
    return std::unique_ptr<Driver>(std::move(driver));
}

UmemLink::UmemLink(GuestKernel& kernel, VlinkEnd& end, std::uint64_t pdev_bytes, std::string device)
    : kernel_(&kernel),
      end_(&end),
      pdev_bytes_(pdev_bytes),
      device_(std::move(device)),
      book_(kernel, end, kCountsUmem, pdev_bytes / 2) {
    end_->add_user(*this);
}

void UmemLink::request_resources(std::vector<hyp::ResourceRequest>& requests) const {
    const hyp::VlinkDescriptor& link = end_->descriptor();
    using hyp::ResourceType;
    requests.push_back({ResourceType::pdev, end_->slot(), kPdev, 0, pdev_bytes_});
    requests.push_back({ResourceType::pxirq, end_->slot(), kClientXirqs, link.c_id, kXirqsEach});
    requests.push_back({ResourceType::pxirq, end_->slot(), kServerXirqs, link.s_id, kXirqsEach});
}

Status UmemLink::take_resources(std::span<const hyp::ResourceReply> replies) {
    for (const hyp::ResourceReply& reply : replies)
        if (reply.code != Errc::ok)
            return Error::make(reply.code, text(device_, ": allocating its resources"));
    std::byte* area = HYPLINK_TRY(kernel_->map(replies[0].at, pdev_bytes_));
    const std::uint64_t half = pdev_bytes_ / 2;
    const bool server = end_->role() == Role::server;
    caller_ = umem::CallerEnd(area + (server ? half : 0), half);
    called_ = umem::CalledEnd(area + (server ? 0 : half), half);
    own_xirq_ = replies[server ? 2 : 1].first;
    peer_xirq_ = replies[server ? 1 : 2].first;
    own_bell_ = reinterpret_cast<BellWords*>(
        HYPLINK_TRY(kernel_->map(replies[server ? 2 : 1].at, sizeof(BellWords))));
    return {};
}

Status UmemLink::reset() {
    caller_.reset();
    called_.reset();
    return {};
}

Status UmemLink::start() {
    kernel_->attach_xirq(own_xirq_, *own_bell_, *this);
    return {};
}

void UmemLink::up() {
    on_up();
    on_xirq(own_xirq_);
}

void UmemLink::stop() { kernel_->detach_xirq(own_xirq_); }

void UmemLink::on_xirq(XirqNumber) {
    if (polling_) return;
    polling_ = true;
    // A peer that asks and answers without end gets its next turn by a ring of ours.
    constexpr int kTurns = 16;
    int turns = kTurns;
    for (bool moved = true; moved && turns > 0 && end_->is_up(); --turns) {
        moved = false;
        auto reply = caller_.poll();
        if (!reply) {
            corrupt(reply.error());
            break;
        }
        if (std::optional<umem::Reply>& found = *reply; found.has_value()) {
            moved = true;
            on_reply(*std::move(found));
            if (!end_->is_up()) break;
        }
        auto call = called_.poll();
        if (!call) {
            corrupt(call.error());
            break;
        }
        if (const std::optional<umem::Call>& found = *call; found.has_value()) {
            moved = true;
            on_call(*found);
        }
    }
    polling_ = false;
    if (turns == 0) (void)kernel_->hypercalls().xirq_trigger(own_xirq_, end_->own_vm());
}

void UmemLink::notify_peer() {
    book_.rang();
    (void)kernel_->hypercalls().xirq_trigger(peer_xirq_, end_->peer_vm());
}

void UmemLink::call(std::uint32_t server, const umem::Request& request) {
    caller_.call(server, request);
    book_.message(sizeof(umem::Slot) + sizeof request);
    notify_peer();
}

void UmemLink::answer_call(std::uint32_t server, std::int32_t error, const umem::Answer& head,
                           std::span<const umem::Chunk> chunks) {
    if (!called_.called() || !end_->is_up()) return;
    called_.answer(server, error, head, chunks);
    book_.message(sizeof(umem::Slot) + sizeof head + chunks.size_bytes());
    notify_peer();
}

void UmemLink::hold(std::uint64_t bytes) {
    profile_[UmemProfile::buffers_now] += 1;
    profile_[UmemProfile::bytes_now] += bytes;
    book_.add(bytes);
}

void UmemLink::let_go(std::uint64_t bytes) {
    profile_[UmemProfile::buffers_now] -= 1;
    profile_[UmemProfile::bytes_now] -= bytes;
    book_.remove(bytes);
}

void UmemLink::corrupt(const Error& error) {
    kernel_->journal(Event::corrupt, end_->index(), static_cast<std::uint32_t>(end_->role()),
                     static_cast<std::uint64_t>(error.number()));
    end_->fail();
    kernel_->kick();
}

void UmemLink::profile(Pending pending, bool reset) {
    SysReply reply;
    reply.data.assign(reinterpret_cast<const char*>(profile_.values.data()),
                      sizeof profile_.values);
    if (reset) {
        // What there is now stays: it is a state, not a count.
        const UmemProfile last = std::exchange(profile_, UmemProfile{});
        for (auto state : {UmemProfile::buffers_now, UmemProfile::bytes_now})
            profile_.values[state] = last.values[state];
    }
    kernel_->answer(pending, std::move(reply));
}

}  // namespace hyplink::guest
