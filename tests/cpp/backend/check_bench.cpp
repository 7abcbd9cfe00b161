/// One board, two VMs, requests from one to the other: on threads, on threads with a seed, on
/// processes.
#include <cstdlib>
#include <cstring>
#include <thread>

#include "check.hpp"
#include "hyplink/app/rpq/session.hpp"
#include "hyplink/backend/bench.hpp"

using namespace hyplink;

namespace {

hyp::BoardSpec board() {
    hyp::BoardSpec spec;
    spec.vms = {{2, "server"}, {3, "client"}};
    spec.links = {{"vogl", 0, 2, 3, "vumem-pdev=128K,vrpq-reqs=4096,vrpq-pmem=2M", "", 0}};
    return spec;
}

backend::BenchOptions options(backend::BackendKind kind) {
    backend::BenchOptions made;
    made.kind = kind;
    if (const char* program = std::getenv("HYPLINK_VM")) made.vm_program = program;
    return made;
}

void echo(std::shared_ptr<app::Application> application, int rounds) {
    Runtime& runtime = application->runtime();
    for (int round = 0; round < rounds; ++round) {
        auto session = rpq::Session::accept(application, "vrpq-srv-vogl0", Deadline::never());
        if (!session) return;
        auto open = (*session)->accept_channel(Deadline::never());
        if (!open) continue;
        rpq::ServerChannel& channel = (*open)->channel();
        for (;;) {
            auto requests = channel.receive(8, runtime.in(60'000'000'000));
            if (!requests) break;
            for (const auto& request : *requests)
                if (request.is_call) std::memcpy(request.out, request.in, request.in_bytes);
        }
    }
}

/// Post, call and check; returns the sum of what came back.
Result<std::uint64_t> talk(rpq::ClientChannel& channel, Runtime& runtime, int calls) {
    std::uint64_t sum = 0;
    for (int i = 0; i < calls; ++i) {
        for (int post = 0; post < 5; ++post) {
            std::byte* in = HYPLINK_TRY(channel.begin(0x20001, 24));
            std::memset(in, post, 24);
            HYPLINK_TRY(channel.post());
        }
        std::byte* in = HYPLINK_TRY(channel.begin_call(0x20002, 8, 8));
        const std::uint64_t value = static_cast<std::uint64_t>(i);
        std::memcpy(in, &value, 8);
        const rpq::ReplyView reply = HYPLINK_TRY(channel.call(runtime.in(60'000'000'000)));
        std::uint64_t back = 0;
        std::memcpy(&back, reply.out, 8);
        sum += back;
    }
    return sum;
}

void story(backend::BenchOptions how) {
    auto made = backend::Bench::make(board(), how);
    REQUIRE(made.has_value());
    backend::Bench& bench = **made;
    Runtime& runtime = bench.runtime();
    const auto soon = [&] { return runtime.in(60'000'000'000); };
    EXPECT_EQ(bench.boot(2, soon()).error().text(), "ok");
    EXPECT_EQ(bench.boot(3, soon()).error().text(), "ok");
    EXPECT(bench.wait_link(0, true, soon()).has_value());

    auto server_app = bench.attach(2);
    REQUIRE(server_app.has_value());
    backend::TaskThread server(runtime, [app = *server_app] { echo(app, 2); });
    auto client_app = bench.attach(3);
    REQUIRE(client_app.has_value());
    {
        auto session = rpq::Session::create(*client_app, "vrpq-clt-vogl0", "hello", soon());
        REQUIRE(session.has_value());
        auto open = (*session)->create_channel(0, "", soon());
        REQUIRE(open.has_value());
        auto sum = talk((*open)->channel(), runtime, 100);
        REQUIRE(sum.has_value());
        EXPECT_EQ(*sum, std::uint64_t{4950});

        EXPECT(bench.kill(2).has_value());
        auto after = talk((*open)->channel(), runtime, 1);
        EXPECT(!after.has_value());
        EXPECT(after.code() == Errc::peer_dead);
    }
    server.join();
    (*server_app)->close();
    EXPECT(bench.boot(2, soon()).has_value());
    EXPECT(bench.wait_link(0, true, soon()).has_value());
    auto again_app = bench.attach(2);
    REQUIRE(again_app.has_value());
    backend::TaskThread again(runtime, [app = *again_app] { echo(app, 1); });
    {
        auto session = rpq::Session::create(*client_app, "vrpq-clt-vogl0", "", soon());
        REQUIRE(session.has_value());
        auto open = (*session)->create_channel(65536, "", soon());
        REQUIRE(open.has_value());
        auto sum = talk((*open)->channel(), runtime, 10);
        REQUIRE(sum.has_value());
        EXPECT_EQ(*sum, std::uint64_t{45});
    }
    again.join();
    EXPECT(bench.shutdown(2, soon()).has_value());
    EXPECT(bench.hypervisor().vm_state(2) == VmState::off);
    bench.close();
}

}  // namespace

CHECK_CASE("requests reach a server on the thread backend, which dies and comes back") {
    story(options(backend::BackendKind::thread));
}

CHECK_CASE("requests reach a server in a seeded run, which dies and comes back") {
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
        auto how = options(backend::BackendKind::thread);
        how.seeded = true;
        how.seed = seed;
        story(how);
    }
}

CHECK_CASE("requests reach a server on the process backend, which dies and comes back") {
    story(options(backend::BackendKind::process));
}
