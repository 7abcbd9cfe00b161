#include "hyplink/ring/record_writer.hpp"

namespace hyplink::rings {

bool RecordWriter::look() {
    const std::uint64_t word = memory_.tail->load(std::memory_order_acquire);  // partner: release()
    const Progress tail = Progress::unpack(word);
    const Progress ahead = tail.since(tail_);
    const Progress possible = published_.since(tail_);
    if (ahead.bytes > possible.bytes || ahead.bytes % 8 != 0) {
        fault_ = {"released bytes", tail.bytes, published_.bytes};
        return false;
    }
    if (ahead.records > possible.records ||
        (ahead.records == possible.records) != (ahead.bytes == possible.bytes) ||
        (ahead.records == 0) != (ahead.bytes == 0) ||
        std::uint64_t{ahead.records} * kHeaderBytes > ahead.bytes) {
        fault_ = {"released requests", tail.records, published_.records};
        return false;
    }
    tail_ = tail;
    return true;
}

RecordWriter::Room RecordWriter::make_room(std::uint32_t in_bytes, std::uint32_t out_bytes) {
    const std::uint64_t need = record_bytes(in_bytes, out_bytes);
    if (need > largest_) return Room::too_long;
    if (!look()) {
        shut();
        return Room::fault;
    }
    last_ = tail_.records + memory_.records;
    if (head_.records == last_) {
        room_ = 0;
        return Room::full;
    }
    std::uint32_t used = head_.bytes - tail_.bytes;
    if (holding_) used = std::max(used, head_.bytes - held_at_);
    std::uint32_t free = memory_.bytes - used - skipped_;
    const std::uint32_t straight = memory_.bytes - offset_;
    if (need > straight) {
        if (straight + need > free) {
            room_ = std::min({free, straight, largest_});
            return Room::full;
        }
        if (straight >= kHeaderBytes) {
            const RecordHeader filler{0, straight - kHeaderBytes, 0, kRecordFiller};
            std::memcpy(memory_.base + offset_, &filler, sizeof filler);
        }
        skipped_ = straight;
        free -= straight;
        offset_ = 0;
    }
    room_ = std::min({free, memory_.bytes - offset_, largest_});
    return need <= room_ ? Room::ok : Room::full;
}

}  // namespace hyplink::rings
