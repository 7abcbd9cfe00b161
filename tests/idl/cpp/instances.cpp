// Every template of the generated code, compiled: what no test calls has no warning either.
#include "camera.hpp"
#include "everything.hpp"
#include "glslice.hpp"
#include "rich.hpp"
#include "whole.hpp"

namespace {

/// A channel of both kinds that goes nowhere.
struct Nowhere {
    alignas(8) std::array<std::byte, 1 << 20> memory{};
    hyplink::Result<std::byte*> begin(std::uint32_t, std::uint32_t) { return memory.data(); }
    hyplink::Result<std::byte*> begin_call(std::uint32_t, std::uint32_t, std::uint32_t) {
        return memory.data();
    }
    hyplink::Result<std::byte*> callback_begin(std::uint32_t, std::uint32_t, hyplink::rpq::Drop,
                                               std::uint32_t) {
        return memory.data();
    }
    int deadline_in(std::int64_t) { return 0; }
    hyplink::Result<std::byte*> callback_begin_call(std::uint32_t, std::uint32_t, std::uint32_t,
                                                    int = 0) {
        return memory.data();
    }
    hyplink::Status callback_post() { return {}; }
    hyplink::Status post() { return {}; }
    hyplink::Status notify() { return {}; }
    hyplink::Result<hyplink::rpq::ReplyView> call() { return hyplink::rpq::ReplyView{}; }
    hyplink::Result<hyplink::rpq::ReplyView> callback_call(int = 0) {
        return hyplink::rpq::ReplyView{};
    }
    void on_callback(std::function<std::int32_t(const hyplink::rpq::RequestView&)> f) {
        function = std::move(f);
    }
    std::function<std::int32_t(const hyplink::rpq::RequestView&)> function;
};

}  // namespace

template class test::everything::EverythingClient<Nowhere>;
template class test::glslice::GlsliceClient<Nowhere>;
template class test::camera::CameraClient<Nowhere>;
template class test::glslice::GlsliceCallbacks<Nowhere>;
template class test::camera::CameraCallbacks<Nowhere>;
template class test::rich::RichClient<Nowhere>;
template class test::rich::RichCallbacks<Nowhere>;
template class test::whole::WholeClient<Nowhere>;
template class test::whole::WholeCallbacks<Nowhere>;
int main() { return 0; }
