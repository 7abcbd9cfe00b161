/// Guest kernel: its applications, what they have open and what they wait for.
#include "hyplink/base/text.hpp"
#include "hyplink/guest/kernel.hpp"
#include "hyplink/ring/rpq_port.hpp"

namespace hyplink::guest {
namespace {

constexpr std::size_t kMaxApps = 1024;

}  // namespace

GuestKernel::AppRecord* GuestKernel::find_app(AppId app) {
    auto found = apps_.find(app);
    return found == apps_.end() ? nullptr : &found->second;
}

Result<AppId> GuestKernel::app_attach(AppSink& sink) {
    if (apps_.size() >= kMaxApps)
        return Error::make(Errc::no_memory, text(kMaxApps, " applications already"));
    AppRecord record;
    record.sink = &sink;
    record.status = HYPLINK_TRY(mem::Region::make("hyplink-status", StatusPage::kBytes));
    const AppId app = next_app_++;
    record.scope = HYPLINK_TRY(hypercalls_->scope(app));
    for (std::uint32_t word = 0; word < StatusPage::kWords; ++word)
        record.free_words.push_back(word);
    apps_.emplace(app, std::move(record));
    journal(Event::app_start, Record::kNoLink, app);
    return app;
}

void GuestKernel::app_gone(AppId app, bool died) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    for (auto waiting = std::move(record->waiting); auto& [sequence, cancel] : waiting) cancel();
    // Newest first: channels before their sessions.
    while (!record->handles.empty()) {
        auto last = std::prev(record->handles.end());
        auto handle = std::move(last->second);
        record->handles.erase(last);
        handle->close();
    }
    apps_.erase(app);
    journal(Event::app_end, Record::kNoLink, app, died ? 1 : 0);
    if (kicked_) run_links();
}

void GuestKernel::app_drop(AppId app, Dropped reason, Errc code) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    auto& said = *reinterpret_cast<AppDropped*>(record->status->data() + StatusPage::kDroppedAt);
    said.code = static_cast<std::int32_t>(code);
    said.reason.store(static_cast<std::uint32_t>(reason), std::memory_order_release);
    record->dropped = true;
    journal(Event::app_dropped, Record::kNoLink, app, static_cast<std::uint64_t>(reason),
            static_cast<std::uint64_t>(code));
    app_gone(app, true);
}

void GuestKernel::app_ready(AppId app) {
    for (auto& driver : drivers_) driver->on_ready(app);
}

bool GuestKernel::congested(AppId app) {
    const AppRecord* record = find_app(app);
    return record != nullptr && record->sink->congested();
}

void GuestKernel::wait(const Pending& pending, std::function<void()> cancel) {
    AppRecord* app = find_app(pending.app);
    if (app != nullptr) app->waiting[pending.sequence] = std::move(cancel);
}

void GuestKernel::answer(const Pending& pending, SysReply&& reply) {
    AppRecord* app = find_app(pending.app);
    if (app == nullptr) return;
    app->waiting.erase(pending.sequence);
    if (pending.sequence == 0) return;  // nobody waits for it
    reply.sequence = pending.sequence;
    app->sink->reply(std::move(reply));
}

void GuestKernel::tell(AppId app, SysReply&& word) {
    word.sequence = 0;
    if (AppRecord* record = find_app(app)) record->sink->reply(std::move(word));
}

void GuestKernel::fail(const Pending& pending, Errc code, std::string why) {
    SysReply reply;
    reply.code = code;
    reply.data = std::move(why);
    answer(pending, std::move(reply));
}

std::uint32_t GuestKernel::add_handle(AppId app, std::unique_ptr<Handle> handle) {
    AppRecord* record = find_app(app);
    const std::uint32_t number = record->next_handle++;
    record->handles.emplace(number, std::move(handle));
    return number;
}

Handle* GuestKernel::find_handle(AppId app, std::uint32_t handle) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return nullptr;
    auto found = record->handles.find(handle);
    return found == record->handles.end() ? nullptr : found->second.get();
}

void GuestKernel::forget_handle(AppId app, std::uint32_t handle) {
    if (AppRecord* record = find_app(app)) record->handles.erase(handle);
}

Result<StatusWord> GuestKernel::take_status_word(AppId app) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return Errc::peer_dead;
    if (record->free_words.empty())
        return Error::make(Errc::would_block, text("an application has at most ",
                                                   StatusPage::kWords, " sessions and channels"));
    StatusWord word;
    word.index = record->free_words.front();
    record->free_words.pop_front();
    word.word = reinterpret_cast<std::atomic<std::uint32_t>*>(record->status->data()) + word.index;
    word.word->store(0, std::memory_order_release);
    return word;
}

void GuestKernel::drop_status_word(AppId app, const StatusWord& word) {
    AppRecord* record = find_app(app);
    if (record == nullptr) return;
    record->free_words.push_back(word.index);
    // Of an application that is dropped nobody closed it: to those who use it it is dead.
    if (record->dropped)
        word.word->store(static_cast<std::uint32_t>(rpq::ChannelState::dead),
                         std::memory_order_release);
}

}  // namespace hyplink::guest
