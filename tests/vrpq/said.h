/* Lines to the test that started this program: its arguments end with "--fd N". */
#ifndef SAID_H
#define SAID_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int said_to = 1;

static void listen_to(int count, char** words) {
    if (count > 2) said_to = atoi(words[count - 1]);
}

__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
    char line[256];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    if (length < 0 || length > (int)sizeof line - 2) length = (int)sizeof line - 2;
    line[length++] = '\n';
    if (write(said_to, line, (size_t)length) < 0) exit(1);
}

/* Every face has the same text; a program includes one of them. */
#ifndef SAID_ERROR_TEXT
#define SAID_ERROR_TEXT vrpqErrorText
#endif

static int said_wrong __attribute__((unused));

/* A test says "not so" for what does not hold, and goes on. */
#define EXPECT(condition)                                                           \
    do {                                                                            \
        if (!(condition)) {                                                         \
            said_wrong = 1;                                                         \
            say("not so, line %d: %s (%s)", __LINE__, #condition, SAID_ERROR_TEXT()); \
        }                                                                           \
    } while (0)

#endif
