/// What a driver counts of the buffers that one end of a vlink lends or borrows, where whoever
/// looks at the bench finds it. Thread rule: the guest kernel's.
#pragma once

#include <cstdint>

#include "hyplink/guest/kernel.hpp"
#include "hyplink/guest/vlink_end.hpp"

namespace hyplink::guest {

class BufferBook {
   public:
    /// `kind`: kCountsUmem or kCountsIon; `area_size`: bytes of shared memory its messages share.
    BufferBook(GuestKernel& kernel, const VlinkEnd& end, std::uint32_t kind,
               std::uint64_t area_size)
        : kernel_(&kernel), end_(&end), kind_(kind), area_size_(area_size) {}
    BufferBook(const BufferBook&) = delete;
    BufferBook& operator=(const BufferBook&) = delete;

    void sessions(std::uint64_t now) { set(counters().sessions, now); }
    void add(std::uint64_t bytes);
    void remove(std::uint64_t bytes);
    /// A request of this kind was answered; `began` by the runtime's clock, 0: at once.
    void answered(std::uint32_t kind, bool refused, std::int64_t began = 0);
    void waited() { bump(counters().waited); }
    void rang() { bump(counters().xirqs); }
    /// A message of so many bytes lies in the shared area.
    void message(std::uint64_t bytes);

   private:
    static void set(std::uint64_t& counter, std::uint64_t value) {
        std::atomic_ref(counter).store(value, std::memory_order_relaxed);
    }
    static void bump(std::uint64_t& counter, std::uint64_t by = 1) { set(counter, counter + by); }
    static void set_peak(std::uint64_t& now, std::uint64_t& peak, std::uint64_t value);
    /// Taken when there is something to count first: most ends of a large board never are used.
    BufferCounters& counters();

    GuestKernel* kernel_;
    const VlinkEnd* end_;
    std::uint32_t kind_;
    std::uint64_t area_size_;
    BufferCounters* counters_ = nullptr;
    BufferCounters spare_{};
};

}  // namespace hyplink::guest
