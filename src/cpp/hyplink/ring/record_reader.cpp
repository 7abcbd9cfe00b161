#include "hyplink/ring/record_reader.hpp"

namespace hyplink::rings {

bool RecordReader::fail(const char* field, std::uint64_t found, std::uint64_t limit) {
    fault_ = {field, found, limit};
    return false;
}

bool RecordReader::accept(Progress head) {
    if (fault_) return false;
    const Progress now = head.since(tail_);
    const Progress before = head_.since(tail_);
    if (now.bytes > memory_.bytes || now.bytes < before.bytes || now.bytes % 8 != 0)
        return fail("published bytes", head.bytes, tail_.bytes + memory_.bytes);
    if (now.records > memory_.records || now.records < before.records ||
        (now.records == before.records) != (now.bytes == before.bytes) ||
        std::uint64_t{now.records} * kHeaderBytes > now.bytes)
        return fail("published requests", head.records, tail_.records + memory_.records);
    head_ = head;
    return true;
}

bool RecordReader::turn(std::uint32_t& at, std::uint32_t& offset, RecordHeader header,
                        std::uint32_t waiting) {
    const std::uint32_t published = head_.bytes - at;
    const std::uint32_t straight = memory_.bytes - offset;
    if (waiting == 0) return fail("published requests", head_.records, head_.records + 1);
    if (straight >= kHeaderBytes) {
        if (published < kHeaderBytes)
            return fail("published bytes", head_.bytes, at + kHeaderBytes);
        if (header.kind != kRecordFiller) {
            if (header.kind != kRecordPost && !is_call_kind(header.kind))
                return fail("record kind", header.kind, kRecordFiller);
            if (header.kind == kRecordPost && header.out_bytes != 0)
                return fail("record out_bytes", header.out_bytes, 0);
            const std::uint32_t most = std::min({published, straight, largest_}) - kHeaderBytes;
            const bool in = round8(header.in_bytes) > most;
            return fail(in ? "record in_bytes" : "record out_bytes",
                        in ? header.in_bytes : header.out_bytes, most);
        }
        // A filler covers exactly the rest of the ring.
        if (offset == 0 || header.tag != 0 || header.out_bytes != 0 ||
            header.in_bytes != straight - kHeaderBytes)
            return fail("filler in_bytes", header.in_bytes, straight - kHeaderBytes);
    }
    // Something follows a filler, and what both sides leave out where less than a header is left.
    if (published <= straight)
        return fail("published bytes", head_.bytes, at + straight + kHeaderBytes);
    at += straight;
    offset = 0;
    return true;
}

}  // namespace hyplink::rings
