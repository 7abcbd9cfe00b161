/* The C face of NKDDI: values, and the documented failure of everything. Says "ok", or what was wrong. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hyplink/compat/nkddi.h"

static int out = 1, wrong, delivered, last;

static void expect(int holds, const char *what) {
    char line[200];
    if (holds) return;
    wrong = 1;
    const int length = snprintf(line, sizeof line, "not so: %s (%s)\n", what, hyplink_nkddi_error());
    if (write(out, line, (size_t)length) < 0) exit(1);
}
#define EXPECT(condition) expect((condition), #condition)

static void on_xirq(void *cookie, NkXIrq xirq) {
    ++*(int *)cookie;
    last = (int)xirq;
}

int main(int count, char **words) {
    char bytes[16] = "";
    if (count > 2) out = atoi(words[2]);

    EXPECT(nkops.nk_id_get() == 0); /* not connected yet */
    EXPECT(hyplink_nkddi_dispatch(0) == -ENOTCONN);
    EXPECT(hyplink_nkddi_init() == 0);
    EXPECT(hyplink_nkddi_init() == 0);
    EXPECT(nkops.nk_id_get() == 2 && nkops.nk_last_id_get() >= 3);
    EXPECT((nkops.nk_running_ids_get() & nkops.nk_bit2mask(2)) != 0);
    EXPECT(nkops.nk_version >= 6 && nkops.nk_info(1, bytes, sizeof bytes) == 0);

    const NkPhAddr link = nkops.nk_vlink_lookup("vearlydata", 0);
    EXPECT(link != 0 && nkops.nk_vlink_lookup("vearlydata", link) == 0);
    EXPECT(nkops.nk_vlink_lookup("vearly", 0) == 0 && nkops.nk_vlink_lookup("", 0) == 0);
    EXPECT(nkops.nk_dev_lookup_by_class(1, 0) == 0 && nkops.nk_dev_lookup_by_type(1, 0) == 0);
    NkDevVlink *vlink = nkops.nk_ptov(link);
    EXPECT(vlink != NULL && nkops.nk_vtop(vlink) == link);
    EXPECT(vlink->s_id == 2 && vlink->c_id == 3 && strcmp(vlink->name, "vearlydata") == 0);
    EXPECT(strcmp(nkops.nk_ptov(vlink->s_info), "vearlydata_ctrl") == 0);

    const NkPhAddr pmem = nkops.nk_pmem_alloc(link, 0, 100);
    EXPECT(pmem != 0 && nkops.nk_pmem_alloc(link, 0, 100) == pmem);
    EXPECT(nkops.nk_pmem_alloc(link, 0, 101) == 0 && *hyplink_nkddi_error() != '\0');
    EXPECT(nkops.nk_pmem_alloc(link + 1, 0, 100) == 0 && nkops.nk_pdev_alloc(link, 0, 0) == 0);
    EXPECT(nkops.nk_pdev_alloc(link, 0, 8) != 0 && nkops.nk_dev_alloc(8) == 0);
    char *memory = nkops.nk_mem_map(pmem, 100);
    EXPECT(memory != NULL && nkops.nk_mem_map(pmem, (NkPhSize)1 << 40) == NULL);
    EXPECT(nkops.nk_ptov(1) == NULL && nkops.nk_vtop(bytes) == 0);
    EXPECT(nkops.nk_mem_copy_to(pmem, "across", 7) == 7 && strcmp(memory, "across") == 0);
    EXPECT(nkops.nk_mem_copy_from(bytes, pmem, 7) == 7 && strcmp(bytes, "across") == 0);
    EXPECT(nkops.nk_mem_copy_to(1, bytes, 7) == 0 && nkops.nk_mem_copy_from(bytes, 1, 7) == 0);
    nkops.nk_mem_unmap(memory, pmem, 100);

    const NkXIrq xirq = nkops.nk_pxirq_alloc(link, 0, 2, 2);
    EXPECT(xirq > NK_XIRQ_SYSCONF && nkops.nk_pxirq_alloc(link, 0, 2, 3) == 0);
    EXPECT(nkops.nk_pxirq_alloc(link, 1, 2, -1) == 0 && nkops.nk_xirq_alloc(1) == 0);
    EXPECT(nkops.nk_xirq_attach(xirq + 2, on_xirq, &delivered) == 0);
    const NkXIrqId id = nkops.nk_xirq_attach(xirq, on_xirq, &delivered);
    EXPECT(id != 0 && nkops.nk_xirq_attach_masked(xirq + 1, on_xirq, &delivered) != 0);
    nkops.nk_xirq_trigger(xirq + 1, 2);
    nkops.nk_xirq_trigger(xirq, 2);
    nkops.nk_xirq_trigger(xirq, 2);
    EXPECT(hyplink_nkddi_dispatch(-1) == 1 && delivered == 1 && last == (int)xirq);
    nkops.nk_xirq_unmask(xirq + 1);
    EXPECT(hyplink_nkddi_dispatch(-1) == 1 && delivered == 2 && last == (int)xirq + 1);
    nkops.nk_xirq_mask(xirq + 1);
    nkops.nk_xirq_detach(id);
    nkops.nk_xirq_trigger(xirq, 2);
    EXPECT(hyplink_nkddi_dispatch(0) == 0 && delivered == 2);

    /* As old drivers do: write the state, trigger SYSCONF, look what the hypervisor left of it. */
    vlink->s_state = NK_DEV_VLINK_ON;
    nkops.nk_xirq_trigger(NK_XIRQ_SYSCONF, vlink->c_id);
    EXPECT(vlink->s_state == NK_DEV_VLINK_OFF);
    vlink->s_state = NK_DEV_VLINK_RESET;
    nkops.nk_xirq_trigger(NK_XIRQ_SYSCONF, vlink->c_id);
    EXPECT(vlink->s_state == NK_DEV_VLINK_RESET);
    const HyplinkVlinkOps nothing = {NULL, NULL, NULL, NULL};
    EXPECT(hyplink_vlink_open(link, 0, &nothing, NULL) == NULL);
    HyplinkVlink *driver = hyplink_vlink_open(link, 1, &nothing, NULL);
    EXPECT(driver != NULL && hyplink_vlink_step(driver) == 0 && !hyplink_vlink_is_up(driver));
    hyplink_vlink_close(driver);
    EXPECT(vlink->s_state == NK_DEV_VLINK_OFF);
    hyplink_vlink_close(NULL);

    uint32_t word = 12;
    nkops.nk_atomic_set(&word, 1);
    nkops.nk_atomic_clear(&word, 4);
    nkops.nk_atomic_add(&word, 10);
    nkops.nk_atomic_sub(&word, 3);
    EXPECT(word == 16 && nkops.nk_mask2bit(word) == 4 && nkops.nk_mask2bit(0) == 32);

    hyplink_nkddi_exit();
    hyplink_nkddi_exit();
    EXPECT(nkops.nk_id_get() == 0);
    if (!wrong && write(out, "ok\n", 3) < 0) return 1;
    return wrong;
}
