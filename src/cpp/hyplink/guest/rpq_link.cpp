#include "hyplink/guest/rpq_link.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "hyplink/base/info.hpp"
#include "hyplink/base/text.hpp"
#include "hyplink/guest/port_status.hpp"
#include "hyplink/guest/rpq_client.hpp"
#include "hyplink/guest/rpq_server.hpp"

namespace hyplink::guest {
namespace {

constexpr std::array<std::string_view, 2> kClasses = {"vogl", "vomx"};
constexpr std::uint32_t kAdminPmem = 0;
constexpr std::uint32_t kClientXirqs = 1;  // ids and counts as in vlx-facts 1.6
constexpr std::uint32_t kServerXirqs = 2;
constexpr std::uint64_t kXirqsEach = 2;
// Twice what an honest pair can have under way: each number is created, answered, closed,
// destroyed, gone.
constexpr std::size_t kMaxBacklog = std::size_t{2} * 5 * (kMaxSessions + kMaxChannels);

class RpqDriver final : public Driver {
   public:
    explicit RpqDriver(GuestKernel& kernel) : kernel_(&kernel) {}

    Status build(const std::vector<RpqEnd>& ends) {
        std::map<std::string, std::uint32_t> units;
        std::vector<hyp::ResourceRequest> requests;
        for (const RpqEnd& rpq : ends) {
            RpqConfig config = HYPLINK_TRY(RpqConfig::parse(rpq.info));
            const bool server = rpq.end->role() == Role::server;
            std::string device =
                text(server ? "vrpq-srv-" : "vrpq-clt-", rpq.end->descriptor().name);
            device += std::to_string(units[device]++);
            if (server)
                links_.push_back(
                    std::make_unique<RpqServerLink>(*kernel_, *rpq.end, config, device));
            else
                links_.push_back(
                    std::make_unique<RpqClientLink>(*kernel_, *rpq.end, config, device));
            by_name_.emplace(std::move(device), links_.back().get());
            links_.back()->request_resources(requests);
        }
        // A board may have thousands of links: ask in batches that fit a message.
        constexpr std::size_t kBatch = std::size_t{3} * 256;
        std::size_t link = 0;
        for (std::size_t at = 0; at < requests.size(); at += kBatch) {
            const auto batch =
                std::span(requests).subspan(at, std::min(kBatch, requests.size() - at));
            const auto replies = HYPLINK_TRY(kernel_->hypercalls().resources(batch));
            for (std::size_t i = 0; i + 3 <= replies.size(); i += 3)
                HYPLINK_TRY(links_[link++]->take_resources(std::span(replies).subspan(i, 3)));
        }
        return {};
    }

    std::vector<std::string> devices() const override {
        std::vector<std::string> names;
        for (const auto& link : links_) names.push_back(link->device());
        return names;
    }

    Result<std::unique_ptr<Handle>> open(AppId, const std::string& device) override {
        RpqLink* link = by_name_.at(device);
        if (link->end().role() == Role::server)
            return static_cast<RpqServerLink*>(link)->open_device();
        return static_cast<RpqClientLink*>(link)->open_device();
    }

    bool handle(Pending pending, Handle& handle, SysRequest& request) override {
        if (auto* ours = dynamic_cast<RpqHandle*>(&handle)) {
            ours->request(pending, request);
            return true;
        }
        return false;
    }

