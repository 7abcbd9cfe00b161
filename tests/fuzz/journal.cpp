// The journal and the counters of a process that wrote whatever it liked.
#include <array>
#include <memory>

#include "fuzz.hpp"
#include "hyplink/base/journal.hpp"

using namespace hyplink;

namespace {

struct alignas(64) Memory {
    std::array<std::byte, Scope::kBytes> bytes{};
};

}  // namespace

void fuzz::one(Input& input) {
    static const auto memory = std::make_unique<Memory>();
    const std::span<std::byte> bytes = memory->bytes;
    std::vector<std::pair<std::size_t, std::size_t>> dirty{{0, 64}};
    auto put = [&](std::size_t at, const void* data, std::size_t size) {
        size = std::min(size, bytes.size() - at);
        std::memcpy(bytes.data() + at, data, size);
        dirty.emplace_back(at, size);
    };

    const std::uint8_t how = input.byte();
    const std::size_t size = (how & 1) != 0 ? input.wide() % (Scope::kBytes + 1) : Scope::kBytes;
    ScopeHeader header{};
    header.magic = (how & 2) != 0 ? input.number() : ScopeHeader::kMagic;
    header.capacity = input.number();
    header.slots = input.number();
    header.enabled.store(1);
    const std::uint64_t head = input.wide();
    header.head.store(head);
    put(0, &header, sizeof header);
    for (int i = 0; i < 40 && !input.empty(); ++i) {
        if (input.byte() % 2 == 0) {
            Record record;
            record.time = input.wide();
            record.event = input.raw<std::uint16_t>();
            record.a = input.number();
            // Close to the head, so that the reader finds it.
            const std::uint64_t index = head - input.byte() - 1;
            record.sequence = index + 1 + input.byte() / 200;
            put(Scope::kRecordsAt + index % Scope::kRecords * sizeof record, &record,
                sizeof record);
        } else {
            const std::size_t at =
                Scope::kCountersAt + input.below(Scope::kSlots) * sizeof(ChannelCounters);
            const std::uint32_t words[2] = {input.number(), input.number()};
            put(at, words, sizeof words);
        }
    }

    const auto records = Scope::read(bytes.first(size));
    FUZZ_CHECK(records.size() <= Scope::kRecords);
    FUZZ_CHECK(size == Scope::kBytes || records.empty());
    for (std::size_t i = 0; i < records.size(); ++i) {
        // Each is one of the newest, and they come in order (a hostile head may pass 2^64).
        FUZZ_CHECK(head - (records[i].sequence - 1) - 1 < Scope::kRecords);
        if (i > 0) FUZZ_CHECK(head - records[i].sequence < head - records[i - 1].sequence);
    }
    FUZZ_CHECK(Scope::read_counters(bytes.first(size)).size() <= Scope::kSlots);

    // The next life of the process goes on writing to it.
    Scope scope(bytes.data(), 3, 1);
    scope.enable(true);
    for (int i = 0; i < 3; ++i) scope.write(i, Event::mark, Record::kNoLink, 7);
    dirty.emplace_back(0, Scope::kRecordsAt);
    for (std::uint64_t i = 0; i < 3; ++i)
        dirty.emplace_back(Scope::kRecordsAt + (head + i) % Scope::kRecords * sizeof(Record),
                           sizeof(Record));
    dirty.emplace_back(Scope::kRecordsAt, 3 * sizeof(Record));
    if (ChannelCounters* slot = scope.take_counters()) {
        const auto* at = reinterpret_cast<std::byte*>(slot);
        FUZZ_CHECK(at >= bytes.data() + Scope::kCountersAt);
        FUZZ_CHECK(at + sizeof *slot <= bytes.data() + Scope::kRecordsAt);
        Scope::close_counters(*slot);
    }
    FUZZ_CHECK(Scope::read(bytes).size() <= Scope::kRecords);
    for (const auto& [at, count] : dirty) std::memset(bytes.data() + at, 0, count);
}
