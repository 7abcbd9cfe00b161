/* A reader of input devices as the kernel's documentation describes one: says what the device is, then every event,
 * and after SYN_DROPPED asks for the keys.   input_reader NODE [COUNT] */
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void say_keys(int file) {
    unsigned char keys[KEY_CNT / 8];
    memset(keys, 0, sizeof keys);
    int got = ioctl(file, EVIOCGKEY(sizeof keys), keys);
    printf("keys %d:", got);
    for (int code = 0; code < KEY_CNT; ++code)
        if (keys[code / 8] >> code % 8 & 1) printf(" %d", code);
    printf("\n");
}

int main(int count, char** words) {
    int left = count > 2 ? atoi(words[2]) : -1;
    int file = open(words[1], O_RDONLY | O_NONBLOCK);
    if (file < 0) {
        printf("open %d\n", errno);
        return 1;
    }
    char name[80] = "";
    struct input_id id;
    struct input_absinfo x;
    unsigned long types[1] = {0};
    int named = ioctl(file, EVIOCGNAME(sizeof name), name);
    printf("name %d %s\n", named, name);
    if (ioctl(file, EVIOCGID, &id) == 0)
        printf("id %x %x %x %x\n", id.bustype, id.vendor, id.product, id.version);
    if (ioctl(file, EVIOCGBIT(0, sizeof types), types) >= 0) printf("types %lx\n", types[0]);
    if (ioctl(file, EVIOCGABS(ABS_X), &x) == 0)
        printf("x %d %d..%d\n", x.value, x.minimum, x.maximum);
    say_keys(file);
    fflush(stdout);
    while (left != 0) {
        struct pollfd polled = {file, POLLIN, 0};
        if (poll(&polled, 1, -1) < 0) return 1;
        struct input_event event;
        ssize_t got = read(file, &event, sizeof event);
        if (got < 0 && errno == EAGAIN) continue;
        if (got < 0) {
            printf("read %d\n", errno);
            break;
        }
        if (got != sizeof event) return 1;
        printf("event %d %d %d\n", event.type, event.code, event.value);
        if (event.type == EV_SYN && event.code == SYN_DROPPED) say_keys(file);
        fflush(stdout);
        --left;
    }
    return 0;
}
