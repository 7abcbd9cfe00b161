/// Answers that a client keeps for procedures marked `@cacheable`.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace hyplink::rpq {

/// Make arguments part of a key: values as their bytes, whatever has a length behind it.
template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
void key_add(std::string& key, const T& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
    requires(
        requires(const T& handle) { handle.value; } && !requires(const T& o) { *o; })
void key_add(std::string& key, const T& handle) {
    key_add(key, handle.value);
}
inline void key_add(std::string& key, std::string_view text) {
    key_add(key, static_cast<std::uint64_t>(text.size()));
    key.append(text);
}
template <class T>
void key_add(std::string& key, std::span<const T> values) {
    key_add(key, static_cast<std::uint64_t>(values.size()));
    for (const T& value : values) key_add(key, value);
}
template <class T>
void key_add(std::string& key, const std::optional<T>& value) {
    key_add(key, value.has_value());
    if (value.has_value()) key_add(key, *value);
}

/// At most `kMost` answers; one more and all are forgotten, which is only slow.
template <class T>
class Answers {
   public:
    static constexpr std::size_t kMost = 1024;
    const T* find(const std::string& key) const {
        const auto found = answers_.find(key);
        return found == answers_.end() ? nullptr : &found->second;
    }
    void keep(std::string&& key, const T& value) {
        if (answers_.size() >= kMost) answers_.clear();
        answers_.insert_or_assign(std::move(key), value);
    }
    void clear() { answers_.clear(); }

   private:
    std::unordered_map<std::string, T> answers_;
};

}  // namespace hyplink::rpq
