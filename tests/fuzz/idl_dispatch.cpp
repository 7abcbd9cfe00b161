// Generated stubs: blocks that a client wrote, answers that a server wrote.
#include <bit>
#include <memory>
#include <new>

#include "fuzz.hpp"
#include "gles2.hpp"

using namespace hyplink;
using namespace demo::gles2;

namespace {

/// Exactly as many bytes as were said, on eight.
class Block {
   public:
    explicit Block(std::size_t bytes)
        : bytes_(bytes), at_(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{8}))) {}
    ~Block() { ::operator delete(at_, std::align_val_t{8}); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    std::byte* data() const { return at_; }
    std::span<std::byte> bytes() const { return {at_, bytes_}; }

   private:
    std::size_t bytes_;
    std::byte* at_;
};

struct Handler final : Gles2Handler {
    std::span<const std::byte> in;
    std::span<const std::byte> out;
    bool refuse = false;
    std::string words;

    void inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
        FUZZ_CHECK(part.empty() || (part.data() >= whole.data() &&
                                    part.data() + part.size() <= whole.data() + whole.size()));
    }
    void clear_color(float, float, float, float) override { FUZZ_CHECK(in.size() == 16); }
    void uniform4f(std::int32_t, float, float, float, float) override {}
    void buffer_data(std::uint32_t, std::uint32_t n, std::span<const std::byte> data) override {
        FUZZ_CHECK(data.size() == n && n <= 1 << 20);
        inside(data, in);
        fuzz::touch(data);
    }
    void viewport(const Viewport& area) override {
        FUZZ_CHECK(area.width <= 4096 && area.height <= 4096);
    }
    void uniform4fv(std::int32_t, std::uint32_t count, std::span<const float> values) override {
        FUZZ_CHECK(count <= 256 && values.size() == count * 4);
        FUZZ_CHECK(reinterpret_cast<std::uintptr_t>(values.data()) % alignof(float) == 0);
        fuzz::touch(std::as_bytes(values));
    }
    void shader_source(std::uint32_t, std::string_view text) override { check(text, 64 << 10); }
    void swap_buffers() override {}
    Result<GlError> get_error() override {
        if (refuse) return Errc::busy;
        return GlError::INVALID_VALUE;
    }
    Result<std::int32_t> get_uniform_location(std::uint32_t, std::string_view name) override {
        check(name, 1 << 10);
        return 4;
    }
    Status read_pixels(std::int32_t, std::int32_t, std::int32_t width, std::int32_t height,
                       PixelFormat format, std::span<std::byte> pixels) override {
        FUZZ_CHECK(width >= 0 && height >= 0 && width <= 4096 && height <= 4096);
        FUZZ_CHECK(format == PixelFormat::RGBA || format == PixelFormat::RGB ||
                   format == PixelFormat::LUMINANCE);
        inside(pixels, out);
        std::memset(pixels.data(), 0x7f, pixels.size());
        if (refuse) return Errc::no_memory;
        return {};
    }
    Result<Gles2DigestReply> digest() override { return Gles2DigestReply{1, 2}; }
    Result<std::string> get_string() override { return words; }

   private:
    void check(std::string_view text, std::size_t most) {
        FUZZ_CHECK(text.size() <= most && text.find('\0') == std::string_view::npos);
        FUZZ_CHECK(text.data()[text.size()] == '\0');
        fuzz::touch(text);
    }
};

/// A channel whose server answered whatever it liked, in as much room as was asked for.
struct Answers {
    fuzz::Input* input;
    std::unique_ptr<Block> block;
    std::uint32_t in_bytes = 0;
    std::uint32_t out_bytes = 0;

    Result<std::byte*> begin(std::uint32_t, std::uint32_t in) { return begin_call(0, in, 0); }
    Result<std::byte*> begin_call(std::uint32_t, std::uint32_t in, std::uint32_t out) {
        in_bytes = in;
        out_bytes = out;
        block = std::make_unique<Block>(rpq::round8(in) + out);
        return block->data();
    }
    Status post() { return {}; }
    Status notify() { return {}; }
    Result<rpq::ReplyView> call() {
        const auto out = block->bytes().subspan(rpq::round8(in_bytes));
        std::memset(out.data(), 0, out.size());
        const auto bytes = input->take(out.size());
        if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
        const auto status =
            input->byte() % 4 == 0 ? std::bit_cast<std::int32_t>(input->number()) : 0;
        return rpq::ReplyView{status, out.data(), out_bytes};
    }
};

void requests(fuzz::Input& input) {
    Handler handler;
    handler.refuse = input.byte() % 4 == 0;
    handler.words = input.text(255);
    const std::uint32_t proc =
        input.byte() % 4 == 0 ? input.number() : (2U << 16 | input.byte() % 24U);
    const bool is_call = input.byte() % 2 != 0;
    const std::uint32_t room = is_call ? input.number() % 70'000 : 0;
    const auto bytes = input.rest();
    const Block in(bytes.size());
    const Block out(room);
    if (!bytes.empty()) std::memcpy(in.data(), bytes.data(), bytes.size());
    std::memset(out.data(), 0, room);
    handler.in = in.bytes();
    handler.out = out.bytes();
    const rpq::RequestView request{proc,       in.data(), static_cast<std::uint32_t>(bytes.size()),
                                   out.data(), room,      is_call};
    const auto status = dispatch(handler, request);
    if (!status) {
        FUZZ_CHECK(status.code() == Errc::corrupt);
        return;
    }
    FUZZ_CHECK(*status >= 0 && *status < 4096);
    if (*status != 0 || !is_call) return;
    // Our own answers are good answers.
    fuzz::touch(out.bytes());
}

void replies(fuzz::Input& input) {
    const std::uint8_t which = input.byte() % 5;
    const auto width = static_cast<std::int32_t>(input.byte());
    const auto height = static_cast<std::int32_t>(input.byte() % 16);
    Answers channel{&input, nullptr, 0, 0};
    Gles2Client<Answers> client(channel);
    switch (which) {
        case 0:
            static_cast<void>(client.get_error());
            break;
        case 1:
            static_cast<void>(client.get_uniform_location(1, "name"));
            break;
        case 2: {
            std::vector<std::byte> pixels(static_cast<std::size_t>(width * height) * 3);
            static_cast<void>(client.read_pixels(0, 0, width, height, PixelFormat::RGB, pixels));
            break;
        }
        case 3:
            static_cast<void>(client.digest());
            break;
        default:
            if (const auto text = client.get_string()) {
                FUZZ_CHECK(text->size() <= 256 && text->find('\0') == std::string::npos);
            }
    }
}

}  // namespace

void fuzz::one(Input& input) { input.byte() % 4 == 0 ? replies(input) : requests(input); }
