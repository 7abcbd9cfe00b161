/// One application's open "vlx-mem": what it has, and what it has not been told yet. Private to
/// `guest/mem_*`.
#pragma once

#include <utility>

#include "hyplink/guest/mem_driver.hpp"

namespace hyplink::guest {

class MemHandle final : public Handle {
   public:
    MemHandle(MemDriver& driver, AppId owner) : app(owner), driver_(&driver) {
        driver.open_.insert(this);
    }
    ~MemHandle() override { drop(); }
    void close() override { drop(); }

    const AppId app;
    std::set<std::uint64_t> regions;
    std::map<std::uint32_t, MemDriver::Window> windows;
    /// By window: the least range around all that changed while the application read nothing. Told
    /// when it reads again, as it is then.
    std::map<std::uint32_t, hyp::MemRange> untold;
    /// Nothing came of a hold there, but what is there now was not shown yet: who went on would see
    /// what was emptied.
    std::set<hyp::MemRange> to_release;
    std::uint32_t next_window = 1;

   private:
    void drop() {
        if (driver_ == nullptr) return;
        driver_->forget(*this);
        for (std::uint64_t at : regions)
            (void)driver_->kernel_->hypercalls().mem_free(app, mem::Ipa{at});
        const auto mapped = std::move(windows);
        windows.clear();
        for (const auto& [id, window] : mapped) driver_->unmap(window.range);
        driver_->open_.erase(this);
        driver_ = nullptr;
    }
    MemDriver* driver_;
};

inline void put(std::string& data, std::uint64_t value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
}

inline void put(std::string& data, const MemPiece& piece) {
    data.append(reinterpret_cast<const char*>(&piece), sizeof piece);
}

inline bool overlap(const hyp::MemRange& a, const hyp::MemRange& b) {
    return a.at < b.at + b.bytes && b.at < a.at + a.bytes;
}

}  // namespace hyplink::guest
