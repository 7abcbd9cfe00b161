#include "hyplink/hyp/grants.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "check.hpp"
#include "hyplink/sys/call.hpp"
#include "hyplink/sys/memfd.hpp"

using namespace hyplink;
using namespace hyplink::hyp;

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
constexpr std::uint64_t kPages = 12;
constexpr std::uint32_t kRead = kGrantRead | kGrantCpu;
constexpr std::uint32_t kBoth = kGrantRead | kGrantWrite | kGrantCpu;

Limits limits() {
    Limits made;
    made.grant_level = GrantLevel::memfd;
    return made;
}

std::shared_ptr<sys::Fd> object(std::uint64_t bytes) {
    auto fd = sys::make_open_memfd("check", bytes);
    return fd ? std::make_shared<sys::Fd>(*std::move(fd)) : nullptr;
}

MemCall call(VmId vm, std::uint32_t flags, std::uint64_t page, std::uint64_t count) {
    MemCall made;
    made.vm = vm;
    made.flags = flags;
    made.app = 1;
    made.ranges = {{kBase + page * kPage, count * kPage}};
    made.objects = {object(count * kPage)};
    return made;
}

/// Rights by page and importer: all there is to know.
using Model = std::map<std::pair<std::uint64_t, VmId>, std::uint32_t>;

Model told(const GrantTable& table) {
    Model model;
    for (const GrantRow& row : table.rows())
        for (std::uint64_t at = row.range.at; at < row.range.at + row.range.bytes; at += kPage)
            model[{(at - kBase) / kPage, row.importer}] = row.rights;
    return model;
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

}  // namespace

CHECK_CASE("random grants and denies leave exactly what a model of pages says, whatever fails") {
    std::mt19937_64 dice(20261127);
    auto roll = [&](std::uint64_t below) { return dice() % below; };
    const std::size_t descriptors = open_descriptors();
    std::size_t granted = 0;
    std::size_t denied = 0;
    std::size_t failed = 0;
    std::size_t mixed = 0;
    {
        GrantTable table;
        REQUIRE(table.add_region(1, 1, {kBase, kPages * kPage}, limits()));
        Model model;
        for (int turn = 0; turn < 30'000; ++turn) {
            const VmId vm = 2 + static_cast<VmId>(roll(3));
            const std::uint64_t page = roll(kPages);
            const std::uint64_t count = 1 + roll(std::min<std::uint64_t>(3, kPages - page));
            const bool deny = roll(2) == 0;
            std::uint32_t flags = roll(2) == 0 ? kRead : kBoth;
            // Mostly something that may succeed.
            if (const auto has = model.find({page, vm}); deny && has != model.end() && roll(8) != 0)
                flags = has->second;
            const MemCall wanted = call(vm, flags, page, count);
            if (roll(4) == 0) sys::fail_nth_call(1 + roll(6), ENOMEM);
            const Errc outcome = deny ? table.deny(1, wanted, limits()).code()
                                      : table.grant(1, wanted, limits()).code();
            sys::fail_nth_call(0, 0);
            if (outcome == Errc::no_memory) ++failed;
            if (outcome == Errc::ok) {
                ++(deny ? denied : granted);
                for (std::uint64_t each = page; each < page + count; ++each) {
                    if (deny) {
                        EXPECT_EQ((model[{each, vm}]), flags);
                        model.erase({each, vm});
                    } else {
                        EXPECT(!model.contains({each, vm}));
                        model[{each, vm}] = flags;
                    }
                }
            } else if (outcome == Errc::bad_argument) {
                bool whole = deny;
                for (std::uint64_t each = page; each < page + count; ++each) {
                    const auto found = model.find({each, vm});
                    whole = whole && found != model.end() && found->second == flags;
                }
                // One object for all of it: whoever keeps some must keep it all.
                std::set<std::set<VmId>> keepers;
                for (std::uint64_t each = page; each < page + count; ++each) {
                    std::set<VmId> keep;
                    for (VmId who = 2; who < 5; ++who)
                        if (who != vm && model.contains({each, who})) keep.insert(who);
                    keepers.insert(keep);
                }
                EXPECT(!whole || keepers.size() > 1);
                mixed += whole ? 1 : 0;
            }
            REQUIRE(told(table) == model);
            const bool all = table.verify(vm, 1, flags, wanted.ranges[0]).has_value();
            bool expected = true;
            for (std::uint64_t each = page; each < page + count; ++each) {
                const auto found = model.find({each, vm});
                expected = expected && found != model.end() && (flags & ~found->second) == 0;
            }
            REQUIRE(all == expected);
            REQUIRE(table.grants_of(1) == table.rows().size());
            // An object leads nobody to pages that he was not granted: who maps it has all of it.
            std::map<std::uint32_t, std::set<std::set<VmId>>> holders;  // by object
            for (const GrantRow& row : table.rows()) {
                std::set<VmId> all_of_it;
                for (VmId who = 2; who < 5; ++who)
                    if (model.contains({(row.range.at - kBase) / kPage, who}))
                        all_of_it.insert(who);
                holders[row.generation].insert(all_of_it);
            }
            for (const auto& [generation, sets] : holders) REQUIRE(sets.size() == 1);
            // One object is never sealed against one and open to another.
            for (std::uint64_t each = 0; each < kPages; ++each) {
                std::set<std::uint32_t> rights;
                for (VmId who = 2; who < 5; ++who)
                    if (const auto found = model.find({each, who}); found != model.end())
                        rights.insert(found->second);
                REQUIRE(rights.size() <= 1);
            }
        }
    }
    EXPECT(granted > 1000);
    EXPECT(denied > 1000);
    EXPECT(failed > 100);
    EXPECT(mixed > 100);
    EXPECT_EQ(open_descriptors(), descriptors);
}

