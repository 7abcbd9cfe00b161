#include "hyplink/base/result.hpp"

#include <memory>
#include <string>

#include "check.hpp"

using hyplink::Errc;
using hyplink::Error;
using hyplink::Result;
using hyplink::Status;

namespace {

Result<int> half(int number) {
    if (number % 2 != 0) return Error::make(Errc::bad_argument, "odd");
    return number / 2;
}

Result<int> quarter(int number) {
    const int once = HYPLINK_TRY(half(number));
    return half(once);
}

}  // namespace

CHECK_CASE("a result is its value or its error") {
    EXPECT_EQ(*half(4), 2);
    EXPECT_EQ(half(4).code(), Errc::ok);
    EXPECT(!half(3));
    EXPECT_EQ(half(3).error().text(), "odd");
}

CHECK_CASE("TRY hands the first error on and otherwise unwraps") {
    EXPECT_EQ(*quarter(8), 2);
    EXPECT_EQ(quarter(6).code(), Errc::bad_argument);
    EXPECT_EQ(quarter(5).code(), Errc::bad_argument);
}

CHECK_CASE("what was being done stands in front, and the pending count stays") {
    Error error = Error::make(Errc::peer_dead, "VM 2 died").with_pending(3).with("call Calc.add");
    EXPECT_EQ(error.text(), "call Calc.add: VM 2 died");
    EXPECT_EQ(error.pending(), 3U);
    EXPECT_EQ(error.copy().text(), error.text());
}

CHECK_CASE("a result moves what cannot be copied") {
    Result<std::unique_ptr<int>> made(std::make_unique<int>(7));
    Result<std::unique_ptr<int>> moved(std::move(made));
    REQUIRE(moved.has_value());
    EXPECT_EQ(**moved, 7);
}

CHECK_CASE("a status without an error is good") {
    EXPECT(Status());
    EXPECT_EQ(Status(Errc::busy).code(), Errc::busy);
}
