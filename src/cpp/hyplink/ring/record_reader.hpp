/// The reading end of a ring of records whose writer is not trusted.
///
///     if (!reader.look()) …reader.fault()…           // take over what the writer has published
///     reader.read(64, [&](const RecordView& record) { …record.in…; return true; });
///     if (reader.fault()) …                          // else all is read, or 64
///     reader.release();                              // everything read so far may be overwritten
///
/// The writer's progress is loaded once per look, a header once per record, both into locals that
/// are checked against this side's own positions before use. A record that fails is final:
/// `fault()` says which field held what, and the reader never looks again. No loop runs longer than
/// the ring has room.
///
/// What lies *inside* a block stays writable for the writer: whoever decodes it loads each field
/// once.
///
/// Thread rule: one thread at a time. Copies: none.
#pragma once

#include "hyplink/ring/record.hpp"

namespace hyplink::rings {

/// One record, in place.
struct RecordView {
    std::uint32_t tag;
    std::uint32_t in_bytes;
    std::uint32_t out_bytes;
    std::uint32_t kind;  ///< kRecordPost, kRecordCall or kRecordNested
    std::byte* in;
    std::byte* out;
};

class RecordReader {
   public:
    /// `start`: where both sides begin to count; 0 in use, elsewhere in tests of the wrap at 2^32.
    void attach(const RingMemory& memory, Progress start = {}) {
        memory_ = memory;
        head_ = read_ = tail_ = start;
        largest_ = largest_record(memory.bytes);
    }

    /// Take over the writer's progress. False: it is impossible, or the reader has failed before.
    [[gnu::always_inline]] bool look() {
        const std::uint64_t word =
            memory_.head->load(std::memory_order_acquire);  // partner: publish()
        if (word == head_.pack()) return !fault_;
        return accept(Progress::unpack(word));
    }

    /// Published records not read yet.
    std::uint32_t waiting() const { return head_.records - read_.records; }
    /// How far the writer has come, as of the last look.
    Progress head() const { return head_; }
    /// Published and not released yet.
    Progress held() const { return head_.since(tail_); }
    /// Read and not released yet.
    Progress unreleased() const { return read_.since(tail_); }

    /// Read up to `most` records and give each to `take(view)`, which says whether to go on.
    /// Returns how many; fewer than `most` when `take` stopped it, all is read, or there is a
    /// fault.
    template <class Take>
    [[gnu::always_inline]] std::uint32_t read(std::uint32_t most, Take&& take) {
        // Positions stay in registers: through memory they would make one long chain of loads and
        // stores.
        const std::uint32_t size = memory_.bytes;
        const std::uint32_t largest = largest_;
        const std::uint32_t end = head_.bytes;
        std::uint32_t waiting = head_.records - read_.records;
        std::uint32_t offset = offset_;
        std::uint32_t at = read_.bytes;
        std::uint32_t count = 0;
        for (bool more = true; more && count != most;) {
            const std::uint32_t published = end - at;
            const std::uint32_t straight = size - offset;
            const std::uint32_t possible = std::min({published, straight, largest});
            if (waiting == 0 || possible < kHeaderBytes) [[unlikely]] {
                if (waiting == 0 && published == 0) break;
                if (!turn(at, offset, {}, waiting)) break;
                continue;
            }
            std::byte* const record = memory_.base + offset;
            // Atomic so that each half of the header is loaded exactly once.
            const std::uint64_t low = load_once(record);
            const std::uint64_t high = load_once(record + 8);
            const RecordHeader header{
                static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
                static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)};
            const std::uint64_t total = record_bytes(header.in_bytes, header.out_bytes);
            const bool plain = high == std::uint64_t{kRecordPost} << 32;
            if (total > possible || !(plain || is_call_kind(header.kind))) [[unlikely]] {
                if (!turn(at, offset, header, waiting)) break;
                continue;
            }
            std::byte* const in = record + kHeaderBytes;
            offset += static_cast<std::uint32_t>(total);
            at += static_cast<std::uint32_t>(total);
            --waiting;
            ++count;
            more = take(RecordView{header.tag, header.in_bytes, header.out_bytes, header.kind, in,
                                   in + round8(header.in_bytes)});
        }
        offset_ = offset;
        read_.bytes = at;
        read_.records += count;
        return count;
    }
    /// The next record. False: all read, or a fault; then see `fault()`.
    bool next(RecordView& view) {
        return read(1, [&](const RecordView& record) {
                   view = record;
                   return true;
               }) == 1;
    }

    /// Hand everything read so far back to the writer.
    void release() {
        tail_ = read_;
        memory_.tail->store(tail_.pack(),
                            std::memory_order_release);  // partner: RecordWriter::look
    }

    const Fault& fault() const { return fault_; }
    /// Read nothing any more.
    void shut() {
        head_ = read_;
        if (!fault_) fault_ = {"channel", 0, 0};
    }

   private:
    static std::uint64_t load_once(std::byte* at) {
        return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at))
            .load(std::memory_order_relaxed);
    }
    bool accept(Progress head);
    /// No plain record at `offset`: go on at the ring's beginning, or fail. An absent header is all
    /// zero.
    bool turn(std::uint32_t& at, std::uint32_t& offset, RecordHeader header, std::uint32_t waiting);
    bool fail(const char* field, std::uint64_t found, std::uint64_t limit);

    RingMemory memory_;
    std::uint32_t offset_ = 0;  ///< read position in the ring
    std::uint32_t largest_ = 0;
    Progress head_;  ///< the writer's, checked
    Progress read_;
    Progress tail_;
    Fault fault_;
};

}  // namespace hyplink::rings
