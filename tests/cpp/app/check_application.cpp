// An application and the way to its kernel.

#include "check.hpp"
#include "hyplink/app/application.hpp"
#include "hyplink/sys/real_runtime.hpp"

using namespace hyplink;

namespace {

/// A kernel that greets and is gone before its greeting was read.
class Greeter final : public app::KernelLink {
   public:
    explicit Greeter(app::Application& application) : application_(&application) {}
    Status send(guest::SysRequest&& request) override {
        if (request.op != guest::Sys::hello) return Error::make(Errc::peer_dead, "too late");
        guest::SysReply reply;
        reply.sequence = request.sequence;
        reply.values[0] = 2;
        for (const std::uint64_t bytes :
             {std::uint64_t{guest::StatusPage::kBytes}, std::uint64_t{Scope::kBytes}})
            reply.regions.push_back(*mem::Region::make("check", bytes));
        (void)application_->on_reply(std::move(reply));
        application_->on_lost("the VM died");
        return {};
    }
    Errc wait(const BellWait&, Deadline, Turn&, guest::Sys) override { return Errc::ok; }
    void close() override {}

   private:
    app::Application* application_;
};

}  // namespace

CHECK_CASE("a kernel that greets and is gone is no kernel to be attached to") {
    sys::RealRuntime runtime{0};
    app::Application application(runtime);
    const Status attached = application.attach(std::make_unique<Greeter>(application));
    EXPECT_EQ(attached.code(), Errc::peer_dead);
    EXPECT(attached.error().text().find("the VM died") != std::string::npos);
    EXPECT(application.lost());
}
