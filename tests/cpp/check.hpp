/// A check program: sentences about one header, each true or not.
///
///     #include "check.hpp"
///
///     CHECK_CASE("a name that is too long is refused") {
///         EXPECT_EQ(parse("aaaaaaaaa").error().code(), Errc::too_long);
///         REQUIRE(parse("a"));                       // nothing after it makes sense if this fails
///     }
///
/// The file is the whole program: this header brings main. `--list` prints one `line<TAB>sentence`
/// per case,
/// `--run` takes the number (from 1) or the sentence of one, no argument runs all. Exit status: 0
/// passed, 1 failed, 2 usage, 77 skipped. tests/cpp/conftest.py makes each case a pytest item.
///
/// Threads: EXPECT… may be used from any thread of a case; REQUIRE and SKIP only from the case's
/// own.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iostream>
#include <mutex>
#include <ranges>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace check {

struct Case {
    std::string_view sentence;
    const char* file;
    int line;
    void (*body)();
};

inline std::deque<Case>& cases() {
    static std::deque<Case> all;
    return all;
}

struct Register {
    Register(std::string_view sentence, const char* file, int line, void (*body)()) {
        cases().push_back({sentence, file, line, body});
    }
};

/// Ends a case early. Deliberately no std::exception, so that a case's own catch does not swallow
/// it.
struct Stop {};
struct Skipped {
    std::string reason;
};

/// What the running case said. One per process: a process runs one case at a time.
struct Report {
    std::mutex mutex;
    int failures = 0;

    void fail(const char* file, int line, const std::string& text) {
        const std::lock_guard guard(mutex);
        ++failures;
        std::cout << file << ':' << line << ": " << text << std::endl;
    }
};

inline Report& report() {
    static Report only;
    return only;
}

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

template <class T>
concept Integer = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
                  !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char8_t> &&
                  !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;

/// Any value as text: what it prints itself, else numbers, elements, or its size.
template <class T>
std::string show(const T& value) {
    std::ostringstream out;
    if constexpr (std::is_same_v<T, bool>) {
        out << (value ? "true" : "false");
    } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
        out << "nullptr";
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
        out << '"' << std::string_view(value) << '"';
    } else if constexpr (std::is_enum_v<T>) {
        out << +static_cast<std::underlying_type_t<T>>(value);
    } else if constexpr (Integer<T>) {
        out << +value;  // a byte is a number here, not a character
    } else if constexpr (Streamable<T>) {
        out << value;
    } else if constexpr (requires { value.error().text(); }) {  // a Result
        if (!value.has_value()) {
            out << "error: " << value.error().text();
        } else if constexpr (requires { *value; }) {
            out << show(*value);
        } else {
            out << "ok";
        }
    } else if constexpr (requires { value.has_value(), *value; }) {
        out << (value.has_value() ? show(*value) : "nothing");
    } else if constexpr (std::ranges::input_range<const T&>) {
        out << '[';
        const char* comma = "";
        for (const auto& element : value) out << std::exchange(comma, ", ") << show(element);
        out << ']';
    } else {
        out << '<' << sizeof(T) << " bytes>";
    }
    return out.str();
}

/// Equality; integers of different signedness compare by value.
template <class A, class B>
bool equal(const A& a, const B& b) {
    if constexpr (Integer<A> && Integer<B>) {
        return std::cmp_equal(a, b);
    } else {
        return a == b;
    }
}

inline bool expect(bool holds, const char* text, const char* file, int line) {
    if (!holds) report().fail(file, line, std::string("EXPECT(") + text + ")");
    return holds;
}

template <class A, class B>
bool expect_equal(const A& a, const B& b, const char* text_a, const char* text_b, const char* file,
                  int line) {
    if (equal(a, b)) return true;
    std::string said = std::string("EXPECT_EQ(") + text_a + ", " + text_b + ")";
    for (const auto& [text, value] : {std::pair(text_a, show(a)), std::pair(text_b, show(b))}) {
        if (value != text) said += std::string("\n    ") + text + " is " + value;  // no "3 is 3"
    }
    report().fail(file, line, said);
    return false;
}

enum class Outcome { passed = 0, failed = 1, skipped = 77 };

inline Outcome run(const Case& one) {
    report().failures = 0;
    try {
        one.body();
    } catch (const Stop&) {
    } catch (const Skipped& skipped) {
        std::cout << "skipped: " << skipped.reason << std::endl;
        return Outcome::skipped;
    } catch (const std::exception& thrown) {
        report().fail(one.file, one.line, std::string("threw: ") + thrown.what());
    } catch (...) {
        report().fail(one.file, one.line, "threw something that is no std::exception");
    }
    return report().failures == 0 ? Outcome::passed : Outcome::failed;
}

inline int main(int count, char** words) {
    const std::string_view verb = count > 1 ? words[1] : "";
    if (verb == "--list" && count == 2) {
        for (const Case& one : cases()) std::cout << one.line << '\t' << one.sentence << '\n';
        return 0;
    }
    if (verb == "--run" && count == 3) {
        int number = 0;
        for (const Case& one : cases()) {
            if (std::to_string(++number) == words[2] || one.sentence == words[2]) {
                return static_cast<int>(run(one));
            }
        }
        std::cerr << "no case " << words[2] << "; --list shows them\n";
        return 2;
    }
    if (count != 1) {
        std::cerr << "usage: " << words[0] << " [--list | --run NUMBER-OR-SENTENCE]\n";
        return 2;
    }
    bool good = true;
    for (const Case& one : cases()) {
        const Outcome outcome = run(one);
        good = good && outcome != Outcome::failed;
        std::cout << (outcome == Outcome::failed ? "FAILED  " : "ok      ") << one.sentence << '\n';
    }
    return good ? 0 : 1;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)

/// One case; the sentence is its name.
#define CHECK_CASE(sentence)                                              \
    static void CHECK_JOIN(check_case_, __LINE__)();                      \
    static const ::check::Register CHECK_JOIN(check_register_, __LINE__)( \
        sentence, __FILE__, __LINE__, CHECK_JOIN(check_case_, __LINE__)); \
    static void CHECK_JOIN(check_case_, __LINE__)()

/// The condition holds; the case goes on if not. Gives the condition's truth.
#define EXPECT(...) \
    ::check::expect(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

/// Both are equal; shows both if not.
#define EXPECT_EQ(a, b) ::check::expect_equal((a), (b), #a, #b, __FILE__, __LINE__)

/// The expression throws an exception of this type.
#define EXPECT_THROWS(type, ...)                                                              \
    do {                                                                                      \
        bool check_thrown = false;                                                            \
        try {                                                                                 \
            static_cast<void>(__VA_ARGS__);                                                   \
        } catch (const type&) {                                                               \
            check_thrown = true;                                                              \
        }                                                                                     \
        if (!check_thrown)                                                                    \
            ::check::report().fail(__FILE__, __LINE__, #__VA_ARGS__ " did not throw " #type); \
    } while (false)

/// The condition holds, or the case ends here.
#define REQUIRE(...)                                     \
    do {                                                 \
        if (!EXPECT(__VA_ARGS__)) throw ::check::Stop{}; \
    } while (false)

/// This machine cannot run the case; say why.
#define SKIP(reason) \
    throw ::check::Skipped { reason }

int main(int count, char** words) { return ::check::main(count, words); }
