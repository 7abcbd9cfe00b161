#include "hyplink/compat/nkddi.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "hyplink/app/memory/vm_memory.hpp"
#include "hyplink/app/nkddi/vlink_driver.hpp"
#include "hyplink/compat/place.hpp"

namespace {

using namespace hyplink;
using compat::failed;
using compat::last_error;
using nkddi::Nkddi;

static_assert(sizeof(NkDevVlink) == sizeof(hyp::VlinkDescriptor));
static_assert(offsetof(NkDevVlink, link) == offsetof(hyp::VlinkDescriptor, link));
static_assert(offsetof(NkDevVlink, s_id) == offsetof(hyp::VlinkDescriptor, s_id));
static_assert(offsetof(NkDevVlink, s_state) == offsetof(hyp::VlinkDescriptor, s_state));
static_assert(offsetof(NkDevVlink, c_id) == offsetof(hyp::VlinkDescriptor, c_id));
static_assert(offsetof(NkDevVlink, c_state) == offsetof(hyp::VlinkDescriptor, c_state));
static_assert(offsetof(NkDevVlink, index) == offsetof(hyp::VlinkDescriptor, index));
static_assert(offsetof(NkDevVlink, s_info) == offsetof(hyp::VlinkDescriptor, s_info));
static_assert(offsetof(NkDevVlink, c_info) == offsetof(hyp::VlinkDescriptor, c_info));
static_assert(NK_XIRQ_SYSCONF == kSysconf);
static_assert(NK_DEV_VLINK_OFF == static_cast<std::uint32_t>(LinkState::off));
static_assert(NK_DEV_VLINK_RESET == static_cast<std::uint32_t>(LinkState::reset));
static_assert(NK_DEV_VLINK_ON == static_cast<std::uint32_t>(LinkState::on));

/// The C names take no handle, so there is one.
std::unique_ptr<Nkddi>& place() {
    static std::unique_ptr<Nkddi> only;
    return only;
}

Nkddi* connected() {
    if (!place()) last_error() = "not connected: hyplink_nkddi_init() comes first";
    return place().get();
}

/// What this program has of its VM's memory and of others', opened when it is first used.
struct Memory {
    std::mutex mutex;
    std::shared_ptr<app::VmMemory> open;
    std::map<NkPhAddr, std::shared_ptr<app::VmMemory::Block>> blocks;
    std::map<void*, std::shared_ptr<app::VmMemory::Window>> windows;
};
Memory& memory() {
    static Memory only;
    return only;
}

/// With the mutex held.
Result<app::VmMemory*> open_memory() {
    Nkddi* nk = connected();
    if (nk == nullptr) return Error::make(Errc::link_down, last_error());
    if (!memory().open)
        memory().open = HYPLINK_TRY(app::VmMemory::open(nk->application().shared_from_this()));
    return memory().open.get();
}

void* map_granted(NkPhAddr address, NkPhSize size) {
    const std::lock_guard lock(memory().mutex);
    const auto opened = open_memory();
    if (!opened) return nullptr;
    auto window = (*opened)->map({address, size}, true);
    if (!window) window = (*opened)->map({address, size}, false);
    if (!window) return nullptr;
    void* at = const_cast<std::byte*>((*window)->data());
    memory().windows.emplace(at, *window);
    return at;
}

using GrantCall = Status (app::VmMemory::*)(VmId, std::uint32_t, std::span<const hyp::MemRange>);
int grant_call(GrantCall call, NkOsId vmid, unsigned int flags, unsigned int count,
               const NkMemMap* rgns) {
    // More than one call takes are refused before anything is read or allocated.
    if (vmid < 0 || rgns == nullptr || count == 0 || count > hyp::MemCall::kMostRanges)
        return -failed(Error::make(Errc::bad_argument, "grants: 1 to 8192 regions, of a VM"));
    std::vector<hyp::MemRange> ranges;
    for (unsigned int i = 0; i < count; ++i) ranges.push_back({rgns[i].addr, rgns[i].size});
    const std::lock_guard lock(memory().mutex);
    const auto opened = open_memory();
    if (!opened) return -failed(opened.error());
    const Status done = ((*opened)->*call)(static_cast<VmId>(vmid), flags, ranges);
    return done ? 0 : -failed(done.error());
}

/// The value of a result, or 0 and its text kept.
template <class T, class Number>
Number or_zero(Result<T> result, Number T::* member) {
    if (result) return (*result).*member;
    failed(result.error());
    return 0;
}

extern "C" {

NkOsId id_get() {
    Nkddi* nk = connected();
    return nk == nullptr ? 0 : static_cast<NkOsId>(nk->id());
}
NkOsId last_id_get() {
    Nkddi* nk = connected();
    return nk == nullptr ? 0 : static_cast<NkOsId>(nk->last_id());
}
NkOsMask running_ids_get() {
    Nkddi* nk = connected();
    if (nk == nullptr) return 0;
    const auto mask = nk->running_ids();
    if (!mask) failed(mask.error());
    return mask ? *mask : 0;
}
std::uint32_t info(NkInfoType, void*, std::uint32_t) { return 0; }
NkPhAddr dev_lookup(std::uint32_t, NkPhAddr) { return 0; }
NkPhAddr dev_alloc(NkPhSize) { return 0; }
NkPhAddr vlink_lookup(const char* name, NkPhAddr previous) {
    Nkddi* nk = connected();
    // An empty name finds all vlinks in the C++ form; here it is the name of none.
    if (nk == nullptr || name == nullptr || *name == '\0') return 0;
    return nk->vlink_lookup(name, mem::Ipa{previous}).value;
}

NkPhAddr pdev_alloc(NkPhAddr link, NkResourceId id, NkPhSize size) {
    Nkddi* nk = connected();
    return nk == nullptr ? 0 : or_zero(nk->pdev_alloc(mem::Ipa{link}, id, size), &mem::Ipa::value);
}
NkPhAddr pmem_alloc(NkPhAddr link, NkResourceId id, NkPhSize size) {
    Nkddi* nk = connected();
    return nk == nullptr ? 0 : or_zero(nk->pmem_alloc(mem::Ipa{link}, id, size), &mem::Ipa::value);
}
NkXIrq pxirq_alloc(NkPhAddr link, NkResourceId id, NkOsId owner, int count) {
    Nkddi* nk = connected();
    if (nk == nullptr) return 0;
    const auto first = nk->pxirq_alloc(mem::Ipa{link}, id, static_cast<VmId>(owner),
                                       count < 0 ? 0U : static_cast<std::uint32_t>(count));
    if (!first) failed(first.error());
    return first ? *first : 0;
}
NkXIrq xirq_alloc(int) {
    last_error() = "a number belongs to a vlink here: nk_pxirq_alloc";
    return 0;
}

NkXIrqId attach(NkXIrq xirq, NkXIrqHandler handler, void* cookie, bool masked) {
    Nkddi* nk = connected();
    if (nk == nullptr) return 0;
    const auto id = nk->attach(
        xirq,
        [handler, cookie](XirqNumber number) {
            if (handler != nullptr) handler(cookie, number);
        },
        masked);
    if (!id) failed(id.error());
    return id ? *id : 0;
}
NkXIrqId xirq_attach(NkXIrq xirq, NkXIrqHandler handler, void* cookie) {
    return attach(xirq, handler, cookie, false);
}
NkXIrqId xirq_attach_masked(NkXIrq xirq, NkXIrqHandler handler, void* cookie) {
    return attach(xirq, handler, cookie, true);
}
void xirq_detach(NkXIrqId id) {
    if (Nkddi* nk = connected()) nk->detach(id);
}
void xirq_mask(NkXIrq xirq) {
    if (Nkddi* nk = connected()) nk->mask(xirq);
}
void xirq_unmask(NkXIrq xirq) {
    if (Nkddi* nk = connected()) nk->unmask(xirq);
}
void xirq_trigger(NkXIrq xirq, NkOsId destination) {
    Nkddi* nk = connected();
    if (nk == nullptr) return;
    if (const Status done = nk->trigger(xirq, static_cast<VmId>(destination)); !done)
        failed(done.error());
}

void* mem_map(NkPhAddr address, NkPhSize size) {
    Nkddi* nk = connected();
    if (nk == nullptr) return nullptr;
    const auto window = nk->map(mem::Ipa{address}, size);
    if (window) return window->data;
    if (void* granted = map_granted(address, size)) return granted;
    failed(window.error());
    return nullptr;
}
void* ptov(NkPhAddr address) {
    Nkddi* nk = connected();
    if (nk == nullptr) return nullptr;
    const auto window = nk->map(mem::Ipa{address}, 1);
    if (!window) failed(window.error());
    return window ? window->data : nullptr;
}
NkPhAddr vtop(void* pointer) {
    Nkddi* nk = connected();
    return nk == nullptr ? 0 : nk->vtop(pointer).value;
}
void mem_unmap(void* pointer, NkPhAddr, NkPhSize) {
    const std::lock_guard lock(memory().mutex);
    const auto found = memory().windows.find(pointer);
    if (found == memory().windows.end()) return;
    if (const Status done = memory().open->unmap(found->second); !done) failed(done.error());
    memory().windows.erase(found);
}

NkPhSize mem_copy_to(NkPhAddr to, const void* from, NkPhSize size) {
    Nkddi* nk = connected();
    size = nk == nullptr ? 0 : std::min(size, nk->bytes_at(mem::Ipa{to}));
    void* target = size == 0 ? nullptr : mem_map(to, size);
    if (target == nullptr) return 0;
    std::memcpy(target, from, static_cast<std::size_t>(size));
    return size;
}
NkPhSize mem_copy_from(void* to, NkPhAddr from, NkPhSize size) {
    Nkddi* nk = connected();
    size = nk == nullptr ? 0 : std::min(size, nk->bytes_at(mem::Ipa{from}));
    const void* source = size == 0 ? nullptr : mem_map(from, size);
    if (source == nullptr) return 0;
    std::memcpy(to, source, static_cast<std::size_t>(size));
    return size;
}

std::uint32_t mask2bit(std::uint32_t mask) {
    return static_cast<std::uint32_t>(std::countr_zero(mask));
}
std::uint32_t bit2mask(std::uint32_t bit) { return bit < 32 ? 1U << bit : 0; }
void atomic_clear(volatile std::uint32_t* word, std::uint32_t bits) {
    __atomic_fetch_and(word, ~bits, __ATOMIC_SEQ_CST);
}
void atomic_set(volatile std::uint32_t* word, std::uint32_t bits) {
    __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST);
}
void atomic_sub(volatile std::uint32_t* word, std::uint32_t value) {
    __atomic_fetch_sub(word, value, __ATOMIC_SEQ_CST);
}
void atomic_add(volatile std::uint32_t* word, std::uint32_t value) {
    __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}

}  // extern "C"

