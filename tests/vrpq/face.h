/* What the two sides of the face test agree on. Group 7. */
#ifndef FACE_H
#define FACE_H

#include "hyplink/compat/vrpq.h"

#define COUNT VRPQ_PROC_ID(7, 1)   /* post: u32 number, text by reference at 8 */
#define SCALARS VRPQ_PROC_ID(7, 2) /* call: every width in, the same out */
#define REVERSE VRPQ_PROC_ID(7, 3) /* call: two references in, two outputs */
#define REASON VRPQ_PROC_ID(7, 4)  /* call: answered with this reason */
#define FORGED VRPQ_PROC_ID(7, 5)  /* call: a reference by hand; how many were refused so far */
#define SLOW VRPQ_PROC_ID(7, 6)    /* call: answered when the client has a second channel */
#define TAKEN VRPQ_PROC_ID(8, 1)   /* callback: the server has begun a SLOW */
#define FAIL VRPQ_PROC_ID(7, 7)    /* call: the server gives the channel up */

/* SCALARS, the same offsets on every machine */
enum {
    AT_U8 = 0,
    AT_U16 = 2,
    AT_I32 = 4,
    AT_U64 = 8,
    AT_F64 = 16,
    AT_ARRAY = 24,
    AT_TEXT = 40,
    SCALARS_BYTES = 64
};
/* REVERSE */
enum { AT_TEXT_SIZE = 0, AT_TEXT_REF = 8, AT_NUMBERS_REF = 16, NUMBERS = 5, REVERSE_BYTES = 24 };

#endif
