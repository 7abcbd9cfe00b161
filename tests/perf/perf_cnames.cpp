// What the C names cost over the C++ calls: one thread, both ends, batches of 64 of glUniform4f;
// the names as a C program reaches them, through the shared library's table.

#include <dlfcn.h>

#include <array>

#include "hyplink/compat/vrpq_objects.hpp"
#include "port_pair.hpp"

#pragma GCC diagnostic ignored "-Wold-style-cast"  // the macros are C

namespace {

using measure::PortPair;

constexpr std::uint32_t kProc = VRPQ_PROC_ID(1, 7);
constexpr std::uint32_t kBlock = 24;
constexpr std::uint32_t kBatch = 64;

inline void encode(void* block, std::uint32_t i) {
    const auto v = static_cast<float>(i & 1023U);
    VRPQ_PARAM_WRITE(block, 0, nks32_f, static_cast<nks32_f>(i));
    for (std::uint32_t k = 0; k < 4; ++k) VRPQ_PARAM_WRITE(block, 4 + 4 * k, float, v);
    VRPQ_PARAM_WRITE(block, 20, nku32_f, 0);
}

inline double decode(const void* block) {
    const nks32_f location = VRPQ_PARAM_READ(block, 0, nks32_f);
    double sum = location;
    for (std::uint32_t k = 0; k < 4; ++k) {
        const float v = VRPQ_PARAM_READ(block, 4 + 4 * k, float);
        sum += static_cast<double>(v);
    }
    const nku32_f pad = VRPQ_PARAM_READ(block, 20, nku32_f);
    if (pad != 0) std::abort();
    return sum;
}

/// The names, resolved as the loader of a C program resolves them.
struct Names {
    decltype(&vrpqParamPostAlloc) alloc;
    decltype(&vrpqPost) post;
    decltype(&vrpqNotify) notify;
    decltype(&vrpqReceive) receive;

    explicit Names(const std::string& program) {
        const std::string folder = program.substr(0, program.rfind('/') + 1);
        void* library = ::dlopen((folder + "../../site/hyplink/lib/libhyplink.so").c_str(),
                                 RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            std::fprintf(stderr, "%s\n", ::dlerror());
            std::exit(1);
        }
        const auto get = [&](auto& name, const char* symbol) {
            name =
                reinterpret_cast<std::remove_reference_t<decltype(name)>>(::dlsym(library, symbol));
            if (name == nullptr) std::exit(1);
        };
        get(alloc, "vrpqParamPostAlloc");
        get(post, "vrpqPost");
        get(notify, "vrpqNotify");
        get(receive, "vrpqReceive");
    }
};

struct Both {
    PortPair pair{hyplink::rpq::port_bytes_for(256 * 1024)};
    hyplink::sys::RealRuntime runtime;
    std::unique_ptr<hyplink::rpq::ClientChannel> client = pair.client(runtime);
    std::unique_ptr<hyplink::rpq::ServerChannel> server = pair.server(runtime);
};

/// Nanoseconds a request to marshal and post, and to receive and decode. The median of all batches:
/// whatever interrupts one of them does not count.
struct Cost {
    double post = 0;
    double receive = 0;
};

template <class Send, class Take>
Cost batches(std::uint64_t rounds, Send&& send, Take&& take) {
    std::vector<double> sending;
    std::vector<double> taking;
    for (std::uint64_t done = 0; done < rounds; done += kBatch) {
        const std::int64_t start = measure::now();
        send();
        const std::int64_t between = measure::now();
        take();
        sending.push_back(static_cast<double>(between - start));
        taking.push_back(static_cast<double>(measure::now() - between));
    }
    return {measure::percentile(sending, 0.5) / kBatch, measure::percentile(taking, 0.5) / kBatch};
}

Cost with_cpp(std::uint64_t rounds) {
    Both both;
    volatile double kept = 0;
    return batches(
        rounds,
        [&] {
            for (std::uint32_t i = 0; i < kBatch; ++i) {
                auto block = both.client->begin(kProc, kBlock);
                if (!block) std::abort();
                encode(*block, i);
                if (!both.client->post()) std::abort();
            }
            PortPair::must(both.client->notify());
        },
        [&] {
            double sum = 0;
            const auto requests = PortPair::must(both.server->receive(kBatch));
            if (requests.size() != kBatch) std::abort();
            for (const auto& request : requests) {
                if (request.proc != kProc || request.in_bytes != kBlock) std::abort();
                sum += decode(request.in);
            }
            kept = sum;
        });
}

Cost with_names(std::uint64_t rounds, const Names& names) {
    Both both;
    VrpqChanObj client;
    VrpqChanObj server;
    client.client = both.client.get();
    server.server = both.server.get();
    volatile double kept = 0;
    return batches(
        rounds,
        [&] {
            for (std::uint32_t i = 0; i < kBatch; ++i) {
                void* block = names.alloc(&client, kBlock, 0, 0);
                if (block == nullptr) std::abort();
                encode(block, i);
                if (names.post(&client, kProc, block) != 0) std::abort();
            }
            if (names.notify(&client) != 0) std::abort();
        },
        [&] {
            double sum = 0;
            VrpqReq* requests[kBatch];
            std::uint32_t count = 0;
            if (names.receive(&server, requests, kBatch, &count) != 0 || count != kBatch)
                std::abort();
            for (const VrpqReq* request : requests) {
                if (request->procId != kProc || vrpqParamInSize(request) != kBlock) std::abort();
                sum += decode(vrpqParamInGet(request, nullptr));
            }
            kept = sum;
        });
}

}  // namespace

int main(int count, char** words) {
    const measure::Options options = measure::parse(count, words);
    const auto rounds = static_cast<std::uint64_t>(2e6 * options.scale);
    const Names names(words[0]);
    measure::pin(0);
    measure::Report report("cnames", options);
    Cost cpp;
    Cost c;
    const int post = report.add({"C++: marshal and post", "ns", [&] {
                                     cpp = with_cpp(rounds);
                                     return cpp.post;
                                 }});
    const int receive = report.add({"C++: receive and decode", "ns", [&] { return cpp.receive; }});
    report.add({"C names: marshal and post", "ns",
                [&] {
                    c = with_names(rounds, names);
                    return c.post;
                },
                post});
    report.add({"C names: receive and decode", "ns", [&] { return c.receive; }, receive});
    return report.run_and_print();
}
