// vBpipe, vPipe and vUpipe: an application's end of what it shares with another VM, which writes
// anything anywhere: positions, bells and bytes of the ports, and the numbers kernels leave each
// other. Also the info strings of pipes and calls.
#include "hyplink/app/pipe/pipe.hpp"
#include "hyplink/app/pipe/upipe.hpp"
#include "hyplink/guest/pipe_config.hpp"
#include "hyplink/guest/rpc_link.hpp"
#include "peers.hpp"

using namespace hyplink;
using fuzz::kNow;

namespace {

constexpr std::uint64_t kArea = 128;
constexpr const char* kNames[] = {"vbpipe0", "vpipe0", "vpipe1", "vupipe0", "vupipe1"};
constexpr std::uint64_t kSize = 96;

void infos(fuzz::Input& input) {
    const auto kind = static_cast<guest::PipeKind>(input.byte() % 3);
    const auto rest = input.rest();
    const std::string text(rest.begin(), rest.end());
    if (const auto config = guest::PipeConfig::parse(kind, text)) {
        FUZZ_CHECK(config->capacity() != 0 && config->capacity() <= pipe::kMaxCapacity);
        FUZZ_CHECK(config->budget() / 4 >= config->capacity());
        FUZZ_CHECK(!config->minor || *config->minor <= 255);
        FUZZ_CHECK(config->name.size() <= 64 && config->name.find('/') == std::string::npos);
    } else {
        FUZZ_CHECK(config.code() == Errc::bad_argument);
    }
    if (const auto info = guest::RpcInfo::parse(text))
        FUZZ_CHECK(info->bytes >= 16 && info->bytes <= std::uint64_t{64} << 20 &&
                   info->name.find(',') == std::string::npos);
}

class Victim {
   public:
    Victim(fuzz::Pair& pair, fuzz::Input& input) : pair_(pair), input_(input) {}

    void act(std::size_t which) {
        auto& slot = open_[which];
        if (!slot) return open(which);
        pipe::Opened& opened = *slot;
        const std::uint8_t what = input_.byte();
        if (what < 12) {
            opened.close();
            return slot.reset();
        }
        opened.set_nonblock(what % 2 == 0);
        if (what < 40) return look(opened);
        if (auto* stream = dynamic_cast<pipe::Pipe*>(&opened)) return transfer(*stream, what);
        use(dynamic_cast<pipe::Upipe&>(opened), what);
    }

   private:
    void open(std::size_t which) {
        pipe::OpenFlags flags;
        const std::uint8_t how = input_.byte();
        flags.read = which == 0 ? how % 4 != 0 : which % 2 == 1;
        flags.write = which == 0 ? how % 4 != 1 : which % 2 == 0;
        flags.exclusive = how % 8 >= 6;
        if (which < 3) {
            if (auto made = pipe::Pipe::open(pair_.application, kNames[which], flags, kNow))
                open_[which] = *std::move(made);
        } else if (auto made = pipe::Upipe::open(pair_.application, kNames[which], flags, kNow)) {
            open_[which] = *std::move(made);
        }
    }
    void look(pipe::Opened& opened) {
        if (const auto there = opened.readable()) FUZZ_CHECK(*there <= opened.in_capacity());
        (void)opened.poll();
        (void)opened.poll(pipe::kIn | pipe::kOut, kNow);
        (void)opened.wait_rings(opened.rings(), kNow);
    }
    void transfer(pipe::Pipe& stream, std::uint8_t what) {
        std::vector<std::byte> room(input_.number() % 300, std::byte{0x33});
        const auto done = what < 80    ? stream.read(room, kNow)
                          : what < 120 ? stream.try_read(room)
                          : what < 190 ? stream.write(room, kNow)
                                       : stream.try_write(room);
        if (!done) return;
        FUZZ_CHECK(*done <= room.size());
        fuzz::touch(std::span(room.data(), *done));
    }
    void use(pipe::Upipe& ring, std::uint8_t what) {
        const std::uint64_t bytes = input_.number() % 120;
        FUZZ_CHECK(ring.offset() < ring.area().size() && ring.area().size() == kSize);
        if (what < 140) {
            const auto now =
                ring.reads() ? ring.available_data(bytes, kNow) : ring.available_room(bytes, kNow);
            if (!now) return;
            FUZZ_CHECK(*now <= ring.area().size());
            if (ring.reads()) fuzz::touch(ring.area());
        } else {
            (void)(ring.reads() ? ring.notify_read(bytes) : ring.notify_write(bytes));
        }
    }
    fuzz::Pair& pair_;
    fuzz::Input& input_;
    std::unique_ptr<pipe::Opened> open_[std::size(kNames)];
};

}  // namespace

void fuzz::one(Input& input) {
    if (input.byte() % 8 == 0) return infos(input);
    const std::string size = std::to_string(kSize);
    Pair pair({{"vbpipe", 0, kServerVm, kClientVm, ";" + size, "", 1 << 20},
               {"vbpipe", 0, kClientVm, kServerVm, "a;" + size, "", 1 << 20},
               {"vpipe", 1, kServerVm, kClientVm, size, "", 1 << 20},
               {"vpipe", 2, kClientVm, kServerVm, size, "", 1 << 20},
               {"vupipe", 3, kServerVm, kClientVm, size, "", 1 << 20},
               {"vupipe", 4, kClientVm, kServerVm, size, "", 1 << 20}},
              {{0, kArea, false},
               {1, kArea, false},
               {2, kArea, false},
               {3, kArea, false},
               {4, kArea, false},
               {5, kArea, false}});
    Victim victim(pair, input);
    std::vector<std::uint32_t> held;
    for (int step = 0; step < 120 && !input.empty(); ++step) {
        const std::uint8_t what = input.byte();
        const std::size_t which = input.byte() % std::size(kNames);
        if (what < 56) {
            const std::uint32_t device = pair.writer.ask(guest::Sys::open, 0, {}, kNames[which]);
            const std::uint64_t access = which == 0 ? 3 : which % 2 == 1 ? 2 : 1;
            const std::uint32_t opened =
                pair.writer.ask(guest::Sys::pipe_open, device, {access}, "");
            if (opened != 0) held.push_back(opened);
            pair.writer.close(device);
        } else if (what < 64 && !held.empty()) {
            pair.writer.close(held.back());
            held.pop_back();
        } else if (what < 104) {
            pair.disturb_port(input, 320);
        } else if (what < 116) {
            pair.disturb_kernel(input);
        } else if (what < 120) {
            pair.writer.start_again(what % 2 == 0);
            held.clear();
        } else {
            victim.act(which);
        }
    }
}
