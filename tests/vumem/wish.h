/* What client and server of these tests agree on: the opaque argument of an allocation. */
#ifndef WISH_H
#define WISH_H

#include <stdint.h>

struct wish {
    uint32_t bytes;
    uint32_t kind; /* of memory: enum below; the server answers with what it took */
    uint32_t buffer;
};
enum { FROM_LIBRARY = 0, STATIC_ARRAY = 1, NO_MEMORY = 2 };

#endif
