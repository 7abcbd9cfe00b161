/// The board as the hypervisor needs it: plain values, already checked by the board reader.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hyplink/base/ids.hpp"

namespace hyplink::hyp {

/// A static region: physical memory and where a VM sees it, all in bytes.
struct IoMemorySpec {
    std::uint64_t ipa = 0;
    std::uint64_t pa = 0;
    std::uint64_t bytes = 0;
    bool sharing = false;  ///< `vl,allow-sharing`
};

struct VmSpec {
    VmId id = 0;
    std::string name;
    std::vector<IoMemorySpec> io_memory{};
    std::vector<VmId> imports{};  ///< VMs whose granted memory it accepts ("vl,vm-memory")
};

/// How granted memory is taken back.
enum class GrantLevel : std::uint32_t {
    cooperative = 0,  ///< exporter and importer share an address space: nothing can be enforced
    memfd = 1,        ///< the object behind the pages is replaced and emptied
    broker = 2,       ///< as memfd, and importers never hold the object (`sys/pass_through`)
};
constexpr const char* name(GrantLevel level) {
    return level == GrantLevel::cooperative ? "cooperative"
           : level == GrantLevel::memfd     ? "memfd"
                                            : "broker";
}

struct LinkSpec {
    std::string name;          ///< device class, at most 15 characters ("vogl")
    std::uint32_t number = 0;  ///< pair number; both vlinks of a two-way service share it
    VmId server = 0;
    VmId client = 0;
    std::string server_info;
    std::string client_info;
    std::uint64_t port_budget = 0;  ///< most bytes of port memory this link may hold at once
};

struct BoardSpec {
    std::vector<VmSpec> vms;
    std::vector<LinkSpec> links;
};

/// Times the hypervisor grants, in nanoseconds.
struct Limits {
    /// How long the survivor of a peer death may take to leave ON before it is forced OFF.
    std::int64_t cleanup_grace = 2'000'000'000;
    /// How long a deny waits for importers that keep the pages, and how long they are held at most.
    std::int64_t hold_patience = 100'000'000;
    std::int64_t hold_most = 1'000'000'000;
    std::uint32_t max_ports_per_link = 1024;
    GrantLevel grant_level = GrantLevel::cooperative;  ///< of whoever asks for none
    std::uint32_t max_grants = 8192;                   ///< of one exporter
    std::uint64_t max_ram = std::uint64_t{4} << 30;    ///< bytes that one VM's applications hold
};

}  // namespace hyplink::hyp
