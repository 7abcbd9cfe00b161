// Strings that boards and peers bring along: info strings, sizes, what vRPQ makes of them.
#include "hyplink/base/info.hpp"
#include "fuzz.hpp"
#include "hyplink/guest/rpq_link.hpp"

using namespace hyplink;

void fuzz::one(Input& input) {
    const std::uint64_t parameters = input.wide();
    const std::string text = [&] {
        const auto rest = input.rest();
        return std::string(rest.begin(), rest.end());
    }();
    const std::string_view view = text;

    if (const auto size = parse_size(view)) {
        FUZZ_CHECK(*size <= std::uint64_t{1} << 63);
        FUZZ_CHECK(parse_size(std::to_string(*size)) == size);
    }
    for (const std::string_view key : {"vrpq-pmem", "vrpq-reqs", "", "=", ","})
        if (const auto value = info_value(view, key)) {
            touch(*value);
            FUZZ_CHECK(value->empty() ||
                       (value->data() >= view.data() &&
                        value->data() + value->size() <= view.data() + view.size()));
            FUZZ_CHECK(value->find(',') == std::string_view::npos);
        }

    const auto config = guest::RpqConfig::parse(view);
    if (!config) {
        FUZZ_CHECK(config.code() == Errc::bad_argument);
        return;
    }
    FUZZ_CHECK(config->pmem != 0 && config->requests != 0);
    // A kernel asks only within its quota.
    const std::uint64_t asked = std::min(parameters, config->pmem);
    const std::uint32_t requests = config->requests_for(asked);
    FUZZ_CHECK(requests >= 16 && requests <= 16U * 1024 * 1024);
    const std::uint64_t port = config->port_bytes(asked);
    FUZZ_CHECK(port > asked && port % 4096 == 0);
    FUZZ_CHECK(config->requests_in(port) >= requests);
}
