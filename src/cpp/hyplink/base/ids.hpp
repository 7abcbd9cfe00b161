/// Names of things as types that do not mix.
#pragma once

#include <compare>
#include <cstdint>

namespace hyplink {

/// A VM: 1..31; 0 is the hypervisor itself. Source: vlx-facts 1.1.
using VmId = std::uint32_t;
constexpr VmId kHypervisor = 0;
constexpr VmId kMaxVm = 31;

/// A cross interrupt, numbered per destination VM. SYSCONF is one fixed number, the first
/// allocatable is the next. Source: vlx-facts 1.3.
using XirqNumber = std::uint32_t;
constexpr XirqNumber kSysconf = 512;

/// Position of a vlink in the board; the same number in every VM.
using LinkIndex = std::uint32_t;

/// Which side of a vlink. A loopback VM is both.
enum class Role : std::uint32_t { server = 0, client = 1 };
constexpr Role other(Role role) { return role == Role::server ? Role::client : Role::server; }
constexpr const char* name(Role role) { return role == Role::server ? "server" : "client"; }

/// State of one side of a vlink. The order is the 2011 one. Source: vlx-facts 1.1.
enum class LinkState : std::uint32_t { off = 0, reset = 1, on = 2 };
constexpr const char* name(LinkState state) {
    return state == LinkState::off ? "OFF" : state == LinkState::reset ? "RESET" : "ON";
}

/// Life of a VM.
enum class VmState : std::uint32_t { off = 0, booting = 1, running = 2, stopping = 3, dead = 4 };
constexpr const char* name(VmState state) {
    switch (state) {
        case VmState::off:
            return "OFF";
        case VmState::booting:
            return "BOOTING";
        case VmState::running:
            return "RUNNING";
        case VmState::stopping:
            return "STOPPING";
        case VmState::dead:
            return "DEAD";
    }
    return "?";
}

}  // namespace hyplink