   private:
    GuestKernel* kernel_;
    std::vector<std::unique_ptr<RpqLink>> links_;
    std::map<std::string, RpqLink*> by_name_;
};

}  // namespace

bool carries_rpq(std::string_view device_class) {
    return std::find(kClasses.begin(), kClasses.end(), device_class) != kClasses.end();
}

Result<RpqConfig> RpqConfig::parse(std::string_view info) {
    RpqConfig config;
    auto read = [&](std::string_view key, std::uint64_t& into) -> Status {
        const auto value = info_value(info, key);
        if (!value) return {};
        const auto size = parse_size(*value);
        if (!size || *size == 0)
            return Error::make(Errc::bad_argument,
                               text("info \"", info, "\": ", key, "=", *value, " is not a size"));
        into = *size;
        return {};
    };
    HYPLINK_TRY(read("vrpq-pmem", config.pmem));
    HYPLINK_TRY(read("vrpq-reqs", config.requests));
    HYPLINK_TRY(read("vrpq-regs", config.requests));  // the guide's spelling
    return config;
}

std::uint32_t RpqConfig::requests_for(std::uint64_t parameter_bytes) const {
    const double share = static_cast<double>(parameter_bytes) / static_cast<double>(pmem);
    const double count = std::min(1.0, share) * static_cast<double>(requests);
    return static_cast<std::uint32_t>(std::clamp(count, 16.0, 16.0 * 1024 * 1024));
}

std::uint64_t RpqConfig::port_bytes(std::uint64_t parameter_bytes) const {
    return rpq::port_bytes_for(parameter_bytes + 16 * std::uint64_t{requests_for(parameter_bytes)});
}

Result<std::unique_ptr<Driver>> make_rpq_driver(GuestKernel& kernel,
                                                const std::vector<RpqEnd>& ends) {
    auto driver = std::make_unique<RpqDriver>(kernel);
    HYPLINK_TRY(driver->build(ends));
    return std::unique_ptr<Driver>(std::move(driver));
}

RpqLink::RpqLink(GuestKernel& kernel, VlinkEnd& end, RpqConfig config, std::string device)
    : kernel_(&kernel), end_(&end), config_(config), device_(std::move(device)) {
    end_->add_user(*this);
}

void RpqLink::request_resources(std::vector<hyp::ResourceRequest>& requests) const {
    const hyp::VlinkDescriptor& link = end_->descriptor();
    using hyp::ResourceType;
    requests.push_back({ResourceType::pmem, end_->slot(), kAdminPmem, 0, AdminRing::kBytes});
    requests.push_back({ResourceType::pxirq, end_->slot(), kClientXirqs, link.c_id, kXirqsEach});
    requests.push_back({ResourceType::pxirq, end_->slot(), kServerXirqs, link.s_id, kXirqsEach});
}

Status RpqLink::take_resources(std::span<const hyp::ResourceReply> replies) {
    for (const hyp::ResourceReply& reply : replies)
        if (reply.code != Errc::ok)
            return Error::make(reply.code, text(device_, ": allocating its resources"));
    ring_ = AdminRing(HYPLINK_TRY(kernel_->map(replies[0].at, AdminRing::kBytes)), end_->role());
    const bool server = end_->role() == Role::server;
    own_xirq_ = replies[server ? 2 : 1].first;
    peer_xirq_ = replies[server ? 1 : 2].first;
    own_bell_ = reinterpret_cast<BellWords*>(
        HYPLINK_TRY(kernel_->map(replies[server ? 2 : 1].at, sizeof(BellWords))));
    return {};
}

Status RpqLink::reset() {
    outgoing_.clear();
    ring_.reset();
    return {};
}

Status RpqLink::start() {
    kernel_->attach_xirq(own_xirq_, *own_bell_, *this);
    return {};
}

void RpqLink::up() {
    on_up();
    drain();
}

void RpqLink::stop() {
    kernel_->detach_xirq(own_xirq_);
    outgoing_.clear();
}

void RpqLink::on_xirq(XirqNumber) {
    flush();
    drain();
}

void RpqLink::send(AdminMessage message) {
    // A peer that asks and asks but takes no answers.
    if (outgoing_.size() >= kMaxBacklog)
        return corrupt(Error::make(Errc::corrupt,
                                   text(kMaxBacklog, " messages wait for VM ", end_->peer_vm())));
    outgoing_.push_back(std::move(message));
    flush();
}

void RpqLink::flush() {
    bool sent = false;
    while (!outgoing_.empty() && end_->is_up()) {
        const Status status = ring_.try_send(outgoing_.front());
        if (status.code() == Errc::would_block) break;  // the peer rings when it has made room
        if (!status) return corrupt(status.error());
        outgoing_.pop_front();
        sent = true;
    }
    if (sent) (void)kernel_->hypercalls().xirq_trigger(peer_xirq_, end_->peer_vm());
}

void RpqLink::drain() {
    if (draining_ || !end_->is_up()) return;
    draining_ = true;
    bool made_room = false;
    // Bounded by our own number: a peer that keeps sending gets its next turn by a ring of ours.
    int turns = 4 * static_cast<int>(AdminArea::kSlots);
    for (; end_->is_up() && turns > 0; --turns) {
        auto message = ring_.try_receive();
        if (!message) {
            corrupt(message.error());
            break;
        }
        if (!message->has_value()) break;
        made_room = made_room || ring_.was_full();
        on_message(**message);  // NOLINT(bugprone-unchecked-optional-access): seen above, through
                                // the Result
    }
    draining_ = false;
    if (turns == 0) (void)kernel_->hypercalls().xirq_trigger(own_xirq_, end_->own_vm());
    if (made_room) (void)kernel_->hypercalls().xirq_trigger(peer_xirq_, end_->peer_vm());
}

void RpqLink::corrupt(const Error& error) {
    kernel_->journal(Event::corrupt, end_->index(), static_cast<std::uint32_t>(end_->role()),
                     static_cast<std::uint64_t>(error.number()));
    end_->fail();
    kernel_->kick();
}

void RpqLink::set_status(const StatusWord& word, std::uint32_t state, std::byte* port, Role own,
                         const std::shared_ptr<sys::Fd>& own_fd) {
    if (word.word == nullptr) return;
    word.word->store(state, std::memory_order_release);
    wake_port(kernel_->runtime(), port, own, own_fd);
}

}  // namespace hyplink::guest
