#include "hyplink/dev/input.hpp"

#include <linux/input.h>
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "hyplink/app/kernel_calls.hpp"
#include "hyplink/base/text.hpp"

namespace hyplink::dev {

using vevent::InputEvent;
using vevent::State;

// --- a node -------------------------------------------------------------------------------------

Result<std::shared_ptr<Input>> Input::open(Tasks& tasks,
                                           std::shared_ptr<app::Application> application,
                                           const std::string& node) {
    auto input = std::make_shared<Input>();
    input->runtime_ = &application->runtime();
    const Deadline soon = input->runtime_->in(app::kClosePatience);
    input->front_ = HYPLINK_TRY(
        vevent::FrontEnd::open(std::move(application), {.name = {}, .node = node}, soon));
    if (const Status on = input->front_->try_on(); !on)
        return Error::make(on.code() == Errc::protocol ? Errc::protocol : Errc::no_such_link,
                           on.error().text());
    input->properties_ = input->front_->properties();
    input->state_ = input->front_->state();
    input->place_ =
        text("hyplink/vm", input->front_->end().peer(), "/", input->front_->end().info());
    auto task = std::make_shared<Task>();
    task->owner = &tasks;
    task->body = [input](Task&) { input->pump(); };
    input->task_ = task;
    if (!tasks.start(task)) return Error(Errc::would_block);
    return input;
}

void Input::pump() {
    std::array<InputEvent, 64> events;
    while (!Tasks::interrupted()) {
        const auto count = front_->read(events, Deadline::never());
        if (count.code() == Errc::interrupted) continue;
        std::lock_guard lock(mutex_);
        if (!count) {
            gone_ = true;
            for (InputFile* file : files_) file->call();
            break;
        }
        for (std::size_t i = 0; i < *count; ++i) hand_on(events[i]);
        for (InputFile* file : files_)
            if (file->whole_ != 0) file->call();
    }
    front_->close();
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

void Input::hand_on(const InputEvent& event) {
    if (event.is(EV_SYN, SYN_DROPPED)) {
        // What was lost on the way is lost for every opener, and the state is new.
        state_ = front_->state();
    } else {
        state_.apply(event);
    }
    for (InputFile* file : files_) file->give(event);
}

bool Input::add(InputFile& file) {
    std::lock_guard lock(mutex_);
    if (gone_ || ending_) return false;
    files_.insert(&file);
    return true;
}

void Input::wait_end() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
}

void Input::remove(InputFile& file) {
    std::unique_lock lock(mutex_);
    if (files_.erase(&file) == 0 || !files_.empty()) return;
    // The last one: the front end is free again when this returns.
    ending_ = true;
    lock.unlock();
    if (const auto task = task_.lock()) Tasks::interrupt(*task);
    wait_end();
}

Result<std::shared_ptr<File>> Inputs::open(VmId vm, std::shared_ptr<app::Application> application,
                                           const std::string& node, bool narrow) {
    std::lock_guard lock(mutex_);
    auto& known = inputs_[{vm, node}];
    if (auto input = known.lock()) {
        auto file = std::make_shared<InputFile>(input, narrow);
        if (input->add(*file)) return std::shared_ptr<File>(std::move(file));
        input->wait_end();
    }
    auto input = HYPLINK_TRY(Input::open(*tasks_, std::move(application), node));
    known = input;
    auto file = std::make_shared<InputFile>(input, narrow);
    if (!input->add(*file)) return Error(Errc::no_such_link);
    return std::shared_ptr<File>(std::move(file));
}

// --- an opener ----------------------------------------------------------------------------------

void InputFile::give(const InputEvent& event) {
    buffer_.push_back(event);
    if (buffer_.size() > kBuffer) {
        InputEvent mark = event;
        mark.type = EV_SYN;
        mark.code = SYN_DROPPED;
        mark.value = 0;
        buffer_ = {mark, event};
        whole_ = 0;
    }
    if (event.is(EV_SYN, SYN_REPORT)) whole_ = buffer_.size();
}

void InputFile::call() {
    if (const Notify told = std::exchange(notify_, {})) told();
    for (BellWords* bell : waiting_) ring(*input_->runtime_, *bell);
}

Result<std::size_t> InputFile::take(std::span<std::byte> into) {
    const std::size_t size = narrow_ ? sizeof(vevent::InputEvent32) : sizeof(InputEvent);
    if (closed_) return Error(Errc::closed);
    if (!into.empty() && into.size() < size) return Error(Errc::bad_argument);
    if (input_->gone_ && whole_ == 0) return Error(Errc::no_such_link);
    if (whole_ == 0 && !into.empty()) return Errc::would_block;
    // Events carry the machine's monotonic time; a reader has chosen a clock.
    timespec here{}, there{};
    ::clock_gettime(CLOCK_MONOTONIC, &here);
    ::clock_gettime(clock_, &there);
    const std::int64_t later =
        (there.tv_sec - here.tv_sec) * 1'000'000 + (there.tv_nsec - here.tv_nsec) / 1'000;
    std::size_t done = 0;
    while (whole_ != 0 && into.size() - done >= size) {
        InputEvent event = buffer_.front();
        buffer_.pop_front();
        --whole_;
        if (clock_ != CLOCK_MONOTONIC) {
            const std::int64_t time = event.sec * 1'000'000 + event.usec + later;
            event.sec = time / 1'000'000;
            event.usec = time % 1'000'000;
        }
        if (narrow_) {
            const vevent::InputEvent32 small(event);
            std::memcpy(into.data() + done, &small, size);
        } else {
            std::memcpy(into.data() + done, &event, size);
        }
        done += size;
    }
    return done;
}

Result<std::size_t> InputFile::try_read(std::span<std::byte> into) {
    std::lock_guard lock(input_->mutex_);
    return take(into);
}

Result<std::size_t> InputFile::read(std::span<std::byte> into) {
    BellWords bell{};
    std::unique_lock lock(input_->mutex_);
    waiting_.insert(&bell);
    for (;;) {
        const BellWait wait{&bell, bell_seen(bell)};
        auto done = take(into);
        const bool over = done.code() != Errc::would_block;
        if (over || Tasks::interrupted()) {
            waiting_.erase(&bell);
            return over ? std::move(done) : Result<std::size_t>(Error(Errc::interrupted));
        }
        lock.unlock();
        (void)input_->runtime_->wait(std::span(&wait, 1), Deadline::never());
        lock.lock();
    }
}

unsigned InputFile::poll() {
    std::lock_guard lock(input_->mutex_);
    if (input_->gone_ && whole_ == 0) return POLLHUP | POLLERR;
    return POLLOUT | POLLWRNORM | (whole_ != 0 ? POLLIN | POLLRDNORM : 0);
}

void InputFile::watch(Tasks&, Notify notify) {
    std::lock_guard lock(input_->mutex_);
    notify_ = std::move(notify);
}

void InputFile::close() {
    {
        std::lock_guard lock(input_->mutex_);
        if (std::exchange(closed_, true)) return;
        notify_ = {};
        call();
    }
    input_->remove(*this);
}

// --- what it is asked ---------------------------------------------------------------------------

/// Who asks for the state must not read older changes of it afterwards.
void InputFile::forget(std::uint16_t type) {
    std::deque<InputEvent> kept;
    std::size_t whole = 0;
    for (std::size_t i = 0; i < buffer_.size(); ++i) {
        if (buffer_[i].type == type) continue;
        // A report with nothing before it says nothing.
        const bool report = buffer_[i].is(EV_SYN, SYN_REPORT);
        if (report && (kept.empty() || kept.back().is(EV_SYN, SYN_REPORT))) continue;
        kept.push_back(buffer_[i]);
        if (report) whole = kept.size();
    }
    buffer_ = std::move(kept);
    whole_ = whole;
}

namespace {

IoctlAnswer said(std::string_view what, std::size_t room) {
    const std::size_t count = std::min(what.size(), room);
    return {static_cast<int>(count), std::string(what.substr(0, count))};
}
template <class Value>
IoctlAnswer given(const Value& value) {
    return {0, std::string(reinterpret_cast<const char*>(&value), sizeof value)};
}
/// Bits come in whole words, as the kernel has them.
IoctlAnswer in_words(std::string_view bits, std::size_t room) {
    std::string whole(bits);
    whole.resize((whole.size() + 7) / 8 * 8);
    return said(whole, room);
}

}  // namespace

/// EVIOCGKEY and its like.
Result<IoctlAnswer> InputFile::bits(std::uint16_t type, std::size_t room) {
    const std::size_t at = type == EV_KEY   ? State::kKeysAt
                           : type == EV_LED ? State::kLedsAt
                           : type == EV_SW  ? State::kSwitchesAt
                                            : State::kSoundsAt;
    const std::size_t bytes = type == EV_KEY ? KEY_CNT / 8 : 4;
    const std::string_view words(reinterpret_cast<const char*>(input_->state_.words().data() + at),
                                 bytes);
    IoctlAnswer answer = in_words(words, room);
    forget(type);
    return answer;
}

Result<IoctlAnswer> InputFile::clock(std::span<const std::byte> in) {
    int wanted = -1;
    if (in.size() == sizeof wanted) std::memcpy(&wanted, in.data(), sizeof wanted);
    if (wanted != CLOCK_REALTIME && wanted != CLOCK_MONOTONIC && wanted != CLOCK_BOOTTIME)
        return Error(Errc::bad_argument);
    if (clock_ != wanted) {
        clock_ = wanted;
        buffer_.clear();
        whole_ = 0;
    }
    return IoctlAnswer{};
}

Result<IoctlAnswer> InputFile::ioctl(const Ioctl& request) {
    std::lock_guard lock(input_->mutex_);
    const vevent::Properties& device = input_->properties();
    if (input_->gone_) return Error(Errc::no_such_link);
    if (_IOC_TYPE(request.command) != 'E') return Error(static_cast<Errc>(ENOTTY));
    const unsigned number = _IOC_NR(request.command);
    const bool asks = (_IOC_DIR(request.command) & _IOC_READ) != 0;
    const std::size_t room = request.out_bytes;
    if (request.command == EVIOCSCLOCKID) return clock(request.in);
    if (!asks) return Error(Errc::bad_argument);
    const auto with_end = [](const std::string& words) { return words + '\0'; };
    switch (number) {
        case _IOC_NR(EVIOCGVERSION):
            return given(int{EV_VERSION});
        case _IOC_NR(EVIOCGID):
            return given(std::array{device.bustype, device.vendor, device.product, device.version});
        case _IOC_NR(EVIOCGREP):
            if (!vevent::Properties::bit(device.bits(EV_SYN), EV_REP))
                return Error(static_cast<Errc>(ENOSYS));
            return given(std::array{device.repeat[0], device.repeat[1]});
        case _IOC_NR(EVIOCGNAME(0)):
            return said(with_end(device.name), room);
        case _IOC_NR(EVIOCGPHYS(0)):
            return said(with_end(input_->place()), room);
        case _IOC_NR(EVIOCGUNIQ(0)):
            return Error(Errc::not_found);
        case _IOC_NR(EVIOCGPROP(0)):
            return in_words({reinterpret_cast<const char*>(device.props.data()), 4}, room);
        case _IOC_NR(EVIOCGEFFECTS):
            return given(int{0});
        case _IOC_NR(EVIOCGKEY(0)):
            return bits(EV_KEY, room);
        case _IOC_NR(EVIOCGLED(0)):
            return bits(EV_LED, room);
        case _IOC_NR(EVIOCGSND(0)):
            return bits(EV_SND, room);
        case _IOC_NR(EVIOCGSW(0)):
            return bits(EV_SW, room);
        default:
            break;
    }
    constexpr unsigned kBits = _IOC_NR(EVIOCGBIT(0, 0)), kAbs = _IOC_NR(EVIOCGABS(0));
    if (number >= kBits && number < kBits + EV_CNT)
        return in_words(device.bits(static_cast<std::uint16_t>(number - kBits)), room);
    if (number >= kAbs && number < kAbs + ABS_CNT) {
        const auto axis = static_cast<std::uint16_t>(number - kAbs);
        if (!device.has(EV_ABS, axis)) return Error(Errc::bad_argument);
        vevent::AbsInfo info = device.abs[axis];
        info.value = input_->state_.axis(axis);
        IoctlAnswer answer = given(info);
        answer.out.resize(std::min(answer.out.size(), room));
        return answer;
    }
    return Error(Errc::bad_argument);
}

}  // namespace hyplink::dev
