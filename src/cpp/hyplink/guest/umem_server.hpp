/// vUmem driver, server end (back end): one server program per link, its requests one at a time,
/// and a record of each buffer that was lent.
///
/// The program's death or close revokes first, then answers what is in progress EPIPE, then drops
/// all records. Source: vlx-facts 3.2–3.4, 3.7. Thread rule: the guest kernel's.
#pragma once

#include <map>
#include <optional>

#include "hyplink/guest/umem_link.hpp"

namespace hyplink::guest {

struct UmemServer {
    AppId app = 0;
    std::uint32_t number = 0;
    bool dead = false;     ///< the link went down: EPIPE until it is destroyed
    bool closing = false;  ///< the clients are being told
    bool orderly = false;  ///< by its program, which looks after its own memory
    std::optional<Pending> receiving;
    std::optional<Pending> close_pending;
};

class UmemServerLink final : public UmemLink {
   public:
    using UmemLink::UmemLink;
    std::unique_ptr<Handle> open_device(AppId app) override;
    void create(Pending pending);
    void receive(const std::shared_ptr<UmemServer>& server, Pending pending);
    /// `then_receive`: what is answered is the next request, see Sys::umem_respond_receive.
    void respond(const std::shared_ptr<UmemServer>& server, Pending pending, SysRequest& request,
                 bool then_receive);
    /// `pending` empty: the program died or left without a word.
    void close_server(const std::shared_ptr<UmemServer>& server, std::optional<Pending> pending);
    void send_profile(Pending pending, bool reset) { profile(pending, reset); }

    void abort() override;

   private:
    struct Record {
        mem::Ipa at;  ///< none: a buffer without memory
        std::uint64_t bytes = 0;
    };
    void on_up() override;
    void on_call(const umem::Call& call) override;
    void on_reply(umem::Reply reply) override;
    void take_call();
    void deliver();
    void open_server(Pending pending);
    void begin_revoke();
    void finish_close();
    void refuse(Errc why);
    /// Answer what came in.
    void end_request(std::uint32_t server, std::int32_t error, const umem::Answer& head = {},
                     std::span<const umem::Chunk> chunks = {});
    /// Returns what the client is answered.
    Errc finish_alloc(const SysRequest& request, umem::Answer& head,
                      std::vector<umem::Chunk>& chunks, std::string& why);
    enum class When : std::uint8_t { now, soon };
    void drop(const Record& record, bool erase, When when);

    std::shared_ptr<UmemServer> server_;
    std::optional<Pending> creating_;  // waits for the link, or for the last one's end
    std::uint32_t next_number_ = 1;
    std::map<std::uint32_t, Record> buffers_;
    std::optional<umem::Call> incoming_;
    std::int64_t began_ = 0;    // when it came
    std::uint32_t buffer_ = 0;  // of the request that was delivered
    bool delivered_ = false;
    std::optional<Record> freeing_;
};

}  // namespace hyplink::guest
