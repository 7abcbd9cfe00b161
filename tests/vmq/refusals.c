/* What vmq_links_init_ex refuses, and links that are configured one by one. */
#include "node.h"

static const vmq_xx_config_t odd = {6, 24, 0, 0};
static const vmq_xx_config_t huge = {4, 0xFFFFFFF0u, 0, 0};
static unsigned asked;

static const vmq_xx_config_t* config_tx(vmq_link_t* link, const char* info) {
    ((vmq_link_public_t*)(void*)link)->priv = &asked;
    EXPECT(info == vmq_link_tx_s_info(link));
    EXPECT(strcmp(vmq_link_rx_s_info(link), "disk2") == 0 ? info == NULL : strcmp(info, "disk1") == 0);
    ++asked;
    return &requests;
}
static const vmq_xx_config_t* config_rx(vmq_link_t* link, const char* info) {
    EXPECT(((vmq_link_public_t*)(void*)link)->priv == &asked);
    EXPECT(info == vmq_link_rx_s_info(link));
    return strcmp(info, "disk2") == 0 ? VMQ_XX_CONFIG_IGNORE_VLINK : &answers;
}
static bool find(vmq_link_t* link, void* cookie) {
    *(vmq_link_t**)cookie = link;
    return true;
}

int main(int count, char** words) {
    static const vmq_callbacks_t silent = {
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    };
    static const vmq_callbacks_t plain = {
        NULL, NULL, NULL, look, NULL, NULL, NULL, NULL, NULL,
    };
    static const vmq_callbacks_t asking = {
        NULL, NULL, NULL, look, NULL, NULL, config_tx, config_rx, NULL,
    };
    vmq_links_t* links = (vmq_links_t*)&asked;
    vmq_links_t* others;
    vmq_link_t* link = NULL;
    void* msg;
    listen_to(count, words);
    EXPECT(pipe(orders) == 0);
    EXPECT(vmq_links_init(&links, "disk", &silent, &requests, &answers) == -EINVAL && links == NULL);
    EXPECT(vmq_links_init(&links, "disk", &plain, &odd, &answers) == -EINVAL && links == NULL);
    EXPECT(vmq_links_init(&links, "disk", &plain, &requests, &odd) == -EINVAL);
    EXPECT(vmq_links_init(&links, "disk", &plain, &huge, &answers) == -EINVAL);
    EXPECT(vmq_links_init(&links, "disk", &plain, NULL, &answers) == -EINVAL);
    vmq_links_finish(NULL);

    /* No vlink of that name is no error; somebody hears of it all the same. */
    EXPECT(vmq_links_init(&links, "tape", &plain, &requests, &answers) == 0);
    EXPECT(!vmq_links_iterate(links, find, &link) && vmq_links_start(links) == 0);
    char what = 0;
    EXPECT(read(orders[0], &what, 1) == 1 && what == 's');
    vmq_links_sysconf(links);
    vmq_links_finish(links);

    EXPECT(vmq_links_init_ex(&links, "vmq", &asking, NULL, NULL, &asked, true) == 0);
    EXPECT(asked == 2 && ((vmq_links_public_t*)(void*)links)->priv == &asked);
    EXPECT(vmq_links_iterate(links, find, &link) && vmq_peer_osid(link) == 3);
    EXPECT(vmq_msg_max(link) == 64 && vmq_data_max(link) == 256);
    EXPECT(vmq_ptx_data_area(link) == 0 && vmq_tx_data_area(link) == NULL);
    EXPECT(vmq_links_init(&others, "disk1", &plain, &requests, &answers) == -EBUSY);
    EXPECT(vmq_links_init(&others, "disk2", &plain, &requests, &answers) == 0);
    vmq_links_finish(others);

    /* Nobody is at the other end. */
    EXPECT(vmq_links_start(links) == 0);
    EXPECT(vmq_msg_allocate(link, 0, &msg, NULL) == -EAGAIN);
    EXPECT(vmq_msg_receive(link, &msg) == -EAGAIN && vmq_return_msg_receive(link, &msg) == -EAGAIN);
    EXPECT(!vmq_data_offset_ok(link, 0));
    vmq_msg_send(link, &msg);
    vmq_msg_free(link, &msg);
    vmq_msg_return(link, &msg);
    vmq_data_free(link, 0);
    vmq_return_msg_free(link, &msg);
    vmq_links_finish(links);
    say(said_wrong ? "wrong" : "ok");
    return said_wrong;
}
