/// What a procedure that `throws` gives: a value, a failure of its own enum, or an error.
///
///     Outcome<Camera, Status> open(std::string_view id) { return Status::NO_DEVICE; }
///     …
///     if (auto camera = client.open("front")) …
///     else if (camera.thrown() == Status::NO_DEVICE) …
///
/// On the wire a thrown member is the status `kThrown | value` with the value's low 16 bits.
#pragma once

#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

inline constexpr std::int32_t kThrown = 0x10000;

template <class T, class Failure>
class [[nodiscard]] Outcome : public Result<T> {
   public:
    using Result<T>::Result;
    Outcome(Result<T> other) : Result<T>(std::move(other)) {}
    Outcome(Failure failure)
        : Result<T>(Error::make(Errc::protocol, "the procedure failed with a code of its own")),
          thrown_(failure) {}

    /// The member that was thrown, 0 when none was.
    Failure thrown() const { return thrown_; }

   private:
    Failure thrown_{};
};

/// The status of a handler that gave no value.
template <class T, class Failure>
std::int32_t status_of(const Outcome<T, Failure>& outcome) {
    const auto value = static_cast<std::int32_t>(outcome.thrown());
    if (value == 0) return outcome.error().number();
    if (!valid(outcome.thrown()) || value < -32768 || value > 32767)
        return static_cast<std::int32_t>(Errc::internal);
    return kThrown | (value & 0xFFFF);
}
/// The other way: what a status other than 0 means to the client.
template <class T, class Failure>
[[gnu::cold]] Outcome<T, Failure> outcome_of(const char* name, std::int32_t status) {
    if ((status & ~0xFFFF) != kThrown) return refused(name, status);
    const auto failure = static_cast<Failure>(static_cast<std::int16_t>(status & 0xFFFF));
    if (static_cast<std::int32_t>(failure) == 0 || !valid(failure)) return refused(name, -1);
    return failure;
}

}  // namespace hyplink::rpq
