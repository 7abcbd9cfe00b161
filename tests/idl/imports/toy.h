/* A header with the habits of old ones: widths by name, unions, callbacks, casts in enumerators. */
#ifndef TOY_H
#define TOY_H
#include <stddef.h>

typedef unsigned long TOY_U32; /* 4 or 8 bytes, as it happens */
typedef unsigned char TOY_U8;
typedef long long TOY_S64;
typedef int TOY_S32;
typedef void *TOY_PTR;
#define TOY_NAME 16

typedef enum TOY_BOOL { TOY_FALSE = 0, TOY_TRUE = !TOY_FALSE, TOY_BOOL_MAX = 0x7FFFFFFF } TOY_BOOL;
typedef TOY_BOOL ToyFlag;
typedef enum { TOY_OK, TOY_BROKEN = (TOY_S32)0x80000001, TOY_LATE } TOY_ERROR;

typedef union TOY_VERSION {
    struct { TOY_U8 major, minor, revision, step; } part;
    TOY_U32 whole;
} TOY_VERSION;

typedef struct TOY_PORT {
    TOY_U32 size;
    TOY_VERSION version;
    TOY_U8 name[TOY_NAME * 2];
    ToyFlag enabled;
    TOY_S64 when;
    union {
        struct { TOY_U32 width, height; TOY_S64 stamp; } video;
        TOY_U32 rate;
    } format;
    TOY_PTR owner;
    TOY_ERROR (*done)(TOY_PTR owner, TOY_U32 size);
} TOY_PORT;

struct toy_loop { struct toy_loop *next; };
struct toy_bits { unsigned a : 3; };

TOY_ERROR toy_open(const char *name, TOY_PORT *port);
void toy_ping(TOY_U32 number);
TOY_PTR toy_find(const void *key);
static inline int toy_inline(int a) { return a + 1; }
#endif
