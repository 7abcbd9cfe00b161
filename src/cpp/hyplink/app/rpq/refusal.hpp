/// A server that refuses a channel because of what the client's hello says, and how the client
/// learns of it: two words of the port beside the fault word.
///
///     if (auto refusal = hello_refusal(own_hello, accepted->info()))
///         accepted->channel().refuse(*refusal);      // the client sees EPROTONOSUPPORT
///
/// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "hyplink/app/rpq/hello.hpp"

namespace hyplink::rpq {

/// Two versions of one interface that do not go together; both empty: an unreadable hello.
struct Refusal {
    Group own{};
    Group peer{};
    bool unreadable() const { return own.number == 0 && peer.number == 0; }
};

/// Whether `theirs`, the whole info of a client, goes with `own`, the server's hello. Info without
/// a hello does, and so do groups that only one of them names.
std::optional<Refusal> hello_refusal(std::string_view own, std::string_view theirs);

/// The refusal in the words of the side that refuses.
Error refusal_error(const Refusal& refusal);
/// The same for the refused side, behind "VM n".
std::string refusal_text(const Refusal& refusal);

/// What is loaded is not trusted: any number is a version.
void store_refusal(std::byte* port, const Refusal& refusal);
Refusal load_refusal(const std::byte* port);

}  // namespace hyplink::rpq
