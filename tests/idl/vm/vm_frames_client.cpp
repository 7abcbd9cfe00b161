// Lends and gives vUmem buffers to a server of frames.vidl in another VM, whatever that is written
// in. "wait": it gives a buffer and waits until the server is lost; "large": only large parameters.
#include "frames.hpp"
#include "hyplink/app/buffers/client.hpp"
#include "hyplink/app/rpq/hello.hpp"
#include "vm.hpp"

namespace {

using namespace test::frames;
using namespace hyplink;
using Calls = FramesClient<rpq::ClientChannel>;

constexpr std::uint64_t kBytes = 4096;

struct Frame {
    std::shared_ptr<umem::Buffer> buffer;
    std::byte* data = nullptr;
    rpq::BufferRef ref;

    Frame(umem::Session& session, buffers::ClientBuffers& all) {
        auto made = session.alloc("4096", Deadline::never());
        EXPECT(made.has_value());
        buffer = *std::move(made);
        data = *buffer->map(Deadline::never());
        auto named = all.attach(buffer, data, Deadline::never());
        EXPECT(named.has_value());
        ref = *named;
        EXPECT(ref.length == kBytes);
    }
    std::uint32_t at(std::size_t i) const { return static_cast<std::uint32_t>(data[i]); }
};

/// Large parameters through a port that is too small for them.
void large(rpq::Session& session, umem::Session& memory, buffers::ClientBuffers& all) {
    constexpr std::uint32_t kLarge = 60000;
    std::shared_ptr<umem::Buffer> room = *memory.alloc("131072", Deadline::never());
    std::byte* const data = *room->map(Deadline::never());
    auto open = session.create_channel(8192, {}, Deadline::never());
    EXPECT(open.has_value());
    rpq::ClientChannel& channel = (*open)->channel();
    Calls client(channel);
    std::vector<std::byte> bytes(kLarge, std::byte{1});
    EXPECT(client.upload(kLarge, bytes).code() == Errc::too_long);
    auto table = all.table(channel, room, data, Deadline::never());
    EXPECT(table.has_value());
    client.use(table->get());
    const std::uint64_t copied = channel.counters().copied_bytes;
    for (std::uint32_t i = 1; i <= 40; ++i) {
        std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(i));
        EXPECT(client.upload(kLarge, bytes));
    }
    EXPECT(*client.uploaded() == 40 * kLarge && *client.mixed() == 0);
    const std::uint64_t more = channel.counters().copied_bytes - copied - 40 * kLarge;
    EXPECT(more <= 40 * 64);
    const std::vector<float> floats(4000, 2.0F);
    EXPECT(*client.both(30000, std::span(bytes).first(30000), 4000, floats) == 30000 * 40 + 8000);
    EXPECT(*client.both(0, {}, 4000, floats) == 8000);
    const std::vector<std::uint16_t> words(10000, 3);
    EXPECT(client.words(words) && *client.uploaded() == 30000);
    EXPECT(client.upload(1000, std::span(bytes).first(1000)) && *client.uploaded() == 40000);
    EXPECT(room->unmap());
    EXPECT(client.upload(2000, std::span(bytes).first(2000)) && *client.uploaded() == 80000);
    EXPECT(client.upload(kLarge, bytes).code() == Errc::too_long);
    // Where it is mapped now, if it is named again.
    std::byte* const again = *room->map(Deadline::never());
    EXPECT(all.attach(room, again, Deadline::never()));
    EXPECT(client.upload(kLarge, bytes) && *client.uploaded() == 40 * kLarge);
    EXPECT(again[0] == bytes[0]);
}

bool refused(const Error& error) {
    return error.code() == Errc::corrupt || error.code() == Errc::peer_dead;
}

}  // namespace

