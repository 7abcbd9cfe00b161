/// Values to bytes and back, for the control sockets. Little-endian, fixed width, lengths checked.
/// Thread rule: values.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "hyplink/base/result.hpp"

namespace hyplink::backend {

class Packer {
   public:
    template <class T>
        requires(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>)
    Packer& put(const T& value) {
        return append(&value, sizeof value);
    }
    Packer& put_text(std::string_view text) {
        put(static_cast<std::uint32_t>(text.size()));
        return append(text.data(), text.size());
    }
    std::span<const std::byte> bytes() const { return bytes_; }

   private:
    Packer& append(const void* data, std::size_t size) {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + size);
        if (size != 0) std::memcpy(bytes_.data() + at, data, size);
        return *this;
    }
    std::vector<std::byte> bytes_;
};

/// Reading past the end gives zeroes and remembers: check `ok()` once, before using what was read.
class Unpacker {
   public:
    explicit Unpacker(std::span<const std::byte> bytes) : bytes_(bytes) {}
    template <class T>
        requires(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>)
    T get() {
        T value{};
        if (bytes_.size() < sizeof value) {
            ok_ = false;
            return value;
        }
        std::memcpy(&value, bytes_.data(), sizeof value);
        bytes_ = bytes_.subspan(sizeof value);
        return value;
    }
    std::string get_text() {
        const auto size = get<std::uint32_t>();
        if (size > bytes_.size()) {
            ok_ = false;
            return {};
        }
        std::string text(reinterpret_cast<const char*>(bytes_.data()), size);
        bytes_ = bytes_.subspan(size);
        return text;
    }
    bool ok() const { return ok_; }
    bool at_end() const { return bytes_.empty(); }
    std::size_t left() const { return bytes_.size(); }

   private:
    std::span<const std::byte> bytes_;
    bool ok_ = true;
};

}  // namespace hyplink::backend
