/// What the handles of vrpq.h point to, and those that there are.
///
/// Handles of destroyed objects are refused where that costs nothing (control calls); requests
/// trust the handle, as the C++ channel under it does. Thread rule: `Place` any thread, a channel
/// its own.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hyplink/app/rpq/session.hpp"
#include "hyplink/compat/place.hpp"
#include "hyplink/compat/vrpq.h"
#include "hyplink/compat/vrpq_procedures.hpp"

/// One end of a channel. Exactly one of `client` and `server` is set.
struct VrpqChanObj {
    static constexpr std::uint32_t kMaxOuts = 32;

    hyplink::rpq::ClientChannel* client = nullptr;
    hyplink::rpq::ServerChannel* server = nullptr;

    std::byte* begun = nullptr;  ///< the request allocated last, until it is sent
    bool begun_call = false;
    bool begun_plain = false;  ///< a post without references: nothing to be done at its end

    std::int32_t reason = 0;
    std::uint32_t out_bytes = 0;

    // References of the request begun.
    std::uint32_t in_bytes = 0;
    std::uint32_t data_at = 0;  ///< where the next reference's data go
    std::uint32_t data_end = 0;
    bool refs_failed = false;
    std::uint32_t outs = 0;  ///< entries of the output table
    struct Out {
        std::uint32_t size = 0;
        void* to = nullptr;
    };
    std::array<Out, kMaxOuts> out{};
    /// What the client holds as its output table; only its addresses mean something.
    std::array<std::uint64_t, kMaxOuts> out_table{};

    // The server's batch, for references.
    std::span<const hyplink::rpq::Request> batch;
    std::size_t batch_hint = 0;
    std::uint32_t ref_errors = 0;

    /// The server's callback while it is filled in, and the answer to it.
    struct Callback {
        std::vector<std::uint64_t> in, out;
        std::uint32_t in_bytes = 0;
        std::uint32_t out_bytes = 0;
        bool call = false;
        bool allocated = false;
    };
    Callback callback;

    // For vrpqProf: written by the channel's thread, read by any.
    struct Tally {
        std::uint32_t unsent =
            0;  ///< posts since the last notify or call; the channel's thread only
        std::atomic<std::uint32_t> size_max{0};
        std::atomic<std::uint64_t> notifies{0}, notify_posts{0}, notify_posts_max{0};
        std::atomic<std::uint64_t> call_posts{0}, call_posts_max{0}, refs{0};
    };
    Tally tally;
    void count_size(std::uint32_t bytes) {
        if (bytes > tally.size_max.load(std::memory_order_relaxed)) [[unlikely]]
            tally.size_max.store(bytes, std::memory_order_relaxed);
    }
    /// What goes out now, with a notify or a call.
    void count_sent(std::atomic<std::uint64_t>& sum, std::atomic<std::uint64_t>& max) {
        const std::uint64_t posts = std::exchange(tally.unsent, 0U);
        add(sum, posts);
        if (posts > max.load(std::memory_order_relaxed))
            max.store(posts, std::memory_order_relaxed);
    }
    static void add(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
        counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }

    /// Null until the program asks for requests by procedure of this device.
    std::atomic<hyplink::compat::ProcedureTable*> procedures{nullptr};
    std::unique_ptr<hyplink::compat::ProcedureTable> own_procedures;  ///< under the place's lock
    void count_procedure(std::uint32_t procedure) {
        if (auto* table = procedures.load(std::memory_order_acquire)) [[unlikely]]
            table->count(procedure);
    }
    void count_procedures() {
        if (own_procedures != nullptr) return;
        own_procedures = std::make_unique<hyplink::compat::ProcedureTable>();
        procedures.store(own_procedures.get(), std::memory_order_release);
    }

    std::string device;
    std::unique_ptr<hyplink::rpq::OpenClient> open_client;
    std::unique_ptr<hyplink::rpq::OpenServer> open_server;

    hyplink::rings::ChannelEnd& end() {
        if (client != nullptr) return *client;
        return *server;
    }
};

struct VrpqSessionObj {};

namespace hyplink::compat {

/// The guides' programs name a node of /dev.
inline std::string device_name(const char* name) {
    std::string text = name;
    if (text.rfind("/dev/", 0) == 0) text.erase(0, 5);
    return text;
}

/// The counters of vrpqProf, by id.
using Counts = std::array<std::uint64_t, VRPQ_STAT_COUNT>;

/// Add what a channel has counted; `live`: also how full it is now.
void add_counts(Counts& counts, VrpqChanObj& chan, bool live);

class Place {
   public:
    /// Never destroyed: other threads may still wait when the program leaves.
    static Place& only();

    /// A request to the kernel was made for this device.
    void count(const std::string& device, std::uint32_t id);
    /// Everything of one device, or of it since the last reset. Errors: no_such_link (never used).
    Result<Counts> counts(const std::string& device);
    Status reset(const std::string& device);
    /// Requests of each procedure since the last reset, or since this was asked first: from then on
    /// they are counted. Errors: no_such_link (never used).
    Result<ProcedureCounts> procedures(const std::string& device);

    VrpqSession add(std::unique_ptr<rpq::Session> session);
    /// Null when it is none of ours.
    std::shared_ptr<rpq::Session> find(VrpqSession session);
    /// The session to accept of any on. Errors: closed (there is none), bad_argument (several
    /// devices).
    Result<std::shared_ptr<rpq::Session>> any();
    std::shared_ptr<rpq::Session> remove(VrpqSession session);

    void add(VrpqChanObj& chan);
    /// False: no channel of ours.
    bool remove(VrpqChanObj* chan);
    /// The channel whose port or output table `at` lies in; null: none.
    VrpqChanObj* owner(const void* at);

   private:
    std::mutex mutex_;
    std::map<VrpqSession, std::shared_ptr<rpq::Session>> sessions_;
    struct Area {
        VrpqChanObj* chan = nullptr;
        std::size_t bytes = 0;
    };
    struct Device {
        Counts counts{};    ///< of what is gone, and what no channel counts
        Counts at_reset{};  ///< the sums at the last reset
        bool by_procedure = false;
        ProcedureCounts procedures, procedures_at_reset;  ///< the same of these
    };
    Counts sum(const std::string& device) const;
    ProcedureCounts sum_procedures(const std::string& device) const;
    /// Every channel of the device there is, once.
    template <class Body>
    void each(const std::string& device, const Body& body) const {
        for (const auto& [begin, area] : areas_)
            if (area.chan->device == device && begin != area.chan->out_table.data())
                body(*area.chan);
    }

    std::map<std::string, Device> devices_;
    std::map<const void*, Area> areas_;      ///< ports and output tables
    std::atomic<std::uint64_t> removed_{1};  ///< what was seen before a change may be gone
};

}  // namespace hyplink::compat
