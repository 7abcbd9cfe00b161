// The ring of records: what is written comes out, and what a peer may write instead is refused.

#include <deque>
#include <random>
#include <vector>

#include "check.hpp"
#include "hyplink/ring/record_reader.hpp"
#include "hyplink/ring/record_writer.hpp"

using namespace hyplink::rings;

namespace {

struct Ring {
    std::vector<std::uint64_t> memory;
    std::atomic<std::uint64_t> head;
    std::atomic<std::uint64_t> tail;
    RecordWriter writer;
    RecordReader reader;

    explicit Ring(std::uint32_t bytes, std::uint32_t records = 1000, Progress start = {})
        : memory(bytes / 8), head(start.pack()), tail(start.pack()) {
        const RingMemory ring{base(), bytes, records, &head, &tail};
        writer.attach(ring, start);
        reader.attach(ring, start);
    }
    std::byte* base() { return reinterpret_cast<std::byte*>(memory.data()); }
    std::byte* reserve(std::uint32_t tag, std::uint32_t in, std::uint32_t out = 0) {
        const RecordKind kind = out == 0 ? kRecordPost : kRecordCall;
        if (std::byte* block = writer.reserve(tag, in, out, kind)) return block;
        if (writer.make_room(in, out) != RecordWriter::Room::ok) return nullptr;
        return writer.reserve(tag, in, out, kind);
    }
    /// Post a block whose bytes follow from its tag, and publish.
    bool put(std::uint32_t tag, std::uint32_t in) {
        std::byte* block = reserve(tag, in);
        if (block == nullptr) return false;
        for (std::uint32_t i = 0; i < in; ++i) block[i] = static_cast<std::byte>(tag * 7 + i);
        return writer.commit();
    }
    bool get(std::uint32_t tag, std::uint32_t in) {
        RecordView view;
        if (!reader.look() || !reader.next(view)) return false;
        bool good = EXPECT_EQ(view.tag, tag) && EXPECT_EQ(view.in_bytes, in);
        for (std::uint32_t i = 0; good && i < in; ++i)
            good = EXPECT(view.in[i] == static_cast<std::byte>(tag * 7 + i));
        for (std::uint32_t i = in; good && i < round8(in); ++i)
            good = EXPECT(view.in[i] == std::byte{0});
        return good;
    }
    void header(std::uint32_t at, RecordHeader value) {
        std::memcpy(base() + at, &value, sizeof value);
    }
    void publish(std::uint32_t bytes, std::uint32_t records) {
        head.store(Progress{bytes, records}.pack());
    }
    /// Let the reader look and read all there is; the name of the field it complains about, or "".
    std::string complaint() {
        RecordView view;
        if (reader.look())
            while (reader.next(view)) {
            }
        return reader.fault() ? reader.fault().field : "";
    }
};

}  // namespace

CHECK_CASE("records wrap at every position, in every size, and come out as they went in") {
    for (std::uint32_t bytes = 256; bytes <= 320; bytes += 8)
        for (std::uint32_t size = 0; size <= largest_block(bytes); ++size) {
            Ring ring(bytes);
            for (std::uint32_t i = 0; i < 70; ++i) {
                const std::uint32_t in = (size + i * 13) % (largest_block(bytes) + 1);
                REQUIRE(ring.put(i, in));
                EXPECT_EQ(ring.writer.publish(), 1);
                REQUIRE(ring.get(i, in));
                ring.reader.release();
            }
        }
}

CHECK_CASE("the indexes wrap at 2^32 bytes and at 2^32 records without anyone noticing") {
    for (std::uint32_t below = 0; below <= 512; below += 8) {
        Ring ring(512, 1000, {0U - below, 0U - below / 32});
        for (std::uint32_t i = 0; i < 64; ++i) {
            REQUIRE(ring.put(i, i % 60));
            ring.writer.publish();
            REQUIRE(ring.get(i, i % 60));
            ring.reader.release();
        }
        EXPECT(ring.complaint().empty());
        EXPECT(ring.writer.look());
    }
}

