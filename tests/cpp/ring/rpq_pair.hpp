/// Both ends of a vRPQ channel on shared memory, with the test as the guest kernel of both.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hyplink/app/rpq/client_channel.hpp"
#include "hyplink/app/rpq/server_channel.hpp"
#include "hyplink/ring/doorbell.hpp"
#include "hyplink/sys/eventfd.hpp"
#include "hyplink/sys/real_runtime.hpp"

namespace test {

using namespace hyplink;
using rpq::ChannelState;
using rpq::ClientChannel;
using rpq::Request;
using rpq::ServerChannel;

class SharedPages {
   public:
    explicit SharedPages(std::size_t bytes) : bytes_(bytes) {
        void* at =
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) throw check::Stop{};
        at_ = static_cast<std::byte*>(at);
    }
    ~SharedPages() { ::munmap(at_, bytes_); }
    SharedPages(const SharedPages&) = delete;
    SharedPages& operator=(const SharedPages&) = delete;
    std::byte* data() const { return at_; }

   private:
    std::byte* at_;
    std::size_t bytes_;
};

struct PairOptions {
    std::size_t bytes = 4096;
    std::uint32_t max_requests = 0;
    std::int64_t spin = 0;  ///< of the runtime: 0, whoever waits sleeps
    bool descriptors = false;
    bool journal = false;
};

class Pair {
   public:
    sys::RealRuntime runtime;
    std::size_t bytes;
    SharedPages memory;
    SharedPages words;  ///< client's state, server's state, 62 spare words
    sys::Fd client_fd, server_fd;
    std::vector<std::byte> scope_memory;
    std::unique_ptr<Scope> scope;
    std::unique_ptr<ClientChannel> client;
    std::unique_ptr<ServerChannel> server;

    explicit Pair(PairOptions options = {})
        : runtime(options.spin), bytes(options.bytes), memory(options.bytes), words(4096) {
        if (options.descriptors) {
            client_fd = std::move(*sys::make_eventfd());
            server_fd = std::move(*sys::make_eventfd());
        }
        if (options.journal) {
            scope_memory.resize(Scope::kBytes);
            scope = std::make_unique<Scope>(scope_memory.data(), 3, 0);
        }
        rpq::port_reset(memory.data(), bytes);
        set(Role::client, ChannelState::open, false);
        set(Role::server, ChannelState::open, false);
        auto made_client = ClientChannel::make(context(Role::client, options.max_requests));
        auto made_server = ServerChannel::make(context(Role::server, options.max_requests));
        REQUIRE(made_client);
        REQUIRE(made_server);
        client = std::move(*made_client);
        server = std::move(*made_server);
    }

    rpq::ChannelContext context(Role role, std::uint32_t max_requests = 0) {
        rpq::ChannelContext made;
        made.runtime = &runtime;
        made.scope = scope.get();
        made.port = memory.data();
        made.port_bytes = bytes;
        made.state = &state_word(role);
        made.channel = 5;
        made.peer = role == Role::client ? 2 : 3;
        made.label = "vogl0";
        made.max_requests = max_requests;
        made.own_fd = role == Role::client ? client_fd.get() : server_fd.get();
        made.peer_fd = role == Role::client ? server_fd.get() : client_fd.get();
        return made;
    }

    std::atomic<std::uint32_t>& spare_word(std::size_t index) {
        return rpq::port_word<std::atomic<std::uint32_t>>(words.data(), 4 * index);
    }
    std::atomic<std::uint32_t>& state_word(Role role) {
        return spare_word(role == Role::client ? 0 : 1);
    }
    /// What the guest kernel of `role` does: store, then ring and wake whatever the bell says.
    void set(Role role, ChannelState state, bool tell = true) {
        state_word(role).store(static_cast<std::uint32_t>(state));
        if (!tell) return;
        BellWords& bell = rpq::port_bell(memory.data(), role);
        bell_ring(bell);
        runtime.wake(bell);
    }

    template <class T>
    std::atomic<T>& word(std::size_t offset) {
        return rpq::port_word<std::atomic<T>>(memory.data(), offset);
    }
    std::byte* ring() { return memory.data() + rpq::kRingAt; }
    void header(std::uint32_t at, rings::RecordHeader value) {
        std::memcpy(ring() + at, &value, sizeof value);
    }
    void publish_as_client(rings::Progress head) {
        word<std::uint64_t>(rpq::kHeadAt).store(head.pack());
    }
    void release_as_server(rings::Progress tail) {
        word<std::uint64_t>(rpq::kTailAt).store(tail.pack());
    }

    Status post(std::uint32_t proc, std::uint32_t value, std::uint32_t in_bytes = 8) {
        std::byte* block = HYPLINK_TRY(client->try_begin(proc, in_bytes));
        std::memset(block, 0, in_bytes);
        std::memcpy(block, &value, std::min<std::size_t>(4, in_bytes));
        return client->post();
    }
    std::byte* begin_call(std::uint32_t proc, std::uint32_t in_bytes, std::uint32_t out_bytes) {
        auto block = client->begin_call(proc, in_bytes, out_bytes);
        REQUIRE(block);
        return *block;
    }
};

inline std::uint32_t value_of(const std::byte* at) {
    std::uint32_t value = 0;
    std::memcpy(&value, at, 4);
    return value;
}

/// A forked process running `body`, killed and reaped at the latest by the destructor.
class Child {
   public:
    template <class Body>
    explicit Child(Body&& body) : pid_(::fork()) {
        if (pid_ != 0) return;
        ::alarm(60);
        body();
        ::_exit(check::report().failures == 0 ? 0 : 1);
    }
    ~Child() { kill(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    void kill() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }
    /// Its exit status, or the negative signal.
    int wait() {
        if (pid_ <= 0) return status_;
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = -1;
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return status_;
    }

   private:
    pid_t pid_;
    int status_ = 0;
};

}  // namespace test
