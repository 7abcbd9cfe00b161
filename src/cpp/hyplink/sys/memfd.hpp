/// Anonymous shared memory: a sealed memfd, so nothing stays behind in /dev/shm after a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "hyplink/base/result.hpp"
#include "hyplink/sys/fd.hpp"

namespace hyplink::sys {

/// A zeroed memfd of `bytes` (page multiple), sealed against growing and shrinking.
/// Errors: no_memory, EMFILE and what else the kernel says.
Result<Fd> make_memfd(const char* name, std::size_t bytes);

/// The same without seals: whoever shares it puts on those that fit (`seal`).
Result<Fd> make_open_memfd(const char* name, std::size_t bytes);

/// What a memfd forbids for good, to everybody and through every descriptor: changing its size and
/// adding further seals. `writes`: also everything that writes, except through mappings made
/// before. Errors: not_permitted (sealed already), bad_argument (no memfd).
Status seal(int fd, bool writes);

/// Write all of `from` at the beginning of the object; its pages need not be zeroed first.
Status fill(int fd, const std::byte* from, std::size_t bytes);

/// All of `data`, at `offset`. Errors: the kernel's; corrupt (the object ends before).
Status read_at(int fd, std::span<std::byte> data, std::uint64_t offset);
Status write_at(int fd, std::span<const std::byte> data, std::uint64_t offset);
/// Whether both lead to the same object.
bool same_object(int fd, int other);
bool opened_for_writing(int fd);

/// Every part of [offset, offset + bytes) that has pages; what was never touched is zeroes. One
/// whose pages cannot be told of is a part as a whole. `body` gets offset and bytes.
void for_data(int fd, std::size_t offset, std::size_t bytes,
              const std::function<void(std::size_t, std::size_t)>& body);
/// Whether some of [offset, offset + bytes) has no page yet.
bool has_holes(int fd, std::size_t offset, std::size_t bytes);

/// Overwrite [offset, offset + bytes) with zeroes; pages never touched stay so. Errors:
/// not_permitted (sealed against writing).
Status write_zeroes(int fd, std::size_t offset, std::size_t bytes);

/// The object once more, for reading only. Its holder can open it for writing again (through
/// /proc/self/fd): what he must not do, seals must forbid.
Result<Fd> reopen_for_reading(int fd);

/// Size of the object behind a descriptor that somebody handed us.
Result<std::size_t> file_size(int fd);

/// Give the pages of [offset, offset + bytes) back; readers see zeroes.
Status punch(int fd, std::size_t offset, std::size_t bytes);

/// Whether the object behind a descriptor is sealed against being cut short.
bool keeps_its_size(int fd);
/// Whether its pages can be taken away (`punch`): nobody has sealed it against writing.
bool can_be_emptied(int fd);

Result<Fd> duplicate(int fd);

std::size_t page_size();
/// Whether the machine's settings give memfds huge pages.
bool memfds_have_huge_pages();

}  // namespace hyplink::sys
