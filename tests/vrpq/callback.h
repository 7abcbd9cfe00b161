/* What the two sides of the callback test agree on. Group 9 to the server, group 10 to the client.
 */
#ifndef CALLBACK_H
#define CALLBACK_H

#include "hyplink/compat/vrpq.h"

#define SUM VRPQ_PROC_ID(9, 1) /* call: notes and a synchronous callback while it is handled; u32 \
                                */
#define TWICE VRPQ_PROC_ID(9, 2) /* call: u32 in, its double out; from inside the handler */
#define FLOOD VRPQ_PROC_ID(9, 3) /* post: more notes than fit, then a second channel is accepted \
                                  */
#define LATER VRPQ_PROC_ID(9, 4) /* post: three notes */

#define NOTE VRPQ_PROC_ID(10, 1) /* asynchronous: u32, one more each time */
#define ADD VRPQ_PROC_ID(10, 2)  /* synchronous: two u32 in, u32 out */

enum { NOTES = 5, KEPT = 2, EXTRA = 100 };

#endif
