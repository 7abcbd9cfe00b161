/// `text("port ", 3, " of ", n)`: messages without iostream's state. (g++ 12 has no std::format.)
#pragma once

#include <sstream>
#include <string>

namespace hyplink {

template <class... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

}  // namespace hyplink
