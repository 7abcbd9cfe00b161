/// Anonymous shared memory: a sealed memfd, so nothing stays behind in /dev/shm after a crash.
#pragma once

#include <cstddef>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// A zeroed memfd of `bytes` (page multiple), sealed against growing and shrinking.
/// Errors: no_memory, EMFILE and what else the kernel says.
Result<Fd> make_memfd(const char* name, std::size_t bytes);

/// Size of the object behind a descriptor that somebody handed us.
Result<std::size_t> file_size(int fd);

/// Give the pages of [offset, offset + bytes) back; readers see zeroes.
Status punch(int fd, std::size_t offset, std::size_t bytes);

Result<Fd> duplicate(int fd);

std::size_t page_size();

}  // namespace hyplink::sys
