/// The place of a C program in its VM: one connection for all C names, and the text of its last
/// error. Thread rule: any thread; the text is the calling thread's.
#pragma once

#include <memory>
#include <string>

#include "hyplink/app/application.hpp"

namespace hyplink::compat {

/// The application this program is, connected through HYPLINK_APP_FD when it is first asked for. It
/// says goodbye when the program exits. Errors: link_down (not started by a VM), and the kernel's.
Result<std::shared_ptr<app::Application>> application();

/// Keep the text for the faces' …ErrorText functions; returns the errno.
int failed(const Error& error);
int failed(Errc code, const char* text);
inline int outcome(const Status& status) { return status ? 0 : failed(status.error()); }
std::string& last_error();

}  // namespace hyplink::compat
