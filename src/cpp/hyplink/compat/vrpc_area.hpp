/// The address under which a program has the data of a vRPC end, whatever port stands behind it.
///
/// Each opening has memory of its own, and code of the product keeps the address from the look-up.
/// Between two openings private memory is there. Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstring>

#include "hyplink/base/text.hpp"
#include "hyplink/ring/rpq_port.hpp"
#include "hyplink/sys/mapping.hpp"

namespace hyplink::compat {

class VrpcArea {
   public:
    /// `bytes`: of the data.
    static Result<VrpcArea> make(std::size_t bytes) {
        VrpcArea area;
        area.bytes_ = bytes;
        area.place_ = HYPLINK_TRY(sys::Mapping::anonymous(whole(bytes)));
        return area;
    }
    std::byte* data() const { return place_.data() + rpq::kRingAt; }

    /// From now on `data()` is what lies at `data` of the port. Errors: protocol (the port is of
    /// another form).
    Status show(const std::byte* port, std::size_t port_bytes, const std::byte* data) {
        if (port_bytes < place_.size() || data != port + rpq::kRingAt)
            return Error::make(Errc::protocol,
                               text("vRPC: a port of ", port_bytes, " bytes for ", place_.size()));
        return sys::mirror_over(place_.data(), place_.size(), port);
    }
    /// From now on it is private, with the same contents.
    Status keep() {
        sys::Mapping next = HYPLINK_TRY(sys::Mapping::anonymous(place_.size()));
        std::memcpy(next.data() + rpq::kRingAt, data(), bytes_);
        return next.move_over(place_.data());
    }

   private:
    static std::size_t whole(std::size_t bytes) {
        return (rpq::kRingAt + bytes + 4095) / 4096 * 4096;
    }
    std::size_t bytes_ = 0;
    sys::Mapping place_;
};

}  // namespace hyplink::compat
