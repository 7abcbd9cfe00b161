#include "hyplink/guest/ion.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hyplink/base/text.hpp"
#include "hyplink/sys/memfd.hpp"

namespace hyplink::guest {
namespace {

constexpr std::string_view kClass = "vrpc";
constexpr std::string_view kName = "vion";
constexpr std::size_t kMaxExports = 4096;
constexpr unsigned kVmShift = 56;  // an id says in its top byte whose buffer it is
constexpr std::uint64_t kLeastBytes = 64;

enum class Op : std::uint32_t { import = 1, release = 2 };

struct Ask {
    Op op;
    std::uint32_t reserved;
    std::uint64_t id;
};
struct Answer {
    std::uint32_t error;  ///< an Errc
    std::uint32_t reserved;
    std::uint64_t address, bytes;
};

template <class Message>
RpcLink::Bytes to_bytes(const Message& message) {
    RpcLink::Bytes bytes(sizeof message);
    std::memcpy(bytes.data(), &message, sizeof message);
    return bytes;
}

/// A buffer of this VM.
struct Export {
    struct Lent {
        mem::Ipa at;
        bool imported = false;  ///< somebody there has it
    };
    std::shared_ptr<sys::Fd> object;
    std::uint64_t bytes = 0;
    std::uint32_t handles = 0;  ///< of applications here
    /// It stays lent while applications here have it: what somebody there keeps of an import that
    /// has ended (a descriptor, a mapping) must be emptied with this VM's death, too.
    std::map<RpcLink*, Lent> lent;

    bool imported() const {
        return std::any_of(lent.begin(), lent.end(),
                           [](const auto& entry) { return entry.second.imported; });
    }
};

/// A buffer of another VM that applications here have.
struct Import {
    hyp::Loan loan;
    RpcLink* link = nullptr;
    struct Holder {
        AppId app = 0;
        std::uint32_t handle = 0;  ///< as the application knows it
    };
    std::map<std::uint32_t, Holder> holders;  ///< by a number of ours
    std::uint32_t asking = 0;                 ///< requests for it under way
};

class IonDriver final : public Driver {
   public:
    explicit IonDriver(GuestKernel& kernel) : kernel_(&kernel) {}

    Status add(const IonEnd& ion) {
        const RpcInfo server = HYPLINK_TRY(RpcInfo::parse(ion.server_info));
        const RpcInfo client = HYPLINK_TRY(RpcInfo::parse(ion.client_info));
        auto& link = links_.emplace_back(std::make_unique<RpcLink>(
            *kernel_, *ion.end, std::max({server.bytes, client.bytes, kLeastBytes})));
        HYPLINK_TRY(link->allocate());
        RpcLink* made = link.get();
        if (ion.end->role() == Role::server) {
            made->serve(
                [this, made](std::span<const std::byte> data) { return serve(*made, data); });
            made->on_down([this, made] { forget_borrower(*made); });
        } else {
            made->on_down([this, made] { lose_imports(*made); });
        }
        return {};
    }

    std::vector<std::string> devices() const override { return {std::string(kName)}; }
    Result<std::unique_ptr<Handle>> open(AppId, const std::string&) override;
    bool handle(Pending pending, Handle& handle, SysRequest& request) override;

    void close_export(std::uint64_t id) {
        auto found = exports_.find(id);
        if (found == exports_.end()) return;
        --found->second.handles;
        drop_unused(found);
    }
    void close_import(std::uint64_t id, std::uint32_t number) {
        auto found = imports_.find(id);
        if (found == imports_.end()) return;
        found->second.holders.erase(number);
        release_unused(found);
    }

   private:
    using Exports = std::map<std::uint64_t, Export>;
    using Imports = std::map<std::uint64_t, Import>;

    void export_buffer(Pending pending, SysRequest& request);
    void import_buffer(Pending pending, std::uint64_t id);
    void import_own(Pending pending, std::uint64_t id);
    /// Ask the kernel at the other end; its answer, if there is one.
    void ask(RpcLink& link, Op op, std::uint64_t id, std::function<void(Result<Answer>)> done);
    /// A request for a buffer, until its answer comes; its application may withdraw it meanwhile.
    struct Asking {
        Pending pending;
        bool wanted = true;
    };
    void imported(const Asking& asking, std::uint64_t id, RpcLink& link,
                  const Result<Answer>& answer);
    void hand_out(Pending pending, std::uint64_t id, Import& import);

