// Serves rich.vidl inside a VM: a thread a channel, callbacks included. Every request whose effect
// a client cannot see is answered by name_of(1000…): what came last.
#include <atomic>
#include <charconv>
#include <thread>

#include "../cpp/rich_handler.hpp"
#include "hyplink/app/rpq/serve.hpp"
#include "vm.hpp"

namespace {

using namespace test::rich;
using namespace hyplink;

std::atomic<bool> flooded{false};

struct Served : Remembering {
    explicit Served(rpq::ServerChannel& channel) : channel_(channel), callbacks_(channel) {}

    Result<std::string> name_of(std::uint32_t id) override {
        return id < 1000 ? Remembering::name_of(id) : Result<std::string>(last);
    }
    void watch(rpq::Cookie p, rpq::Cookie user, std::uint32_t every) override {
        Remembering::watch(p, user, every);
        for (std::uint32_t i = 1; i < every; ++i)
            CHECK(callbacks_.progress(i, "a text of some length, to fill", user));
        if (every > 1) {
            flooded.store(true);
            flooded.notify_all();
        }
    }
    /// "question 21" and so on: called back while the client waits for this answer.
    Result<std::uint32_t> limit(std::string_view what) override {
        const std::size_t blank = what.find(' ');
        std::uint32_t number = 0;
        if (blank != what.npos)
            std::from_chars(what.data() + blank + 1, what.data() + what.size(), number);
        const std::string_view verb = what.substr(0, blank);
        if (verb == "progress") {
            for (std::uint32_t i = 0; i < number; ++i)
                CHECK(callbacks_.progress(i, "step", progress_cookie));
            return number;
        }
        if (verb == "question")
            return static_cast<std::uint32_t>(*callbacks_.question(number, question_cookie));
        if (verb == "tick") {
            CHECK(callbacks_.tick(number, Options{}));
            return number;
        }
        if (verb == "flooded") {
            flooded.wait(false);
            return 1U;
        }
        if (verb == "dropped")
            return static_cast<std::uint32_t>(channel_.counters().callbacks_dropped);
        return static_cast<std::uint32_t>(what.size());
    }

   private:
    rpq::ServerChannel& channel_;
    RichCallbacks<rpq::ServerChannel> callbacks_;
};

void serve_channel(rpq::OpenServer& open, rpq::HandleTable& handles) {
    Served handler(open.channel());
    RichServer server(handler, RichContext{&handles, nullptr, {}});
    const Error why = rpq::serve(
        open.channel(), [&](const rpq::Request& request) { return server.dispatch(request); });
    vm::say("served: %s", name(why.code()));
}

void serve_session(rpq::Session& session) {
    rpq::HandleTable handles;
    std::vector<std::thread> threads;
    for (;;) {
        auto open = session.accept_channel(Deadline::never());
        if (!open.has_value()) break;
        const auto own = groups();
        if (Status greeted = rpq::greet(rpq::hello_bytes(own), session, **open); !greeted) {
            vm::say("refused: %s", name(greeted.code()));
            continue;
        }
        threads.emplace_back(
            [&, channel = std::shared_ptr(*std::move(open))] { serve_channel(*channel, handles); });
    }
    for (auto& thread : threads) thread.join();
    vm::say("session over, %u handles", handles.size());
}

}  // namespace

int main(int count, char** words) {
    auto application = vm::enter(count, words);
    vm::say("server");
    for (;;) {
        auto session = rpq::Session::accept(application, "vrpq-srv-vogl0", Deadline::never());
        if (session.code() == Errc::peer_dead) continue;  // the client's VM died: the next one
        if (!session.has_value()) break;
        serve_session(**session);
    }
    application->close();
    return 0;
}
