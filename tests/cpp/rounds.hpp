/// How often a check of hostile peers is repeated: HYPLINK_HOSTILE_ROUNDS for a longer run.
#pragma once

#include <cstdlib>

namespace hostile {

inline int rounds(int normal) {
    const char* asked = std::getenv("HYPLINK_HOSTILE_ROUNDS");
    return asked != nullptr ? std::atoi(asked) : normal;
}

}  // namespace hostile
