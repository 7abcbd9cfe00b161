#include "hyplink/base/info.hpp"

#include <charconv>

namespace hyplink {

std::optional<std::string_view> info_value(std::string_view info, std::string_view key) {
    auto trim = [](std::string_view text) {
        while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
        while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
        return text;
    };
    while (!info.empty()) {
        const std::size_t comma = info.find(',');
        const std::string_view piece = trim(info.substr(0, comma));
        info = comma == std::string_view::npos ? std::string_view{} : info.substr(comma + 1);
        const std::size_t equals = piece.find('=');
        if (equals != std::string_view::npos && trim(piece.substr(0, equals)) == key)
            return trim(piece.substr(equals + 1));
    }
    return std::nullopt;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        base = 16;
        text.remove_prefix(2);
    } else if (text.size() > 1 && text.front() == '0') {
        base = 8;
        text.remove_prefix(1);
    }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end == text.data()) return std::nullopt;
    std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
    unsigned shift = 0;
    if (!rest.empty()) {
        switch (rest.front()) {
            case 'k':
            case 'K':
                shift = 10;
                break;
            case 'm':
            case 'M':
                shift = 20;
                break;
            case 'g':
            case 'G':
                shift = 30;
                break;
            default:
                return std::nullopt;
        }
        rest.remove_prefix(1);
    }
    if (!rest.empty() || value > (((std::uint64_t{1} << 63) - 1) >> shift)) return std::nullopt;
    return value << shift;
}

}  // namespace hyplink
