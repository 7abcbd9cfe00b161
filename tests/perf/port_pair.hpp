/// A port in memory shared by two measuring processes, and the two ends built on it.
#pragma once

#include <cstdlib>
#include <memory>

#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/rpq/server_channel.hpp"
#include "hyplink/sys/real_runtime.hpp"
#include "measure.hpp"

namespace measure {

class PortPair {
   public:
    explicit PortPair(std::size_t bytes, std::uint32_t max_requests = 0)
        : memory_(bytes), state_(4096), max_requests_(max_requests) {
        hyplink::rpq::port_reset(memory_.data(), bytes);
        state_.at<std::atomic<std::uint32_t>>(0).store(1);
    }
    hyplink::rpq::ChannelContext context(hyplink::Runtime& runtime) const {
        hyplink::rpq::ChannelContext made;
        made.runtime = &runtime;
        made.port = memory_.data();
        made.port_bytes = memory_.size();
        made.state = &state_.at<std::atomic<std::uint32_t>>(0);
        made.max_requests = max_requests_;
        made.label = "perf";
        return made;
    }
    std::unique_ptr<hyplink::rpq::ClientChannel> client(hyplink::Runtime& runtime) const {
        return must(hyplink::rpq::ClientChannel::make(context(runtime)));
    }
    std::unique_ptr<hyplink::rpq::ServerChannel> server(hyplink::Runtime& runtime) const {
        return must(hyplink::rpq::ServerChannel::make(context(runtime)));
    }

    template <class T>
    static T must(hyplink::Result<T> result) {
        if (!result) {
            std::fprintf(stderr, "%s\n", result.error().text().c_str());
            std::_Exit(1);
        }
        return std::move(*std::move(result));
    }
    static void must(hyplink::Status status) {
        if (!status) {
            std::fprintf(stderr, "%s\n", status.error().text().c_str());
            std::_Exit(1);
        }
    }

   private:
    Shared memory_;
    Shared state_;
    std::uint32_t max_requests_;
};

/// How long the runtime may spin before it sleeps. Pinned processes see one core, so it is said
/// here.
inline std::int64_t spin_for(const Options& options) { return options.same_core ? 0 : 30'000; }

}  // namespace measure
