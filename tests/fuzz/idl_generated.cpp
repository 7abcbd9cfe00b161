// Generated targets (`gen --lang fuzz`) of the interfaces that use the whole language.
#include "fuzz.hpp"

namespace test::rich {
void fuzz_rich(const std::uint8_t* data, std::size_t size);
}
namespace test::glslice {
void fuzz_glslice(const std::uint8_t* data, std::size_t size);
}
namespace test::camera {
void fuzz_camera(const std::uint8_t* data, std::size_t size);
}

void fuzz::one(Input& input) {
    const std::uint8_t which = input.byte() % 3;
    const auto bytes = input.rest();
    const auto target = which == 0   ? test::rich::fuzz_rich
                        : which == 1 ? test::glslice::fuzz_glslice
                                     : test::camera::fuzz_camera;
    target(bytes.data(), bytes.size());
}