Status as_status(int number, const char* what) {
    return number == 0 ? Status{} : Status(Error::make(static_cast<Errc>(number), what));
}

}  // namespace

const NkDevOps nkops = {
    6,           id_get,      last_id_get,  running_ids_get, info,
    dev_lookup,  dev_lookup,  dev_alloc,    vlink_lookup,    pdev_alloc,
    pmem_alloc,  pxirq_alloc, xirq_alloc,   xirq_attach,     xirq_attach_masked,
    xirq_detach, xirq_mask,   xirq_unmask,  xirq_trigger,    ptov,
    vtop,        mem_map,     mem_unmap,    mem_copy_to,     mem_copy_from,
    mask2bit,    bit2mask,    atomic_clear, atomic_set,      atomic_sub,
    atomic_add,
};

int hyp_call_vm_mem_grant(NkOsId vmid, unsigned int flags, unsigned int count, NkMemMap* rgns) {
    return grant_call(&app::VmMemory::grant, vmid, flags, count, rgns);
}
int hyp_call_vm_mem_deny(NkOsId vmid, unsigned int flags, unsigned int count, NkMemMap* rgns) {
    return grant_call(&app::VmMemory::deny, vmid, flags, count, rgns);
}
int hyp_call_vm_mem_verify(NkOsId vmid, unsigned int count, NkMemMap* rgns) {
    return grant_call(&app::VmMemory::verify, vmid, HYP_VM_MEM_GRANT_FLAGS_READ, count, rgns);
}

