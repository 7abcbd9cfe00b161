/// `Result<T>`: a value or an `Error`; the core never throws for what a correct caller may meet.
///
///     Result<Port> port = open(name);
///     if (!port) return std::move(port).error().with("opening the link");
///     auto end = HYPLINK_TRY(lookup(id));        // hands the error on
///
/// An `Error` is two words; the text lives on the heap, so the good path costs one compare.
/// Thread rule: values, as any other.
#pragma once

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "hyplink/base/errc.hpp"

namespace hyplink {

/// A code, a text made of facts, and how many requests were pending (peer death only).
class [[nodiscard]] Error {
   public:
    Error() = default;
    explicit Error(Errc code) : code_(code) {}
    static Error make(Errc code, std::string text) {
        Error error(code);
        error.body_ = std::make_unique<Body>(Body{std::move(text), 0});
        return error;
    }

    Errc code() const { return code_; }
    int number() const { return static_cast<int>(code_); }
    /// "what failed: why", or the bare code name when nobody said more.
    std::string text() const { return body_ && !body_->text.empty() ? body_->text : name(code_); }
    std::uint64_t pending() const { return body_ ? body_->pending : 0; }

    /// Put what was being done in front of the text.
    Error with(const std::string& doing) && {
        return Error::make(code_, doing + ": " + text()).with_pending(pending());
    }
    Error with_pending(std::uint64_t count) && {
        if (!body_) body_ = std::make_unique<Body>();
        body_->pending = count;
        return std::move(*this);
    }
    Error copy() const {
        Error error(code_);
        if (body_) error.body_ = std::make_unique<Body>(*body_);
        return error;
    }

   private:
    struct Body {
        std::string text;
        std::uint64_t pending = 0;
    };
    Errc code_ = Errc::ok;
    std::unique_ptr<Body> body_;
};

template <class T>
class [[nodiscard]] Result {
   public:
    Result(T value) : has_(true) { ::new (static_cast<void*>(&value_)) T(std::move(value)); }
    Result(Error error) : error_(std::move(error)), has_(false) {}
    Result(Errc code) : error_(Error(code)), has_(false) {}
    Result(Result&& other) noexcept : error_(std::move(other.error_)), has_(other.has_) {
        if (has_) ::new (static_cast<void*>(&value_)) T(std::move(other.value_));
    }
    Result& operator=(Result&& other) noexcept {
        if (this != &other) {
            this->~Result();
            ::new (this) Result(std::move(other));
        }
        return *this;
    }
    ~Result() {
        if (has_) value_.~T();
    }

    bool has_value() const { return has_; }
    explicit operator bool() const { return has_; }
    T& operator*() & { return value_; }
    const T& operator*() const& { return value_; }
    T&& operator*() && { return std::move(value_); }
    T* operator->() { return &value_; }
    const T* operator->() const { return &value_; }
    const Error& error() const& { return error_; }
    Error error() && { return std::move(error_); }
    Errc code() const { return has_ ? Errc::ok : error_.code(); }

   private:
    Error error_;
    union {
        T value_;
    };
    bool has_;
};

template <>
class [[nodiscard]] Result<void> {
   public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}
    Result(Errc code) : error_(Error(code)) {}

    bool has_value() const { return error_.code() == Errc::ok; }
    explicit operator bool() const { return has_value(); }
    const Error& error() const& { return error_; }
    Error error() && { return std::move(error_); }
    Errc code() const { return error_.code(); }

   private:
    Error error_;
};

using Status = Result<void>;

namespace detail {
template <class T>
T unwrap(Result<T>&& result) {
    return std::move(*std::move(result));
}
inline void unwrap(Result<void>&&) {}
}  // namespace detail

}  // namespace hyplink

/// The value of a `Result`, or return its error from the enclosing function.
#define HYPLINK_TRY(expr)                                              \
    ({                                                                 \
        auto hyplink_result = (expr);                                  \
        if (!hyplink_result) return std::move(hyplink_result).error(); \
        ::hyplink::detail::unwrap(std::move(hyplink_result));          \
    })
