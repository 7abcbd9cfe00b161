/* Page granting from C: an exporter, and an importer that is given an address. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hyplink/compat/nkddi.h"

#define RW (HYP_VM_MEM_GRANT_FLAGS_READ | HYP_VM_MEM_GRANT_FLAGS_WRITE | HYP_VM_MEM_GRANT_FLAGS_CPU)

static FILE* out;

static void wait_for(const volatile char* at, char value) {
    const struct timespec pause = {0, 1000000};
    while (*at != value) nanosleep(&pause, NULL);
}

static int exporter(void) {
    NkMemMap map[2] = {{0, 4096}, {0, 4096}};
    char* memory = hyplink_mem_alloc(8192, &map[0].addr);
    if (memory == NULL) return 1;
    map[1].addr = map[0].addr + 4096;
    strcpy(memory, "from C");
    fprintf(out, "%d %d %d %d\n", hyp_call_vm_mem_grant(2, HYP_VM_MEM_GRANT_FLAGS_WRITE, 1, map) == -EINVAL,
            hyp_call_vm_mem_grant(2, RW, 0, map) == -EINVAL,
            hyp_call_vm_mem_grant(2, RW, 0xffffffffu, map) == -EINVAL,
            hyp_call_vm_mem_grant(5, RW, 1, map) == -EACCES);
    if (hyp_call_vm_mem_grant(2, RW, 2, map) != 0) return 1;
    fprintf(out, "%llu\n", (unsigned long long)map[0].addr);
    fflush(out);
    wait_for(memory + 4096, 1);
    if (hyp_call_vm_mem_deny(2, RW, 2, map) != 0) return 1;
    fprintf(out, "denied, %s\n", memory);
    fflush(out);
    return 0;
}

static int importer(NkPhAddr at) {
    NkMemMap map = {0, 8192};
    char* window;
    map.addr = at;
    if (hyp_call_vm_mem_verify(3, 1, &map) != 0) return 1;
    window = nkops.nk_mem_map(at, 8192);
    if (window == NULL) return 1;
    fprintf(out, "%s\n", window);
    fflush(out);
    window[4096] = 1;
    wait_for(window, 0);
    fprintf(out, "gone %d\n", hyp_call_vm_mem_verify(3, 1, &map) == -EACCES);
    nkops.nk_mem_unmap(window, at, 8192);
    fprintf(out, "%d\n", nkops.nk_mem_map(at, 8192) == NULL);
    return 0;
}

int main(int count, char** words) {
    /* exporter --fd N, or importer ADDRESS --fd N */
    int failed;
    out = fdopen(atoi(words[count - 1]), "w");
    if (out == NULL || hyplink_nkddi_init() != 0) return 1;
    failed = strcmp(words[1], "exporter") == 0 ? exporter() : importer(strtoull(words[2], NULL, 0));
    if (failed) fprintf(out, "failed: %s\n", hyplink_nkddi_error());
    fflush(out);
    hyplink_nkddi_exit();
    return failed;
}
