#include "hyplink/guest/buffer_book.hpp"

#include <algorithm>

namespace hyplink::guest {

BufferCounters& BufferBook::counters() {
    if (counters_ != nullptr) return *counters_;
    ChannelCounters* slot = kernel_->scope().take_counters();
    // One layout, two names for what is in it.
    counters_ = slot != nullptr ? reinterpret_cast<BufferCounters*>(slot) : &spare_;
    const auto name = [](std::uint32_t& word, std::uint32_t value) {
        std::atomic_ref(word).store(value, std::memory_order_relaxed);
    };
    name(counters_->link, end_->index());
    name(counters_->role, static_cast<std::uint32_t>(end_->role()));
    name(counters_->kind, kind_);
    set(counters_->area_size, area_size_);
    return *counters_;
}

void BufferBook::set_peak(std::uint64_t& now, std::uint64_t& peak, std::uint64_t value) {
    set(now, value);
    if (value > peak) set(peak, value);
}

void BufferBook::add(std::uint64_t bytes) {
    BufferCounters& mine = counters();
    set_peak(mine.buffers, mine.buffers_peak, mine.buffers + 1);
    set_peak(mine.bytes, mine.bytes_peak, mine.bytes + bytes);
}

void BufferBook::remove(std::uint64_t bytes) {
    BufferCounters& mine = counters();
    set(mine.buffers, mine.buffers - 1);
    set(mine.bytes, mine.bytes - bytes);
}

void BufferBook::message(std::uint64_t bytes) {
    BufferCounters& mine = counters();
    set_peak(mine.area, mine.area_peak, bytes);
}

void BufferBook::answered(std::uint32_t kind, bool refused, std::int64_t began) {
    BufferCounters& mine = counters();
    bump(mine.answers);
    if (refused) bump(mine.errors);
    if (counters_ == &spare_) return;
    ProcedureCounters* row =
        kernel_->scope().procedure(*reinterpret_cast<ChannelCounters*>(counters_), kind);
    if (row == nullptr) return bump(mine.uncounted);
    bump(row->requests);
    if (began == 0) return;
    const auto took =
        static_cast<std::uint64_t>(std::max<std::int64_t>(kernel_->runtime().now() - began, 0));
    bump(row->latency_count);
    bump(row->latency_sum, took);
    if (took > row->latency_max) set(row->latency_max, took);
}

}  // namespace hyplink::guest
