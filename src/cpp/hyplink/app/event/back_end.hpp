/// vEvent's back end: the VM that has an input device passes its events to other VMs.
///
///     auto back = HYPLINK_TRY(BackEnd::open(application, {"vkp", properties}, deadline));
///     back->set_focus(Focus::vm(3));
///     back->emit(EV_KEY, KEY_A, 1);
///     back->emit(EV_SYN, SYN_REPORT, 0);        // goes out: one copy, one ring of the bell
///
/// It has the server's end of every vlink of class `vevent` whose info is the device's name.
/// Nothing here waits but `wait_front`: a front end that does not read loses events, which are
/// counted, and reads SYN_DROPPED where they are missing.
///
/// Who loses the focus is sent the releases of what it saw pressed or touched; who gets it is not
/// sent what was pressed before, nor its release, but is sent switches, LEDs and axes that changed.
///
/// Errors common to all: closed, bad_argument. Thread rule: one thread at a time, `request_focus`
/// any. Source: document 001 4.5; vlx-facts 5.4.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "hyplink/app/event/link.hpp"
#include "hyplink/app/event/ring.hpp"

namespace hyplink::vevent {

/// Who gets the events.
struct Focus {
    enum class Kind : std::uint32_t { everybody, nobody, one } kind = Kind::everybody;
    VmId id = 0;
    static Focus everybody() { return {}; }
    static Focus nobody() { return {Kind::nobody, 0}; }
    static Focus vm(VmId id) { return {Kind::one, id}; }
    bool includes(VmId vm) const {
        return kind == Kind::everybody || (kind == Kind::one && id == vm);
    }
    bool operator==(const Focus&) const = default;
};

struct BackEndOptions {
    std::string name;  ///< the device's, as the board's info has it
    Properties properties{};
    std::uint32_t ring = 64;  ///< events, of each front end's ring
    Focus focus{};
};

class BackEnd {
   public:
    /// Look the ends up and say what the device is. Errors: not_found lists the ends there are,
    /// busy (another application is the back end), bad_argument.
    static Result<std::unique_ptr<BackEnd>> open(std::shared_ptr<app::Application> application,
                                                 const BackEndOptions& options, Deadline deadline);
    BackEnd(const BackEnd&) = delete;
    BackEnd& operator=(const BackEnd&) = delete;
    ~BackEnd() { close(); }

    /// One event; a packet goes out with its SYN_REPORT, or when it has half a ring's length. All
    /// its events get the time at which it goes. Errors: bad_argument (the device has no such
    /// event).
    Status emit(std::uint16_t type, std::uint16_t code, std::int32_t value);
    Status sync() { return emit(EV_SYN, SYN_REPORT, 0); }

    /// Errors: not_found (no front end there can be of that VM).
    Status set_focus(Focus focus);
    /// The same from any thread; comes true before the next packet or `service`.
    Status request_focus(Focus focus);
    Focus focus() const { return focus_; }
    /// When this key is released the focus moves.
    Status focus_on_release(std::uint16_t key, Focus focus);

    /// Look after front ends that came or went, and a requested focus. `emit` does it, too.
    void service();
    /// Until a front end of that VM is there. Errors: not_found, timed_out, peer_dead (this VM).
    Status wait_front(VmId vm, Deadline deadline);
    /// VMs whose front end is on.
    std::vector<VmId> front_ends();

    std::uint64_t sent() const { return sent_; }
    /// Events that nobody had the focus for, or who had it was not there.
    std::uint64_t dropped() const { return dropped_; }
    /// Events a full ring had no room for, over all front ends or towards one VM.
    std::uint64_t lost() const;
    std::uint64_t lost(VmId vm) const;

    const State& state() const { return state_; }
    const Properties& properties() const { return hello_.properties; }
    const std::string& name() const { return name_; }
    app::Application& application() { return *application_; }
    bool is_open() const { return !outlets_.empty(); }
    void close();
    /// The port towards a VM, for tests that play a back end who writes what it likes; may be null.
    Link* link(VmId vm);

   private:
    struct Outlet {
        std::unique_ptr<port::End> end;
        std::unique_ptr<port::Membership> membership;
        std::unique_ptr<Link> link;
        Writer writer;
        State told;
        std::uint64_t lost_before = 0;  ///< in earlier ports
        bool left = false;              ///< a front end that lied; its kernel has to be told anew
        bool on() const { return membership != nullptr && link->is_on(); }
    };
    BackEnd() = default;
    Status check_focus(const Focus& focus) const;
    void move_focus(Focus focus);
    void look_after(Outlet& outlet);
    Status join(Outlet& outlet, bool now, Deadline deadline);
    void leave(Outlet& outlet);
    void flush();
    /// Send what this front end is to see of it. False: nobody is there.
    bool send(Outlet& outlet, const std::vector<InputEvent>& packet);
    void put(Outlet& outlet, std::vector<InputEvent>& events);
    void stamp(std::vector<InputEvent>& events);
    static bool passes(const State& told, const InputEvent& event);

    std::shared_ptr<app::Application> application_;
    std::string name_;
    Hello hello_;
    Focus focus_;
    std::atomic<std::uint64_t> wanted_{0};  ///< kind + 1 << 32 | VM; 0: nothing is
    std::vector<std::pair<std::uint16_t, Focus>> keys_;
    std::vector<Outlet> outlets_;
    State state_;
    std::vector<InputEvent> packet_, filtered_;
    std::uint64_t sent_ = 0, dropped_ = 0;
};

}  // namespace hyplink::vevent
