// Cap'n Proto RPC over a Unix socket: streaming calls with its own flow control, calls, and calls
// with many in flight.
#include <capnp/ez-rpc.h>

#include <deque>

#include "peer.capnp.h"
#include "peer.hpp"

namespace {

class Server final : public Peer::Server {
    kj::Promise<void> uniform(UniformContext context) override {
        const auto got = context.getParams();
        total_ += got.getLocation() + got.getX() + got.getW();
        return kj::READY_NOW;
    }
    kj::Promise<void> add(AddContext context) override {
        const auto got = context.getParams();
        context.getResults().setSum(got.getA() + got.getB());
        return kj::READY_NOW;
    }
    double total_ = 0;
};

double ask(const peer::Pass& pass) {
    // The socket appears when the server listens.
    while (::access(pass.path.c_str(), F_OK) != 0) ::sched_yield();
    capnp::EzRpcClient client("unix:" + pass.path);
    Peer::Client server = client.getMain<Peer>();
    auto& wait = client.getWaitScope();
    const auto add = [&](std::int32_t a) {
        auto request = server.addRequest();
        request.setA(a);
        request.setB(1);
        if (request.send().wait(wait).getSum() != a + 1) std::abort();
    };
    add(0);  // connected
    if (pass.call) return peer::calls(pass, add);
    const std::int64_t start = measure::now();
    if (pass.window) {
        std::deque<std::pair<std::int32_t, decltype(server.addRequest().send())>> flying;
        for (std::uint64_t i = 0; i < pass.rounds + peer::kWindow; ++i) {
            if (i >= peer::kWindow) {
                if (flying.front().second.wait(wait).getSum() != flying.front().first + 1)
                    std::abort();
                flying.pop_front();
            }
            if (i >= pass.rounds) continue;
            auto request = server.addRequest();
            request.setA(static_cast<std::int32_t>(i));
            request.setB(1);
            flying.emplace_back(static_cast<std::int32_t>(i), request.send());
        }
        return peer::rate(pass, measure::now() - start);
    }
    for (std::uint64_t i = 0; i < pass.rounds; ++i) {
        const auto v = static_cast<float>(i & 1023);
        auto request = server.uniformRequest();
        request.setLocation(static_cast<std::int32_t>(i));
        request.setX(v);
        request.setY(v);
        request.setZ(v);
        request.setW(v);
        request.send().wait(wait);  // returns at once until the flow control's window is full
    }
    add(1);  // after all of them
    return peer::rate(pass, measure::now() - start);
}

}  // namespace

int main(int count, char** words) {
    const peer::Pass pass = peer::parse(count, words);
    return peer::run(
        pass, [&] { return ask(pass); },
        [&] {
            capnp::EzRpcServer server(kj::heap<Server>(), "unix:" + pass.path);
            kj::NEVER_DONE.wait(server.getWaitScope());
        });
}
