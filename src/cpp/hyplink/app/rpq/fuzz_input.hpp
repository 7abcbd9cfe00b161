/// What a generated fuzz target needs: values out of the fuzzer's bytes, a channel that keeps
/// blocks.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/app/rpq/buffers.hpp"
#include "hyplink/app/rpq/wire.hpp"

namespace hyplink::rpq {

/// Bytes of the fuzzer, used up from the front; zeros behind the end.
class FuzzInput {
   public:
    FuzzInput(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    template <class T>
    T raw() {
        T value{};
        const std::size_t count = std::min(sizeof value, size_ - at_);
        if (count != 0) std::memcpy(&value, data_ + at_, count);
        at_ += count;
        return value;
    }
    bool flag() { return (raw<std::uint8_t>() & 1U) != 0; }
    /// Inside `low..high`, small more often than not: lengths are proven for legal values only, and
    /// the channel does the damage.
    template <class T>
    T within(T low, T high) {
        const auto how = raw<std::uint8_t>();
        const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
        const std::uint64_t some = how < 160 ? how % 9 : raw<std::uint64_t>();
        const std::uint64_t step = span == ~std::uint64_t{0} ? some : some % (span + 1);
        return static_cast<T>(static_cast<std::uint64_t>(low) + step);
    }
    template <class T>
    T among(std::initializer_list<T> values) {
        const auto how = raw<std::uint8_t>();
        return values.begin()[how % values.size()];
    }
    std::string text(std::size_t most) {
        std::string out(std::min<std::size_t>(raw<std::uint8_t>() % 40, most + 1), 'a');
        for (char& c : out) c = static_cast<char>(raw<std::uint8_t>());
        return out;
    }
    std::size_t left() const { return size_ - at_; }

   private:
    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

/// Elements in exactly as much memory: a sanitizer sees every one too far.
template <class T>
class FuzzArray {
   public:
    FuzzArray(FuzzInput& input, std::uint64_t count)
        : count_(static_cast<std::size_t>(std::min<std::uint64_t>(count, 4096))),
          values_(std::make_unique<T[]>(count_)) {
        for (std::size_t i = 0; i < count_; ++i) {
            if constexpr (std::is_same_v<T, bool>) {
                values_[i] = input.flag();
            } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::byte>) {
                values_[i] = input.raw<T>();
            } else if constexpr (std::is_enum_v<T>) {
                values_[i] = static_cast<T>(input.raw<std::uint8_t>() % 8);
            }
        }
    }
    std::span<T> span() { return {values_.get(), count_}; }
    T* data() { return values_.get(); }

   private:
    std::size_t count_;
    std::unique_ptr<T[]> values_;
};

/// One buffer that everybody may use.
class FuzzBuffers final : public BufferTable {
   public:
    Result<std::span<std::byte>> resolve(const BufferRef& ref, std::uint32_t) override {
        if (ref.slot != 1 || ref.offset > memory_.size() ||
            ref.length > memory_.size() - ref.offset)
            return Errc::bad_address;
        return std::span<std::byte>(memory_).subspan(static_cast<std::size_t>(ref.offset),
                                                     static_cast<std::size_t>(ref.length));
    }
    Result<BufferRef> place(std::span<const std::byte> data, bool) override {
        return BufferRef{1, 1, 0, data.size()};
    }

   private:
    std::vector<std::byte> memory_ = std::vector<std::byte>(1U << 16U);
};

/// Both ends of a channel. What is sent goes, damaged or not, to `receive`; answers are the
/// fuzzer's.
class FuzzChannel {
   public:
    explicit FuzzChannel(FuzzInput& input) : input_(input) {}

    std::function<std::int32_t(const RequestView&, bool callback)> receive;
    /// Why `receive` refused, when it did.
    Reject why{};
    /// Sees every request of this thread after its server did, with what that one said: another
    /// server of the same interface.
    static inline thread_local std::function<void(const RequestView&, std::int32_t, const Reject&)>
        witness;

