/// The VMs of a running bench, as the mount's starter knows them: who there is, and a way into
/// each.
///
/// The starter answers on a socket, one line a request: `list` → `ID NAME,…`; `attach ID` → `ok`
/// with a descriptor, or `no TEXT`; to `note TEXT`, which is for its user, nothing. A VM that died
/// may be attached again after its next boot. Thread rule: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "hyplink/app/application.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::dev {

struct VmEntry {
    VmId id = 0;
    std::string name;
};

class Vms {
   public:
    explicit Vms(sys::Fd starter) : starter_(std::move(starter)) {}
    /// Ask who there is. Errors: peer_dead (the starter is gone).
    Result<std::vector<VmEntry>> list();
    /// An application of that VM, made when there is none that lives. Errors: peer_dead.
    Result<std::shared_ptr<app::Application>> application(VmId vm);
    /// Names of its devices that can be opened as files.
    std::vector<std::string> devices(VmId vm);
    /// Say something to the user that an errno cannot; each text once.
    void note(const std::string& text);
    void close();

   private:
    struct Reply {
        std::string text;
        sys::Fd fd;
    };
    Result<Reply> ask(const std::string& request);

    std::mutex mutex_;
    sys::Fd starter_;
    std::map<VmId, std::shared_ptr<app::Application>> applications_;
    std::set<std::string> noted_;
    std::map<VmId, std::vector<std::string>> names_;  ///< the board's: they do not change
};

}  // namespace hyplink::dev
