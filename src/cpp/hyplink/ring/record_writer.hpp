/// The writing end of a ring of records: parameters are marshalled in place, published when the
/// user says so.
///
///     std::byte* block = writer.reserve(tag, in_bytes, 0, kRecordPost);   // null:
///     writer.make_room(…) first …fill the block… writer.commit();                    // privately;
///     as many as one likes writer.publish();                   // one release store for all of
///     them
///
/// Everything the writer decides by lives in its own memory; of the peer's words it reads one, the
/// reader's progress, once per look, and believes it only within what it has published itself.
///
/// Thread rule: one thread at a time. Copies: none.
#pragma once

#include <utility>

#include "hyplink/ring/record.hpp"

namespace hyplink::rings {

/// A reservation put aside, so that only its owner can commit it.
struct Reservation {
    std::uint32_t bytes = 0;  ///< 0: none
    std::uint32_t at = 0;
};

class RecordWriter {
   public:
    /// `start`: where both sides begin to count; 0 in use, elsewhere in tests of the wrap at 2^32.
    void attach(const RingMemory& memory, Progress start = {}) {
        memory_ = memory;
        head_ = published_ = tail_ = start;
        largest_ = largest_record(memory.bytes);
        room_ = 0;  // the first reserve looks
    }

    /// Room for one record at the write position; its parameter block, 8-byte aligned, or null when
    /// `make_room` must be asked. Bytes that round a block up to 8 are zeroed. Reserving again
    /// before `commit` replaces the earlier reservation.
    [[gnu::always_inline]] std::byte* reserve(std::uint32_t tag, std::uint32_t in_bytes,
                                              std::uint32_t out_bytes, RecordKind kind) {
        const std::uint64_t need = record_bytes(in_bytes, out_bytes);
        if (need > room_) [[unlikely]]
            return nullptr;
        std::byte* const record = memory_.base + offset_;
        const std::uint64_t low = std::uint64_t{in_bytes} << 32 | tag;
        const std::uint64_t high = std::uint64_t{kind} << 32 | out_bytes;
        std::memcpy(record, &low, 8);
        std::memcpy(record + 8, &high, 8);
        if ((in_bytes & 7) != 0) std::memset(record + kHeaderBytes + (in_bytes & ~7U), 0, 8);
        reserved_ = static_cast<std::uint32_t>(need);
        return record + kHeaderBytes;
    }

    /// The record reserved last becomes part of the next publication. False: nothing is reserved.
    [[gnu::always_inline]] bool commit() {
        const std::uint32_t need = reserved_;
        if (need <= kHeaderBytes) [[unlikely]] {
            if (need == 0) return false;
            ++tally_.empty;
        }
        reserved_ = 0;
        offset_ += need;
        room_ -= need;
        head_.bytes += need;
        if (++head_.records == last_) room_ = 0;
        if (skipped_ != 0) [[unlikely]] {
            head_.bytes += skipped_;
            skipped_sum_ += std::exchange(skipped_, 0U);
        }
        return true;
    }

    /// The tag of the record reserved last, for a writer that learns it only now. Nothing else may
    /// have been reserved or committed since.
    [[gnu::always_inline]] void retag(std::uint32_t tag) {
        std::memcpy(memory_.base + offset_, &tag, sizeof tag);
    }

    /// Put the reservation aside: `commit` no longer sees it. Anything reserved later voids it.
    Reservation set_aside() {
        const Reservation kept{reserved_, head_.bytes};
        reserved_ = 0;
        return kept;
    }
    /// Reserve again what was set aside. False: it is void.
    bool take_back(Reservation& kept) {
        if (kept.bytes == 0 || reserved_ != 0 || kept.at != head_.bytes) return false;
        reserved_ = std::exchange(kept.bytes, 0U);
        return true;
    }

    /// Publish what was committed. Returns how many records that were.
    std::uint32_t publish() {
        const std::uint32_t records = head_.records - published_.records;
        if (records == 0) return 0;
        tally_.bytes += head_.bytes - published_.bytes - records * kHeaderBytes - skipped_sum_;
        skipped_sum_ = 0;
        published_ = head_;
        memory_.head->store(head_.pack(),
                            std::memory_order_release);  // partner: acquire in RecordReader
        return records;
    }

    /// What was published since the last time this was taken: parameter blocks.
    struct Tally {
        std::uint32_t empty = 0;  ///< records without parameters
        std::uint64_t bytes = 0;  ///< parameter bytes, each block rounded up to 8
    };
    Tally take_tally() { return std::exchange(tally_, Tally{}); }
    /// The record committed last keeps `bytes` of its room for an answer: no parameters.
    void count_answer(std::uint32_t bytes) { skipped_sum_ += bytes; }

    /// Whatever the reader releases, overwrite nothing from `at` on (a `position()`) until
    /// `let_go`: an answer there is still to be read, and more may be written meanwhile.
    void hold_from(std::uint32_t at) {
        held_at_ = at;
        holding_ = true;
    }
    void let_go() { holding_ = false; }

    enum class Room : std::uint32_t { ok, full, too_long, fault };
    /// Look at the reader's progress and make room for one record. After ok, `reserve` with the
    /// same sizes succeeds. full: the ring or the number of records is used up. fault: see
    /// `fault()`.
    Room make_room(std::uint32_t in_bytes, std::uint32_t out_bytes);

    /// Take over how far the reader has come. False: it wrote something impossible, see `fault()`.
    bool look();
    const Fault& fault() const { return fault_; }

    /// No reservation succeeds any more (a dead or corrupt channel).
    void shut() {
        room_ = 0;
        reserved_ = 0;
    }

    std::uint32_t unpublished() const { return head_.records - published_.records; }
    /// Committed and not known to be released, as of the last look.
    Progress outstanding() const { return head_.since(tail_); }
    /// Where the next record will start, in bytes.
    std::uint32_t position() const { return head_.bytes; }
    Progress published() const { return published_; }
    /// The number that the next record goes by: how many were committed before it, modulo 2^32.
    std::uint32_t next_record() const { return head_.records; }
    /// Whether the reader had released record `number` at the last look. Good for the last 2^32.
    bool is_released(std::uint32_t number) const {
        return head_.records - number > outstanding().records;
    }
    std::uint32_t largest_block_bytes() const { return largest_ - kHeaderBytes; }

   private:
    RingMemory memory_;
    std::uint32_t offset_ = 0;    ///< write position in the ring
    std::uint32_t room_ = 0;      ///< bytes usable at offset_ without another look
    std::uint32_t reserved_ = 0;  ///< size of the reserved record, 0 when there is none
    std::uint32_t skipped_ =
        0;           ///< bytes left unused at the ring's end in front of the next record
    Progress head_;  ///< committed
    Progress published_;
    Progress tail_;           ///< the reader's, checked
    std::uint32_t last_ = 0;  ///< value of head_.records at which the number of records is used up
    std::uint32_t largest_ = 0;
    std::uint32_t skipped_sum_ = 0;  ///< unpublished bytes that are no parameters, besides headers
    Tally tally_;
    std::uint32_t held_at_ = 0;
    bool holding_ = false;
    Fault fault_;
};

}  // namespace hyplink::rings