void* hyplink_mem_alloc(NkPhSize size, NkPhAddr* address) {
    const std::lock_guard lock(memory().mutex);
    const auto opened = open_memory();
    if (!opened) return failed(opened.error()), nullptr;
    const auto block = (*opened)->alloc(size);
    if (!block) return failed(block.error()), nullptr;
    memory().blocks.emplace((*block)->at(), *block);
    if (address != nullptr) *address = (*block)->at();
    return (*block)->data();
}
int hyplink_mem_free(NkPhAddr address) {
    const std::lock_guard lock(memory().mutex);
    const auto found = memory().blocks.find(address);
    if (found == memory().blocks.end())
        return -failed(Error::make(Errc::not_permitted, "no memory of this program begins there"));
    const Status done = memory().open->free(found->second);
    if (!done) return -failed(done.error());
    memory().blocks.erase(found);
    return 0;
}

int hyplink_nkddi_init() {
    last_error().clear();
    if (place()) return 0;
    auto application = compat::application();
    if (!application) return failed(application.error());
    auto made = Nkddi::open(*application);
    if (!made) return failed(made.error());
    place() = *std::move(made);
    return 0;
}

int hyplink_nkddi_dispatch(int timeout_ms) {
    Nkddi* nk = connected();
    if (nk == nullptr) return -static_cast<int>(Errc::link_down);
    const Deadline deadline =
        timeout_ms < 0 ? Deadline::never() : nk->runtime().in(std::int64_t{timeout_ms} * 1'000'000);
    const auto delivered = nk->dispatch(deadline);
    if (delivered) return static_cast<int>(*delivered);
    return delivered.code() == Errc::timed_out ? 0 : -failed(delivered.error());
}

