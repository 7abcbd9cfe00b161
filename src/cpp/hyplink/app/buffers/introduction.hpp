/// How a client learns the name that its buffer has in calls: a control command of vUmem that goes
/// to the server program and back. The kernel lets only those ask who hold the buffer.
#pragma once

#include <cstring>
#include <optional>
#include <string>

#include "hyplink/app/rpq/buffers.hpp"

namespace hyplink::buffers {

/// The argument, both ways; an asker leaves all but the mark zero.
struct Introduction {
    char mark[8] = {'h', 'l', '.', 'c', 'a', 'l', 'l', '1'};
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::uint64_t bytes = 0;
};
static_assert(sizeof(Introduction) == 24);

inline std::string argument_of(const Introduction& words) {
    return {reinterpret_cast<const char*>(&words), sizeof words};
}

/// Nothing: the argument is another one.
inline std::optional<Introduction> introduction_of(std::string_view argument) {
    Introduction words;
    const Introduction mark;
    if (argument.size() != sizeof words) return std::nullopt;
    std::memcpy(&words, argument.data(), sizeof words);
    if (std::memcmp(words.mark, mark.mark, sizeof mark.mark) != 0) return std::nullopt;
    return words;
}

}  // namespace hyplink::buffers
