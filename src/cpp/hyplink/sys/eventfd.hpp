/// eventfd: a bell for owners that sleep in poll, epoll or asyncio.
#pragma once

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// Non-blocking, counting. Errors: EMFILE and the like.
Result<Fd> make_eventfd();
/// Make it readable. Never blocks: a full counter is readable already.
void signal_eventfd(int fd);
/// The same for one that somebody else holds too, who may have made it blocking and filled its
/// counter. False when it was full.
bool signal_shared_eventfd(int fd);
/// Make it unreadable again. Never blocks, whoever else holds it.
void drain_eventfd(int fd);

}  // namespace hyplink::sys
