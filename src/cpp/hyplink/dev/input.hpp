/// The input devices of the mount: `vm2/dev/input/event0`, read as one reads the kernel's evdev.
///
/// A front end is taken when its node is opened first and let go with the last opener; a thread of
/// its own takes its events and gives them to every opener, each of which has a buffer of its own.
/// Thread rule: any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "hyplink/app/event/front_end.hpp"
#include "hyplink/dev/file.hpp"

namespace hyplink::dev {

class InputFile;

/// One node with at least one opener.
class Input : public std::enable_shared_from_this<Input> {
   public:
    /// Errors: no_such_link (ENODEV: no back end is there), busy (an application of the VM has it).
    static Result<std::shared_ptr<Input>> open(Tasks& tasks,
                                               std::shared_ptr<app::Application> application,
                                               const std::string& node);
    /// False when it is ending; `wait_end` then.
    bool add(InputFile& file);
    void wait_end();
    void remove(InputFile& file);
    const vevent::Properties& properties() const { return properties_; }
    const std::string& place() const { return place_; }

   private:
    friend class InputFile;
    friend class Inputs;
    void pump();
    void hand_on(const vevent::InputEvent& event);

    std::unique_ptr<vevent::FrontEnd> front_;  ///< the pump's
    vevent::Properties properties_;
    std::string place_;
    Runtime* runtime_ = nullptr;
    std::weak_ptr<Task> task_;

    std::mutex mutex_;  ///< over what follows, and every opener's buffer
    std::condition_variable changed_;
    std::set<InputFile*> files_;
    vevent::State state_;
    bool gone_ = false;    ///< the back end is
    bool ending_ = false;  ///< nobody has it open any more
    bool ended_ = false;
};

class Inputs {
   public:
    explicit Inputs(Tasks& tasks) : tasks_(&tasks) {}
    /// `narrow`: the reader has 32 bits.
    Result<std::shared_ptr<File>> open(VmId vm, std::shared_ptr<app::Application> application,
                                       const std::string& node, bool narrow);

   private:
    Tasks* tasks_;
    std::mutex mutex_;
    std::map<std::pair<VmId, std::string>, std::weak_ptr<Input>> inputs_;
};

/// An opener, as evdev's client: its buffer is emptied and begins with SYN_DROPPED when it is full.
class InputFile final : public File {
   public:
    InputFile(std::shared_ptr<Input> input, bool narrow)
        : input_(std::move(input)), narrow_(narrow) {}
    ~InputFile() override { close(); }

    Result<std::size_t> try_read(std::span<std::byte> into) override;
    Result<std::size_t> read(std::span<std::byte> into) override;
    /// A device that another VM has is not written to.
    Result<std::size_t> try_write(std::span<const std::byte>) override {
        return Error(Errc::unsupported);
    }
    Result<std::size_t> write(std::span<const std::byte>) override {
        return Error(Errc::unsupported);
    }
    unsigned poll() override;
    void watch(Tasks&, Notify notify) override;
    Result<IoctlAnswer> ioctl(const Ioctl& request) override;
    void close() override;

   private:
    friend class Input;
    static constexpr std::size_t kBuffer = 64;
    /// With the input's lock held.
    void give(const vevent::InputEvent& event);
    void call();
    Result<std::size_t> take(std::span<std::byte> into);
    void forget(std::uint16_t type);
    Result<IoctlAnswer> bits(std::uint16_t type, std::size_t room);
    Result<IoctlAnswer> clock(std::span<const std::byte> in);

    std::shared_ptr<Input> input_;
    bool narrow_;
    clockid_t clock_ = CLOCK_REALTIME;
    std::deque<vevent::InputEvent> buffer_;
    std::size_t whole_ = 0;  ///< events of whole packets
    Notify notify_;
    std::set<BellWords*> waiting_;  ///< of reads
    bool closed_ = false;
};

}  // namespace hyplink::dev
