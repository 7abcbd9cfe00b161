/* What a hostile importer does with granted pages below the level of its language. */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct scene {
    const unsigned char* memory;
    size_t bytes;
    int orders, report;
};

/* One letter for each value that is seen: 0, 5, 6, anything else. */
static void say_seen(const struct scene* scene) {
    char said[8] = "", *end = said;
    int seen[4] = {0};
    for (size_t i = 0; i < scene->bytes; ++i) {
        const unsigned char byte = scene->memory[i];
        seen[byte == 0 ? 0 : byte == 5 ? 1 : byte == 6 ? 2 : 3] = 1;
    }
    for (int i = 0; i < 4; ++i)
        if (seen[i]) *end++ = "056?"[i], *end++ = ' ';
    *end++ = '\n';
    (void)!write(scene->report, said, (size_t)(end - said));
}

static int sibling(void* argument) {
    const struct scene* scene = argument;
    char order;
    if (write(scene->report, "ready\n", 6) != 6 || read(scene->orders, &order, 1) != 1) _exit(1);
    say_seen(scene);
    _exit(0);
}

/* A process with the same memory that is no thread of it, and outlives it. */
int outlive_in_a_sibling(const unsigned char* memory, size_t bytes, int orders, int report) {
    static struct scene scene;
    const size_t size = 1 << 16;
    char* stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    scene = (struct scene){memory, bytes, orders, report};
    return stack == MAP_FAILED ? -1 : clone(sibling, stack + size, CLONE_VM | CLONE_FILES, &scene);
}

/* Pages registered as a ring's fixed buffer stay pinned; the kernel reads them, not the program. */
int pin_in_a_ring(void* memory, size_t bytes) {
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    const int ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0) return -1;
    const struct iovec vector = {memory, bytes};
    return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &vector, 1) != 0 ? -2
                                                                                          : ring;
}

int write_from_a_ring(int ring, const void* memory, unsigned bytes, int file) {
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    /* The layout of a ring made with 4 entries is that of any other one made so. */
    const int twin = (int)syscall(SYS_io_uring_setup, 4, &params);
    char* rings = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE,
                       MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe* entry = mmap(NULL, params.sq_entries * sizeof *entry,
                                      PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    if (twin < 0 || rings == MAP_FAILED || (void*)entry == MAP_FAILED) return -1;
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_WRITE_FIXED;
    entry->fd = file;
    entry->addr = (unsigned long)memory;
    entry->len = bytes;
    entry->buf_index = 0;
    *(unsigned*)(rings + params.sq_off.array) = 0;
    __atomic_store_n((unsigned*)(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    return (int)syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}
