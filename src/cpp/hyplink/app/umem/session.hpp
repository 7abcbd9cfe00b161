/// vUmem as a client application uses it: sessions on a device, and buffers of the server's memory.
///
///     auto session = HYPLINK_TRY(Session::create(application, "vumem-clt-vogl0", false,
///     deadline)); auto buffer = HYPLINK_TRY(session->alloc(argument, deadline));     // argument
///     goes both ways std::byte* data = HYPLINK_TRY(buffer->map(deadline));
///
/// When the server dies, every mapping reads as zeroes of this process's own and operations fail
/// with peer_dead. Thread rule: any thread; a buffer by one thread at a time. Source: spec
/// 002 3.2.3.2; vlx-facts 3.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "hyplink/app/application.hpp"
#include "hyplink/app/umem/server.hpp"
#include "hyplink/sys/place.hpp"

namespace hyplink::umem {

/// Commands of Buffer::control. 2 to 5 stay within the VM.
enum class Control : std::uint32_t {
    remote = 1,        ///< the opaque argument goes to the server and back
    is_allocator = 2,  ///< 1 if this handle allocated the buffer and its session lives
    is_mappable = 3,
    private_get = 4,  ///< a word that all of this VM who hold the buffer share
    private_set = 5,
};

/// Names a buffer to another application of the same VM; who knows it may register the buffer.
struct Token {
    std::uint64_t low = 0, high = 0;
};

class Session;

class Buffer {
   public:
    ~Buffer() { close(); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    /// All of it, readable and writable, shared with the server and everybody who has mapped it.
    /// Once per process. The first time, right after the allocation, it asks nobody and does not
    /// wait. Errors: busy (mapped), bad_argument (without memory), not_permitted (not
    /// registered), peer_dead, closed.
    Result<std::byte*> map(Deadline deadline);
    /// Errors: bad_argument (not mapped).
    Status unmap();
    /// Let go; the server is asked to free it when nobody has it any more. Unmaps. Errors: what the
    /// server says, peer_dead, closed; it is closed in any case.
    Status free(Deadline deadline);
    void close();

    /// Access for a session that did not allocate it. Errors: busy (it is in a session), peer_dead,
    /// what the server says.
    Status register_with(Session& session, Deadline deadline);
    /// Errors: bad_argument (not registered).
    Status unregister(Deadline deadline);
    /// Operations: to memory 1, from memory 2, to device 4, from device 8, local 16. Errors:
    /// bad_argument (unknown ones, not mapped).
    Status cache(std::uint32_t operations, Deadline deadline);
    /// `opaque` comes back for `remote`, `word` is set or answered for the others.
    Status control(Control command, std::string& opaque, std::uint64_t& word, Deadline deadline);

    std::uint32_t id() const { return id_; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint32_t attributes() const { return attributes_; }
    Token token() const { return token_; }
    /// What the server made of the argument of `alloc`.
    const std::string& opaque() const { return opaque_; }
    bool is_open() const { return handle_ != 0; }
    bool is_mapped() const;
    /// Call this once, before the memory goes: at `unmap`, `free`, `close` or the end. For whoever
    /// hands its address out, once each: another `hook` of the same `who` replaces it. It may not
    /// end the buffer.
    void before_unmap(const void* who, std::function<void()> hook) {
        leaving_[who] = std::move(hook);
    }
    /// True once the server is gone.
    bool is_lost() const;
    app::Application& application() { return *application_; }
    /// Keeps the addresses of a mapping taken while views of it live.
    std::shared_ptr<void> mapping() const { return mapping_; }

   private:
    friend class Session;
    friend Result<std::unique_ptr<Buffer>> import_buffer(std::shared_ptr<app::Application>,
                                                         const std::string&, Token, Deadline);
    Buffer() = default;
    /// Its memory as it came with the allocation, until it is mapped or the session allocates the
    /// next: buffers that are never mapped hold no descriptors.
    struct Given {
        std::mutex mutex;
        std::optional<guest::SysReply> reply;
        std::optional<guest::SysReply> take() {
            std::lock_guard lock(mutex);
            return std::exchange(reply, std::nullopt);
        }
    };
    struct Mapping {
        mutable std::mutex mutex;
        sys::Place place;
        bool lost = false;
        void lose();
    };
    static std::unique_ptr<Buffer> make(std::shared_ptr<app::Application> application,
                                        guest::SysReply reply);
    Result<guest::SysReply> call(guest::SysRequest request, Deadline deadline);
    /// Where its memory is: from what was given if that will do, else from the kernel.
    Result<guest::SysReply> pieces(Deadline deadline);
    /// Whether it was mapped.
    bool take_away();

    std::shared_ptr<app::Application> application_;
    std::uint32_t handle_ = 0;
    std::uint32_t device_handle_ = 0;  // of an imported one
    std::uint32_t id_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint32_t attributes_ = 0;
    Token token_;
    std::string opaque_;
    std::shared_ptr<Mapping> gone_ = std::make_shared<Mapping>();  // hears of the server's death
    std::shared_ptr<Mapping> mapping_;                             // the same, while mapped
    std::shared_ptr<Given> given_;
    std::map<const void*, std::function<void()>> leaving_;
};

/// A buffer of another application of this VM, by its token; to be registered before it is mapped.
/// Errors: bad_argument (nothing goes by it), no_such_link.
Result<std::unique_ptr<Buffer>> import_buffer(std::shared_ptr<app::Application> application,
                                              const std::string& device, Token token,
                                              Deadline deadline);

class Session {
   public:
    /// Waits for the link and for a server. Errors: busy (a second master), no_such_link,
    /// timed_out, shutting_down.
    static Result<std::unique_ptr<Session>> create(std::shared_ptr<app::Application> application,
                                                   const std::string& device, bool master,
                                                   Deadline deadline);
    ~Session() { close(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// `opaque` up to 128 bytes. Errors: bad_argument, not_permitted (another session is the
    /// master), too_long (raise vumem-pdev), peer_dead, timed_out, what the server says.
    Result<std::unique_ptr<Buffer>> alloc(std::string_view opaque, Deadline deadline);
    /// Its buffers are freed, what was registered is unregistered. Idempotent.
    void close();

    bool is_open() const { return handle_ != 0; }
    bool is_dead() const;
    bool is_master() const { return master_; }
    std::uint32_t handle() const { return handle_; }
    VmId peer_vm() const { return peer_; }
    const std::string& device() const { return device_; }
    app::Application& application() { return *application_; }

   private:
    Session(std::shared_ptr<app::Application> application, std::string device, bool master)
        : application_(std::move(application)), device_(std::move(device)), master_(master) {}
    /// What came with the last allocation, instead of what came with the one before.
    void keep_given(std::shared_ptr<Buffer::Given> given);

    std::shared_ptr<app::Application> application_;
    std::string device_;
    bool master_;
    std::uint32_t device_handle_ = 0;
    std::uint32_t handle_ = 0;
    VmId peer_ = 0;
    const std::atomic<std::uint32_t>* status_ = nullptr;
    std::mutex mutex_;
    std::shared_ptr<Buffer::Given> last_given_;
};

/// Counters of a device, server's or client's, in the order of guest::UmemProfile. `reset`: what is
/// counted begins again at 0. Errors: no_such_link.
Result<std::vector<std::uint64_t>> profile(app::Application& application, const std::string& device,
                                           bool reset, Deadline deadline);

}  // namespace hyplink::umem