    RpcLink::Bytes serve(RpcLink& link, std::span<const std::byte> data);
    Answer lend(RpcLink& link, std::uint64_t id);
    void take_back(RpcLink& link, Exports::iterator found);
    void forget_borrower(RpcLink& link);
    void lose_imports(RpcLink& link);
    void drop_unused(Exports::iterator found);
    void release_unused(Imports::iterator found);
    RpcLink* link_to(VmId vm);

    GuestKernel* kernel_;
    std::vector<std::unique_ptr<RpcLink>> links_;
    Exports exports_;
    Imports imports_;
    std::uint64_t last_ = 0;
    std::uint32_t next_number_ = 1;
};

class IonDevice final : public Handle {
   public:
    void close() override {}
};

class ExportHandle final : public Handle {
   public:
    ExportHandle(IonDriver& driver, std::uint64_t id) : driver_(&driver), id_(id) {}
    void close() override { driver_->close_export(id_); }

   private:
    IonDriver* driver_;
    std::uint64_t id_;
};

class ImportHandle final : public Handle {
   public:
    ImportHandle(IonDriver& driver, std::uint64_t id, std::uint32_t number)
        : driver_(&driver), id_(id), number_(number) {}
    void close() override { driver_->close_import(id_, number_); }

   private:
    IonDriver* driver_;
    std::uint64_t id_;
    std::uint32_t number_;
};

Result<std::unique_ptr<Handle>> IonDriver::open(AppId, const std::string&) {
    return std::unique_ptr<Handle>(std::make_unique<IonDevice>());
}

bool IonDriver::handle(Pending pending, Handle& handle, SysRequest& request) {
    if (dynamic_cast<IonDevice*>(&handle) == nullptr) return false;
    if (request.op == Sys::ion_export) {
        export_buffer(pending, request);
        return true;
    }
    if (request.op == Sys::ion_import) {
        import_buffer(pending, request.args[0]);
        return true;
    }
    return false;
}

RpcLink* IonDriver::link_to(VmId vm) {
    for (const auto& link : links_)
        if (link->end().role() == Role::client && link->end().peer_vm() == vm) return link.get();
    return nullptr;
}

// --- applications -------------------------------------------------------------------------------

void IonDriver::export_buffer(Pending pending, SysRequest& request) {
    if (request.fds.size() != 1)
        return kernel_->fail(pending, Errc::bad_argument, "export: expected one memory object");
    const int fd = request.fds[0]->get();
    const auto size = sys::file_size(fd);
    if (!size) return kernel_->fail(pending, size.code(), size.error().text());
    // Whoever could cut it short would end every process that looks at it.
    if (*size == 0 || *size % sys::page_size() != 0 || !sys::keeps_its_size(fd))
        return kernel_->fail(pending, Errc::bad_argument,
                             text("export an object of ", *size,
                                  " bytes: expected whole pages, sealed against shrinking"));
    if (exports_.size() >= kMaxExports)
        return kernel_->fail(pending, Errc::no_memory,
                             text("the VM exports ", kMaxExports, " buffers already"));
    // The clock never goes back, so no life of this VM gives an id of an earlier one.
    const auto now = static_cast<std::uint64_t>(kernel_->runtime().now());
    last_ = std::max(last_ + 1, now & ((std::uint64_t{1} << kVmShift) - 1));
    const std::uint64_t id = std::uint64_t{kernel_->identity().id} << kVmShift | last_;
    exports_[id] = Export{request.fds[0], *size, 1, {}};
    SysReply reply;
    reply.values[IonReply::handle] =
        kernel_->add_handle(pending.app, std::make_unique<ExportHandle>(*this, id));
    reply.values[IonReply::id] = id;
    reply.values[IonReply::bytes] = *size;
    kernel_->answer(pending, std::move(reply));
}

void IonDriver::import_buffer(Pending pending, std::uint64_t id) {
    const auto vm = static_cast<VmId>(id >> kVmShift);
    if (vm == kernel_->identity().id) return import_own(pending, id);
    RpcLink* link = link_to(vm);
    if (link == nullptr)
        return kernel_->fail(pending, Errc::no_such_link,
                             text("import 0x", std::hex, id, std::dec, ": a buffer of VM ", vm,
                                  ", to which no vrpc link of name vion leads"));
    if (auto found = imports_.find(id); found != imports_.end() && found->second.link != nullptr)
        return hand_out(pending, id, found->second);
    ++imports_[id].asking;
    // Withdrawn, it goes on: an import that nobody wants is released when it is there.
    auto asking = std::make_shared<Asking>(Asking{pending});
    kernel_->wait(pending, [this, asking] {
        asking->wanted = false;
        kernel_->fail(asking->pending, Errc::cancelled);
    });
    ask(*link, Op::import, id, [this, asking, id, link](const Result<Answer>& answer) {
        imported(*asking, id, *link, answer);
    });
}

void IonDriver::ask(RpcLink& link, Op op, std::uint64_t id,
                    std::function<void(Result<Answer>)> done) {
    link.call(to_bytes(Ask{op, 0, id}), [&link, op, done = std::move(done),
                                         began = kernel_->runtime().now()](
                                            Result<RpcLink::Bytes> bytes) {
        if (!bytes) return done(std::move(bytes).error());
        Answer answer{};
        const bool whole = bytes->size() == sizeof answer;
        if (whole) std::memcpy(&answer, bytes->data(), sizeof answer);
        link.book().answered(static_cast<std::uint32_t>(op), !whole || answer.error != 0, began);
        if (whole) return done(answer);
        done(Error::make(Errc::protocol, text("an answer of ", bytes->size(), " bytes")));
    });
}

void IonDriver::import_own(Pending pending, std::uint64_t id) {
    auto found = exports_.find(id);
    if (found == exports_.end())
        return kernel_->fail(pending, Errc::not_found,
                             text("import 0x", std::hex, id, ": no such buffer"));
    ++found->second.handles;
    SysReply reply;
    reply.values[IonReply::handle] =
        kernel_->add_handle(pending.app, std::make_unique<ExportHandle>(*this, id));
    reply.values[IonReply::id] = id;
    reply.values[IonReply::bytes] = found->second.bytes;
    reply.fds = {found->second.object};
    kernel_->answer(pending, std::move(reply));
}

void IonDriver::imported(const Asking& asking, std::uint64_t id, RpcLink& link,
                         const Result<Answer>& said) {
    auto found = imports_.find(id);
    if (found == imports_.end()) return;
    --found->second.asking;
    const auto refuse = [&](Errc code, const std::string& why) {
        if (asking.wanted)
            kernel_->fail(asking.pending, code, text("import 0x", std::hex, id, ": ", why));
        release_unused(found);
    };
    if (!said) return refuse(said.code(), said.error().text());
    const Answer answer = *said;
    if (answer.error != 0)
        return refuse(answer.error < 4096 ? static_cast<Errc>(answer.error) : Errc::protocol,
                      text("VM ", link.end().peer_vm(), " has no such buffer, or no room"));
    // The hypervisor says what was lent; what the peer says must be the same.
    auto loan = kernel_->hypercalls().borrow(link.end().slot(), mem::Ipa{answer.address});
    if (!loan) return refuse(loan.code(), loan.error().text());
    if (loan->at.value != answer.address || loan->bytes != answer.bytes || loan->offset != 0)
        return refuse(Errc::protocol, text("VM ", link.end().peer_vm(), " describes ", answer.bytes,
                                           " bytes, lent are ", loan->bytes));
    const std::uint64_t loan_bytes = loan->bytes;
    found->second.loan = *std::move(loan);
    if (found->second.link == nullptr) link.book().add(loan_bytes);
    found->second.link = &link;
    if (asking.wanted) hand_out(asking.pending, id, found->second);
    release_unused(found);
}

void IonDriver::hand_out(Pending pending, std::uint64_t id, Import& import) {
    const std::uint32_t number = next_number_++;
    const std::uint32_t handle =
        kernel_->add_handle(pending.app, std::make_unique<ImportHandle>(*this, id, number));
    import.holders[number] = {pending.app, handle};
    SysReply reply;
    reply.values[IonReply::handle] = handle;
    reply.values[IonReply::id] = id;
    reply.values[IonReply::bytes] = import.loan.bytes;
    reply.fds = {import.loan.object};
    kernel_->answer(pending, std::move(reply));
}

void IonDriver::release_unused(Imports::iterator found) {
    const std::uint64_t id = found->first;
    if (!found->second.holders.empty() || found->second.asking != 0) return;
    RpcLink* link = found->second.link;
    if (link != nullptr) link->book().remove(found->second.loan.bytes);
    imports_.erase(found);
    if (link == nullptr || !link->end().is_up()) return;  // its death released everything
    ask(*link, Op::release, id, [](const Result<Answer>&) {});
}

void IonDriver::lose_imports(RpcLink& link) {
    for (auto import = imports_.begin(); import != imports_.end();) {
        auto current = import++;
        if (current->second.link != &link) continue;
        current->second.link = nullptr;  // a later import asks anew
        link.book().remove(current->second.loan.bytes);
        for (const auto& [number, holder] : std::exchange(current->second.holders, {})) {
            SysReply word;
            word.code = Errc::peer_dead;
            word.values[0] = holder.handle;
            kernel_->tell(holder.app, std::move(word));
        }
        release_unused(current);
    }
}

// --- the exporter's side
// --------------------------------------------------------------------------

RpcLink::Bytes IonDriver::serve(RpcLink& link, std::span<const std::byte> data) {
    Ask ask{};
    Answer answer{static_cast<std::uint32_t>(Errc::protocol), 0, 0, 0};
    if (data.size() == sizeof ask) {
        std::memcpy(&ask, data.data(), sizeof ask);
        if (ask.op == Op::import) answer = lend(link, ask.id);
        if (ask.op == Op::release) {
            auto found = exports_.find(ask.id);
            if (found != exports_.end()) take_back(link, found);
            answer.error = 0;
        }
        link.book().answered(static_cast<std::uint32_t>(ask.op), answer.error != 0);
    }
    return to_bytes(answer);
}

Answer IonDriver::lend(RpcLink& link, std::uint64_t id) {
    const auto refused = [](Errc code) {
        return Answer{static_cast<std::uint32_t>(code), 0, 0, 0};
    };
    auto found = exports_.find(id);
    if (found == exports_.end()) return refused(Errc::not_found);
    Export& buffer = found->second;
    auto lent = buffer.lent.find(&link);
    if (lent == buffer.lent.end()) {
        const auto at = kernel_->hypercalls().lend(link.end().slot(), buffer.object, 0,
                                                   buffer.bytes, hyp::LoanKind::whole);
        if (!at) return refused(at.code());
        lent = buffer.lent.emplace(&link, Export::Lent{*at}).first;
    }
    if (!std::exchange(lent->second.imported, true)) link.book().add(buffer.bytes);
    return {0, 0, lent->second.at.value, buffer.bytes};
}

void IonDriver::take_back(RpcLink& link, Exports::iterator found) {
    auto lent = found->second.lent.find(&link);
    if (lent == found->second.lent.end() || !std::exchange(lent->second.imported, false)) return;
    link.book().remove(found->second.bytes);
    drop_unused(found);
}

/// When neither anybody here nor anybody else has it.
void IonDriver::drop_unused(Exports::iterator found) {
    if (found->second.handles != 0 || found->second.imported()) return;
    for (const auto& [link, lent] : found->second.lent)
        (void)kernel_->hypercalls().recall(link->end().slot(), lent.at, false);
    exports_.erase(found);
}

void IonDriver::forget_borrower(RpcLink& link) {
    for (auto entry = exports_.begin(); entry != exports_.end();) take_back(link, entry++);
}

}  // namespace

bool carries_ion(std::string_view device_class, std::string_view info) {
    return device_class == kClass && info.substr(0, info.find(',')) == kName;
}

Result<std::unique_ptr<Driver>> make_ion_driver(GuestKernel& kernel,
                                                const std::vector<IonEnd>& ends) {
    if (ends.empty()) return std::unique_ptr<Driver>();
    auto driver = std::make_unique<IonDriver>(kernel);
    for (const IonEnd& end : ends) HYPLINK_TRY(driver->add(end));
    return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace hyplink::guest