int main(int count, char** words) {
    auto application = vm::enter(count, words);
    const bool waits = count > 3 && std::string(words[1]) == "wait";
    auto memory = umem::Session::create(application, "vumem-clt-vogl0", false, Deadline::never());
    auto session = rpq::Session::create(application, "vrpq-clt-vogl0", rpq::hello_bytes(groups()),
                                        Deadline::never());
    EXPECT(memory.has_value() && session.has_value());
    buffers::ClientBuffers all;
    if (count > 3 && std::string(words[1]) == "large") {
        large(**session, **memory, all);
        application->close();
        vm::say("ok");
        return 0;
    }
    auto open = (*session)->create_channel(0, {}, Deadline::never());
    EXPECT(open.has_value());
    auto table = all.table();
    Calls client((*open)->channel());
    client.use(table.get());
    rpq::BufferRef back;
    std::uint32_t value = 0;
    client.callbacks.filled = [&](const rpq::Buffer& frame, std::uint32_t number) {
        back = frame.ref;
        value = number;
    };
    client.callbacks.look = [](const rpq::Buffer& frame) -> Result<std::uint32_t> {
        return static_cast<std::uint32_t>(frame.bytes[0]);
    };

    Frame frame(**memory, all), other(**memory, all);
    frame.data[0] = std::byte{1};
    frame.data[1] = std::byte{2};
    other.data[kBytes - 1] = std::byte{4};
    EXPECT(*client.sum(frame.ref, {}) == 3 && *client.sum(frame.ref, other.ref) == 7);
    rpq::BufferRef part = frame.ref;
    part.offset = 1;
    part.length = 1;
    EXPECT(*client.sum(part, {}) == 2);
    part.length = kBytes;
    EXPECT(client.sum(part, {}).code() == Errc::bad_address);
    EXPECT(*client.touch(frame.ref, 9) == kBytes && frame.at(0) == 9 && frame.at(kBytes - 1) == 9);

    EXPECT(client.fill(frame.ref, 77));
    EXPECT(client.sum(frame.ref, {}).code() == Errc::not_permitted);
    while (!back) EXPECT((*open)->channel().handle_callbacks(Deadline::never()));
    EXPECT(back == frame.ref && value == 77 && frame.at(0) == 77 &&
           all.buffer(back) == frame.buffer);

    EXPECT(*client.keep(frame.ref) == 1);
    EXPECT(client.keep(frame.ref).code() == Errc::not_permitted);
    EXPECT(client.fill(frame.ref, 1).code() == Errc::not_permitted);
    EXPECT(*client.keep(other.ref) == 2);
    EXPECT(*client.kept() == frame.at(0) + other.at(0));
    if (waits) {
        vm::say("ready");
        EXPECT((*open)->channel().handle_callbacks(Deadline::never()).code() == Errc::peer_dead);
        EXPECT(client.kept().code() == Errc::peer_dead);
        EXPECT(client.keep(frame.ref).code() == Errc::not_permitted);
    } else {
        back = {};
        EXPECT(client.give_back(5) && (*open)->channel().notify());
        while (!back) EXPECT((*open)->channel().handle_callbacks(Deadline::never()));
        EXPECT(back == other.ref && value == 10 && other.at(0) == 5);
        EXPECT(*client.sum(other.ref, {}) == 5 + 4);

        // Unmapping ends its name here, whoever held it; mapping and asking again gives it back.
        const rpq::BufferRef gone = other.ref;
        EXPECT(other.buffer->unmap());
        EXPECT(client.sum(gone, {}).code() == Errc::not_found && !all.buffer(gone));
        EXPECT(!table->resolve(gone, rpq::kRead));
        EXPECT(all.attach(other.buffer, other.data, Deadline::never()).code() ==
               Errc::bad_argument);
        other.data = *other.buffer->map(Deadline::never());
        EXPECT(*all.attach(other.buffer, other.data, Deadline::never()) == gone);
        EXPECT(*client.sum(gone, {}) == 5 + 4 && all.buffer(gone) == other.buffer);
        all.detach(*other.buffer);
        EXPECT(client.sum(gone, {}).code() == Errc::not_found && other.at(0) == 5);
        EXPECT(*all.attach(other.buffer, other.data, Deadline::never()) == gone);
        {  // One that ends while it is attached, and names that end before their buffer.
            buffers::ClientBuffers brief;
            Frame third(**memory, all);
            EXPECT(*brief.attach(third.buffer, third.data, Deadline::never()) == third.ref);
            EXPECT(third.buffer->free(Deadline::never()));
            EXPECT(client.sum(third.ref, {}).code() == Errc::not_found);
            EXPECT(brief.table()->admit(third.ref).code() == Errc::not_found);
        }
        EXPECT(other.buffer->free(Deadline::never()));
        EXPECT(client.sum(gone, {}).code() == Errc::not_found);
        client.use(nullptr);  // as no honest client would
        EXPECT(refused(client.sum(gone, {}).error()));
    }
    application->close();
    vm::say("ok");
    return 0;
}