    Result<std::byte*> begin(std::uint32_t proc, std::uint32_t bytes) {
        if (bytes > (1U << 20U)) return Errc::too_long;
        proc_ = proc;
        out_bytes_ = 0;
        is_call_ = false;
        block_.assign((bytes + 7) / 8, 0xEEEEEEEEEEEEEEEEU);
        bytes_ = bytes;
        return reinterpret_cast<std::byte*>(block_.data());
    }
    Result<std::byte*> begin_call(std::uint32_t proc, std::uint32_t in, std::uint32_t out) {
        if (out > (1U << 20U)) return Errc::too_long;
        auto block = begin(proc, in);
        out_bytes_ = out;
        is_call_ = true;
        return block;
    }
    Status post() {
        deliver(false);
        return {};
    }
    Status notify() { return {}; }
    Result<ReplyView> call() { return answer(deliver(false)); }

    void on_callback(std::function<std::int32_t(const RequestView&)> function) {
        called_ = std::move(function);
    }
    int deadline_in(std::int64_t) { return 0; }
    Result<std::byte*> callback_begin(std::uint32_t proc, std::uint32_t bytes, Drop,
                                      std::uint32_t) {
        return begin(proc, bytes);
    }
    Result<std::byte*> callback_begin_call(std::uint32_t proc, std::uint32_t in, std::uint32_t out,
                                           int = 0) {
        return begin_call(proc, in, out);
    }
    Status callback_post() {
        deliver(true);
        return {};
    }
    Result<ReplyView> callback_call(int = 0) { return answer(deliver(true)); }

   private:
    std::int32_t deliver(bool callback) {
        for (std::uint32_t left = input_.raw<std::uint8_t>() % 4; left != 0; --left) damage();
        const std::size_t size = bytes_;
        // Its own piece of memory, exactly as long.
        const std::unique_ptr<std::byte[]> in(new std::byte[size]);
        if (size != 0) std::memcpy(in.get(), block_.data(), size);
        out_ = std::make_unique<std::byte[]>(out_bytes_);
        const RequestView view{proc_, in.get(), bytes_, out_.get(), out_bytes_, is_call_};
        why = {};
        const std::int32_t status = callback && called_ ? called_(view) : receive(view, callback);
        if (status < kRejected) std::abort();
        if (witness && !callback) witness(view, status, why);
        if (is_call_ && status == 0) {
            for (std::size_t i = 0; i < out_bytes_; ++i)
                sum_ = sum_ + std::to_integer<unsigned>(out_[i]);
        }
        return status;
    }
    void damage() {
        if (bytes_ < 8) return;
        auto* const at = reinterpret_cast<std::byte*>(block_.data()) +
                         input_.raw<std::uint16_t>() % (bytes_ / 4) * 4;
        switch (input_.raw<std::uint8_t>() % 6) {
            case 0:
                at[input_.raw<std::uint8_t>() % 4] ^= std::byte{1};
                break;
            case 1:
                put(at, input_.raw<std::uint32_t>());
                break;
            case 2:
                put(at, ~std::uint32_t{0});
                break;
            case 3:
                put(at, load<std::uint32_t>(at) + 8);
                break;
            case 4:
                bytes_ -= 8;
                break;
            default:
                put(at, load<std::uint32_t>(at) - 1);
        }
    }
    Result<ReplyView> answer(std::int32_t status) {
        if (status == kRejected) return Errc::corrupt;
        if (input_.flag()) {  // a server that answers what it likes
            for (std::size_t i = 0; i + 4 <= out_bytes_ && input_.left() != 0; i += 4)
                put(out_.get() + i, input_.raw<std::uint32_t>());
            status = input_.flag() ? 0 : input_.raw<std::int32_t>();
        }
        return ReplyView{status, out_.get(), out_bytes_};
    }

    FuzzInput& input_;
    std::function<std::int32_t(const RequestView&)> called_;
    std::vector<std::uint64_t> block_;
    std::unique_ptr<std::byte[]> out_;
    std::uint32_t proc_ = 0;
    std::uint32_t bytes_ = 0;
    std::uint32_t out_bytes_ = 0;
    bool is_call_ = false;
    volatile unsigned sum_ = 0;
};

}  // namespace hyplink::rpq
