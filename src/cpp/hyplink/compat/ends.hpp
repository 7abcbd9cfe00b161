/// Ends of vlinks that the C names of vRPC and vMQ look up: taking one of several, and its
/// descriptor. Thread rule: any thread.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "hyplink/app/port/end.hpp"
#include "hyplink/compat/nkddi.h"
#include "hyplink/compat/place.hpp"

namespace hyplink::compat {

/// Take the first end of which `is` holds; what is passed over is free again afterwards. Errors:
/// those of `End::lookup` and `application`.
template <class Is>
Result<std::unique_ptr<port::End>> take_end(const port::Lookup& what, Is&& is) {
    auto application = HYPLINK_TRY(compat::application());
    std::vector<std::unique_ptr<port::End>> passed;
    for (;;) {
        auto end = HYPLINK_TRY(port::End::lookup(application, what, Deadline::never()));
        if (is(*end)) return end;
        passed.push_back(std::move(end));
    }
}

/// Call with each vlink of that class until one `is`; its address, or 0. Connects NKDDI.
template <class Is>
NkPhAddr find_vlink(const char* device_class, Is&& is) {
    if (hyplink_nkddi_init() != 0) return 0;
    NkPhAddr plink = 0;
    while ((plink = nkops.nk_vlink_lookup(device_class, plink)) != 0) {
        const auto* vlink = static_cast<const NkDevVlink*>(nkops.nk_ptov(plink));
        if (vlink != nullptr && is(*vlink)) break;
    }
    return plink;
}

}  // namespace hyplink::compat
