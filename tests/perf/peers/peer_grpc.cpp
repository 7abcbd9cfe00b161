// gRPC over a Unix socket: a client stream, synchronous calls, and calls with many in flight (a
// completion queue at the client, reactors at the server).
#include <grpcpp/grpcpp.h>

#include "peer.grpc.pb.h"
#include "peer.hpp"

namespace {

class Service final : public peer::Peer::Service {
    grpc::Status Stream(grpc::ServerContext*, grpc::ServerReader<peer::Uniform>* reader,
                        peer::Sum* sum) override {
        peer::Uniform uniform;
        double total = 0;
        while (reader->Read(&uniform)) total += uniform.location() + uniform.x() + uniform.w();
        sum->set_sum(total > 0 ? 1 : 0);
        return grpc::Status::OK;
    }
    grpc::Status Add(grpc::ServerContext*, const peer::Pair* pair, peer::Sum* sum) override {
        sum->set_sum(pair->a() + pair->b());
        return grpc::Status::OK;
    }
};

class Reacting final : public peer::Peer::CallbackService {
    grpc::ServerUnaryReactor* Add(grpc::CallbackServerContext* context, const peer::Pair* pair,
                                  peer::Sum* sum) override {
        sum->set_sum(pair->a() + pair->b());
        grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

struct Flying {
    grpc::ClientContext context;
    grpc::Status status;
    peer::Sum sum;
    std::int32_t a = 0;
    std::unique_ptr<grpc::ClientAsyncResponseReader<peer::Sum>> reader;
};

double window(const peer::Pass& pass, peer::Peer::Stub& stub) {
    grpc::CompletionQueue queue;
    std::uint64_t sent = 0;
    const auto send = [&] {
        auto* const call = new Flying;
        call->a = static_cast<std::int32_t>(sent++);
        peer::Pair pair;
        pair.set_a(call->a);
        pair.set_b(1);
        call->reader = stub.AsyncAdd(&call->context, pair, &queue);
        call->reader->Finish(&call->sum, &call->status, call);
    };
    const std::int64_t start = measure::now();
    while (sent < std::min(peer::kWindow, pass.rounds)) send();
    for (std::uint64_t done = 0; done < pass.rounds; ++done) {
        void* tag = nullptr;
        bool ok = false;
        if (!queue.Next(&tag, &ok) || !ok) std::abort();
        const std::unique_ptr<Flying> call(static_cast<Flying*>(tag));
        if (!call->status.ok() || call->sum.sum() != call->a + 1) std::abort();
        if (sent < pass.rounds) send();
    }
    return peer::rate(pass, measure::now() - start);
}

double ask(const peer::Pass& pass) {
    const auto channel =
        grpc::CreateChannel("unix:" + pass.path, grpc::InsecureChannelCredentials());
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)))
        std::abort();
    const auto stub = peer::Peer::NewStub(channel);
    if (pass.window) return window(pass, *stub);
    peer::Sum sum;
    if (pass.call)
        return peer::calls(pass, [&](std::int32_t a) {
            grpc::ClientContext context;
            peer::Pair pair;
            pair.set_a(a);
            pair.set_b(1);
            if (!stub->Add(&context, pair, &sum).ok() || sum.sum() != a + 1) std::abort();
        });
    const std::int64_t start = measure::now();
    {
        grpc::ClientContext context;
        const auto writer = stub->Stream(&context, &sum);
        peer::Uniform uniform;
        for (std::uint64_t i = 0; i < pass.rounds; ++i) {
            const auto v = static_cast<float>(i & 1023);
            uniform.set_location(static_cast<std::int32_t>(i));
            uniform.set_x(v);
            uniform.set_y(v);
            uniform.set_z(v);
            uniform.set_w(v);
            // The hint lets the library gather writes, as our batches do.
            grpc::WriteOptions options;
            if (i % 64 != 63) options.set_buffer_hint();
            if (!writer->Write(uniform, options)) std::abort();
        }
        writer->WritesDone();
        if (!writer->Finish().ok()) std::abort();
    }
    return peer::rate(pass, measure::now() - start);
}

}  // namespace

int main(int count, char** words) {
    const peer::Pass pass = peer::parse(count, words);
    return peer::run(
        pass, [&] { return ask(pass); },
        [&] {
            Service service;
            Reacting reacting;
            grpc::ServerBuilder builder;
            builder.AddListeningPort("unix:" + pass.path, grpc::InsecureServerCredentials());
            if (pass.window)
                builder.RegisterService(&reacting);
            else
                builder.RegisterService(&service);
            builder.BuildAndStart()->Wait();
        });
}