CHECK_CASE("random histories agree with a queue") {
    for (std::uint32_t seed = 1; seed <= 60; ++seed) {
        std::mt19937 random(seed);
        const auto pick = [&](std::uint32_t below) {
            return static_cast<std::uint32_t>(random() % below);
        };
        const std::uint32_t bytes = 256 + 8 * pick(200);
        const std::uint32_t quota = 1 + pick(30);
        Ring ring(bytes, quota, {0U - 8 * pick(1000), 0U - pick(100)});
        std::deque<std::pair<std::uint32_t, std::uint32_t>> posted, published;
        std::uint32_t unreleased = 0;
        for (std::uint32_t step = 0; step < 4000; ++step) {
            const std::uint32_t in = pick(largest_block(bytes) + 1) >> pick(5);
            switch (pick(5)) {
                case 0:
                case 1: {
                    const bool put = ring.put(step, in);
                    if (put) posted.emplace_back(step, in);
                    EXPECT(posted.size() + published.size() + unreleased <= quota);
                    if (!put && posted.empty() && published.empty() && unreleased == 0)
                        EXPECT(!"an empty ring refused a record");
                    break;
                }
                case 2:
                    EXPECT_EQ(ring.writer.publish(), posted.size());
                    for (const auto& one : posted) published.push_back(one);
                    posted.clear();
                    break;
                case 3:
                    REQUIRE(ring.get(published.empty() ? 0 : published.front().first,
                                     published.empty() ? 0 : published.front().second) !=
                            published.empty());
                    if (!published.empty()) {
                        published.pop_front();
                        ++unreleased;
                    }
                    break;
                default:
                    ring.reader.release();
                    unreleased = 0;
            }
            REQUIRE(!ring.reader.fault());
            REQUIRE(!ring.writer.fault());
        }
    }
}

CHECK_CASE("a block of half the ring fits, one byte more never does") {
    for (const std::uint32_t bytes : {256U, 1016U, 4096U}) {
        Ring ring(bytes);
        EXPECT(ring.reserve(1, largest_block(bytes)) != nullptr);
        EXPECT(ring.writer.make_room(largest_block(bytes) + 1, 0) == RecordWriter::Room::too_long);
        EXPECT(ring.writer.reserve(1, largest_block(bytes) + 1, 0, kRecordPost) == nullptr);
        EXPECT(ring.writer.make_room(0xffffffff, 0xffffffff) == RecordWriter::Room::too_long);
        EXPECT(ring.writer.reserve(1, 0xfffffff9, 0xffffffff, kRecordCall) == nullptr);
    }
}

CHECK_CASE(
    "reserving again replaces, committing twice or nothing is refused, a reservation can be put "
    "aside") {
    Ring ring(256);
    EXPECT(!ring.writer.commit());
    ring.reserve(1, 8);
    ring.reserve(2, 16);
    EXPECT(ring.writer.commit());
    EXPECT(!ring.writer.commit());
    ring.reserve(3, 8, 8);
    Reservation kept = ring.writer.set_aside();
    EXPECT(!ring.writer.commit());
    EXPECT(ring.writer.take_back(kept));
    EXPECT(ring.writer.commit());
    EXPECT(!ring.writer.take_back(kept));
    ring.reserve(4, 8, 8);
    kept = ring.writer.set_aside();
    ring.reserve(5, 8);
    EXPECT(!ring.writer.take_back(kept));
    EXPECT(ring.writer.commit());
    EXPECT(!ring.writer.take_back(kept));
    EXPECT_EQ(ring.writer.publish(), 3);
}

CHECK_CASE("the reader refuses every impossible progress of the writer, for good") {
    struct Bad {
        std::uint32_t bytes, records;
        const char* field;
    };
    for (const Bad bad :
         {Bad{256 + 8, 1, "published bytes"}, Bad{0xffffffff, 1, "published bytes"},
          Bad{44, 1, "published bytes"}, Bad{24 - 8, 1, "published bytes"},
          Bad{0, 0, "published bytes"}, Bad{48, 1, "published requests"},
          Bad{24, 2, "published requests"}, Bad{48, 4, "published requests"},
          Bad{176, 11, "published requests"}, Bad{48, 0, "published requests"},
          Bad{48, 0xffffffff, "published requests"}, Bad{56, 4, "published requests"}}) {
        Ring ring(256, 10);
        ring.put(1, 8);
        ring.writer.publish();
        REQUIRE(ring.get(1, 8));
        ring.publish(bad.bytes, bad.records);
        EXPECT_EQ(ring.complaint(), std::string(bad.field));
        ring.publish(24, 1);
        EXPECT(!ring.reader.look());
    }
}