CHECK_CASE("what is denied is empty in the object that was given away, the rest of it is not") {
    GrantTable table;
    REQUIRE(table.add_region(1, 1, {kBase, kPages * kPage}, limits()));
    for (std::uint32_t flags : {kRead, kBoth}) {
        MemCall wanted = call(2, flags, 0, 3);
        const std::string full(3 * kPage, 'x');
        REQUIRE(sys::fill(wanted.objects[0]->get(), reinterpret_cast<const std::byte*>(full.data()),
                          full.size()));
        REQUIRE(table.grant(1, wanted, limits()));
        auto pieces = table.map(2, wanted.ranges[0], false, hyp::Show::whole);
        REQUIRE(pieces);
        REQUIRE(pieces->size() == 1);
        REQUIRE(table.deny(1, call(2, flags, 1, 1), limits()));
        char seen[3];
        for (int page = 0; page < 3; ++page)
            EXPECT_EQ(::pread((*pieces)[0].fd->get(), seen + page, 1, page * 4096), 1);
        EXPECT_EQ(std::string(seen, 3), std::string("x\0x", 3));
        EXPECT_EQ(table.map(2, wanted.ranges[0], false, hyp::Show::whole).code(),
                  Errc::access_denied);
        REQUIRE(table.deny(1, call(2, flags, 0, 1), limits()));
        REQUIRE(table.deny(1, call(2, flags, 2, 1), limits()));
        EXPECT_EQ(table.extents(), 0U);
    }
}

CHECK_CASE("an object that its maker sealed, of another size, or given twice is refused") {
    GrantTable table;
    REQUIRE(table.add_region(1, 1, {kBase, kPages * kPage}, limits()));
    MemCall wanted = call(2, kRead, 0, 2);
    wanted.objects[0] = object(kPage);
    EXPECT_EQ(table.grant(1, wanted, limits()).code(), Errc::bad_argument);
    auto sealed = sys::make_memfd("check", 2 * kPage);
    REQUIRE(sealed);
    wanted.objects[0] = std::make_shared<sys::Fd>(*std::move(sealed));
    EXPECT_EQ(table.grant(1, wanted, limits()).code(), Errc::not_permitted);
    wanted.objects[0].reset();
    EXPECT_EQ(table.grant(1, wanted, limits()).code(), Errc::bad_argument);
    wanted.ranges = {{kBase, kPage}, {kBase + kPage, kPage}};
    wanted.objects = {object(kPage), nullptr};
    wanted.objects[1] = wanted.objects[0];
    EXPECT_EQ(table.grant(1, wanted, limits()).code(), Errc::not_permitted);
    // Sealed against writing it could never be emptied.
    wanted.ranges = {{kBase, kPage}};
    for (const int seal : {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE})
        for (const std::uint32_t rights : {kRead, kRead | kGrantWrite}) {
            wanted.flags = rights;
            wanted.objects = {object(kPage)};
            REQUIRE(::fcntl(wanted.objects[0]->get(), F_ADD_SEALS, seal) == 0);
            EXPECT_EQ(table.grant(1, wanted, limits()).code(), Errc::not_permitted);
        }
    EXPECT_EQ(table.extents(), 0U);
}

CHECK_CASE("more grants than the quota, and more memory, are refused") {
    GrantTable table;
    Limits small = limits();
    small.max_grants = 2;
    small.max_ram = kPages * kPage;
    REQUIRE(table.add_region(1, 1, {kBase, kPages * kPage}, small));
    EXPECT_EQ(table.add_region(1, 1, {2 * kBase, kPage}, small).code(), Errc::over_quota);
    REQUIRE(table.grant(1, call(2, kRead, 0, 1), small));
    REQUIRE(table.grant(1, call(2, kRead, 1, 1), small));
    EXPECT_EQ(table.grant(1, call(2, kRead, 2, 1), small).code(), Errc::over_quota);
    REQUIRE(table.deny(1, call(2, kRead, 0, 1), limits()));
    EXPECT(table.grant(1, call(2, kRead, 2, 1), small));
    table.drop_region(kBase);
    EXPECT(table.add_region(1, 1, {2 * kBase, kPage}, small));
}

CHECK_CASE("an exporter that has ended is taken from without touching what its next life granted") {
    GrantTable table;
    REQUIRE(table.add_region(1, 1, {kBase, kPages * kPage}, limits()));
    REQUIRE(table.grant(1, call(2, kRead, 0, 1), limits()));
    REQUIRE(table.grant(1, call(3, kRead, 0, 1), limits()));
    EXPECT(table.exporter_ended(1));
    EXPECT_EQ(table.importers_of_ended(1), 0xcU);
    EXPECT_EQ(table.map(2, {kBase, kPage}, false, hyp::Show::whole).code(), Errc::access_denied);
    EXPECT_EQ(table.grant(1, call(2, kRead, 1, 1), limits()).code(), Errc::not_permitted);
    REQUIRE(table.add_region(1, 1, {2 * kBase, kPage}, limits()));
    MemCall next = call(2, kRead, 0, 1);
    next.ranges[0].at = 2 * kBase;
    REQUIRE(table.grant(1, next, limits()));
    EXPECT_EQ(table.revoke_ended(1).size(), 2U);
    EXPECT_EQ(table.rows().size(), 1U);
    EXPECT_EQ(table.rows()[0].range.at, 2 * kBase);
    EXPECT_EQ(table.grants_of(1), 1U);
}
