/// eventfd: a bell for owners that sleep in poll, epoll or asyncio.
#pragma once

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// Non-blocking, counting. Errors: EMFILE and the like.
Result<Fd> make_eventfd();
/// Make it readable. Never blocks: a full counter is readable already.
void signal_eventfd(int fd);
/// Make it unreadable again.
void drain_eventfd(int fd);

}  // namespace hyplink::sys