CHECK_CASE("the reader refuses every impossible header") {
    struct Bad {
        RecordHeader header;
        const char* field;
    };
    for (const Bad bad : {Bad{{1, 8, 0, 0}, "record kind"}, Bad{{1, 8, 0, 4}, "record kind"},
                          Bad{{1, 8, 0, 0xffffffff}, "record kind"},
                          Bad{{1, 56, 0, kRecordPost}, "record in_bytes"},
                          Bad{{1, 0xffffffff, 0, kRecordPost}, "record in_bytes"},
                          Bad{{1, 0xfffffff0, 0, kRecordPost}, "record in_bytes"},
                          Bad{{1, 8, 8, kRecordPost}, "record out_bytes"},
                          Bad{{1, 8, 0xffffffff, kRecordCall}, "record out_bytes"},
                          Bad{{1, 8, 48, kRecordCall}, "record out_bytes"},
                          Bad{{1, 0xffffffff, 0xffffffff, kRecordCall}, "record in_bytes"},
                          Bad{{0, 256 - 16, 0, kRecordFiller}, "filler in_bytes"},
                          Bad{{0, 8, 0, kRecordFiller}, "filler in_bytes"}}) {
        Ring ring(256);
        ring.header(0, bad.header);
        ring.publish(64, 2);
        EXPECT_EQ(ring.complaint(), std::string(bad.field));
    }
}

CHECK_CASE("counts that do not agree with the records are refused") {
    for (const std::uint32_t records : {1U, 3U}) {
        Ring ring(256);
        ring.header(0, {1, 8, 0, kRecordPost});
        ring.header(24, {2, 24, 0, kRecordPost});
        ring.publish(64, records);
        EXPECT(!ring.complaint().empty());
    }
    Ring good(256);
    good.header(0, {1, 8, 0, kRecordPost});
    good.header(24, {2, 24, 0, kRecordPost});
    good.publish(64, 2);
    EXPECT(good.complaint().empty());
}

CHECK_CASE("a filler must cover exactly the rest, with something behind it") {
    for (const std::uint32_t in : {232U, 216U, 8U, 224U}) {
        Ring ring(264);
        REQUIRE(ring.put(1, 8));
        ring.writer.publish();
        REQUIRE(ring.get(1, 8));
        ring.reader.release();
        ring.header(24, {0, in, 0, kRecordFiller});
        ring.header(0, {2, 0, 0, kRecordPost});
        ring.publish(24 + 240 + 16, 2);
        EXPECT_EQ(ring.complaint().empty(), in == 224);
        if (in != 224) continue;
        Ring nothing(264);
        nothing.header(0, {1, 8, 0, kRecordPost});
        nothing.header(24, {0, in, 0, kRecordFiller});
        nothing.publish(264, 2);
        EXPECT_EQ(nothing.complaint(), std::string("published bytes"));
    }
}

CHECK_CASE("the writer refuses every impossible progress of the reader") {
    for (const Progress bad : {Progress{72, 3}, Progress{4, 1}, Progress{0xfffffff8, 0xffffffff},
                               Progress{24, 2}, Progress{48, 1}, Progress{24, 0}, Progress{0, 1},
                               Progress{8, 1}, Progress{72, 1}, Progress{56, 1}}) {
        Ring ring(256);
        ring.put(1, 8);
        ring.put(2, 8);
        ring.writer.publish();
        ring.put(3, 8);  // not published: cannot have been read
        ring.tail.store(bad.pack());
        EXPECT(!ring.writer.look());
        EXPECT(ring.writer.fault());
        EXPECT(ring.writer.make_room(8, 0) == RecordWriter::Room::fault);
        EXPECT(ring.writer.reserve(4, 8, 0, kRecordPost) == nullptr);
    }
}

CHECK_CASE("garbage anywhere in the ring and in the index never leads outside") {
    for (std::uint32_t seed = 1; seed <= 20000; ++seed) {
        std::mt19937 random(seed);
        Ring ring(256 + 8 * (seed % 9), 12);
        for (auto& word : ring.memory) {
            // Small numbers make plausible headers.
            const std::uint64_t kind = random() % 5;
            word = random() % 2 == 0 ? (std::uint64_t{random() % 80} << 32 | random() % 3)
                                     : (kind << 32 | random() % 40);
        }
        ring.publish(static_cast<std::uint32_t>(random() % 40 * 8),
                     static_cast<std::uint32_t>(random() % 13));
        RecordView view;
        std::uint32_t turns = 0;
        if (ring.reader.look())
            while (ring.reader.next(view)) {
                REQUIRE(++turns <= 12);
                const std::byte* end = ring.base() + ring.memory.size() * 8;
                EXPECT(view.in >= ring.base() && view.in + view.in_bytes <= end);
                EXPECT(view.out >= ring.base() && view.out + view.out_bytes <= end);
            }
    }
}