void hyplink_nkddi_exit() {
    if (!place()) return;
    {
        const std::lock_guard lock(memory().mutex);
        if (memory().open) memory().open->close();
        memory().open.reset();
        memory().blocks.clear();
        memory().windows.clear();
    }
    place()->close();
    place().reset();
}

const char* hyplink_nkddi_error() { return last_error().c_str(); }

struct HyplinkVlink {
    nkddi::VlinkDriver driver;
};

HyplinkVlink* hyplink_vlink_open(NkPhAddr link, int server, const HyplinkVlinkOps* ops,
                                 void* cookie) {
    Nkddi* nk = connected();
    const Role role = server != 0 ? Role::server : Role::client;
    if (nk == nullptr) return nullptr;
    if (ops == nullptr || !nk->is_own(mem::Ipa{link}, role)) {
        failed(Error::make(Errc::not_permitted, "hyplink_vlink_open: not an end of this VM"));
        return nullptr;
    }
    const HyplinkVlinkOps calls = *ops;
    nkddi::VlinkCallbacks callbacks;
    if (calls.reset != nullptr)
        callbacks.reset = [=] { return as_status(calls.reset(cookie), "reset"); };
    if (calls.start != nullptr)
        callbacks.start = [=] { return as_status(calls.start(cookie), "start"); };
    if (calls.up != nullptr) callbacks.up = [=] { return calls.up(cookie), Status{}; };
    if (calls.down != nullptr) callbacks.down = [=] { return calls.down(cookie), Status{}; };
    return new HyplinkVlink{nkddi::VlinkDriver(*nk, mem::Ipa{link}, role, std::move(callbacks))};
}

int hyplink_vlink_step(HyplinkVlink* vlink) {
    const Status done = vlink->driver.step();
    return done ? 0 : failed(done.error());
}

int hyplink_vlink_target(HyplinkVlink* vlink, int up) {
    vlink->driver.set_target(up != 0);
    return hyplink_vlink_step(vlink);
}

int hyplink_vlink_is_up(const HyplinkVlink* vlink) { return vlink->driver.is_up() ? 1 : 0; }

void hyplink_vlink_close(HyplinkVlink* vlink) {
    if (vlink == nullptr) return;
    (void)hyplink_vlink_target(vlink, 0);
    delete vlink;
}
