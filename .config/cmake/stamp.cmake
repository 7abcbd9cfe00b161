# cmake -DROOT=<source tree> -DOUT=<file.cpp> -P stamp.cmake
# Writes the hash of all C++ text into OUT, and touches OUT only when the hash changed.
# tests/conftest.py computes the same hash: "<path>:<sha256 of the file>\n", sorted by path.
set(text "")
file(GLOB_RECURSE files RELATIVE "${ROOT}"
  "${ROOT}/src/cpp/*.cpp" "${ROOT}/src/cpp/*.hpp" "${ROOT}/src/cpp/*.h"
  "${ROOT}/bindings/*.cpp" "${ROOT}/bindings/*.hpp" "${ROOT}/bindings/*.h")
list(SORT files COMPARE STRING)
foreach(file IN LISTS files)
  file(SHA256 "${ROOT}/${file}" hash)
  string(APPEND text "${file}:${hash}\n")
endforeach()
string(SHA256 stamp "${text}")
set(content "extern \"C\" const char* const hyplink_build_stamp;\nconst char* const hyplink_build_stamp = \"${stamp}\";\n")
set(before "")
if(EXISTS "${OUT}")
  file(READ "${OUT}" before)
endif()
if(NOT before STREQUAL content)
  file(WRITE "${OUT}" "${content}")
endif()
