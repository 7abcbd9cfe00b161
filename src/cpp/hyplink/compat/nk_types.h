/** The fixed-width types of the guides' C code. C99 and C++, 32 and 64 bits. */
#ifndef HYPLINK_COMPAT_NK_TYPES_H
#define HYPLINK_COMPAT_NK_TYPES_H

#include <stdint.h>

typedef int8_t nks8_f;
typedef int16_t nks16_f;
typedef int32_t nks32_f;
typedef int64_t nks64_f;
typedef uint8_t nku8_f;
typedef uint16_t nku16_f;
typedef uint32_t nku32_f;
typedef uint64_t nku64_f;

#endif
