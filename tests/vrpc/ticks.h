/* A signal again and again, so that one comes in whatever this program waits for. */
#ifndef TICKS_H
#define TICKS_H

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* said.h is there. */

static timer_t ticks_timer;
/* A line is said after so many more. */
static volatile sig_atomic_t ticks_until_said;

static void ticked(int number) {
    (void)number;
    if (ticks_until_said != 0 && --ticks_until_said == 0 && write(said_to, "ticked\n", 7) < 0) _exit(1);
}

/* Every 20 ms, or never. */
static void tick(int on) {
    static int made;
    struct itimerspec when;
    if (!made) {
        struct sigaction action;
        struct sigevent event;
        memset(&action, 0, sizeof action);
        action.sa_handler = ticked;
        sigaction(SIGUSR1, &action, NULL);
        memset(&event, 0, sizeof event);
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR1;
        made = timer_create(CLOCK_MONOTONIC, &event, &ticks_timer) == 0;
    }
    memset(&when, 0, sizeof when);
    if (on) when.it_value.tv_nsec = when.it_interval.tv_nsec = 20 * 1000 * 1000;
    timer_settime(ticks_timer, 0, &when, NULL);
}

#endif
