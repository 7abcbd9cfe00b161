/* The guide's listings 1 to 6 (document 002, 3.3.2.3) as printed; completed where they elide: the program around them,
 * error(), and the device's path, which is an argument. `server PATH` is "vbpipe user 1", `client PATH` "vbpipe user 2".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void error(const char* text)
{
    fputs(text, stderr);
}

static int open_device(const char* path, int* fd)
{
    /* Listing 1 */
    *fd = open(path, O_RDWR, 0);
    return *fd < 0 ? -1 : 0;
}

static int serve(int fd)
{
    char vbuf[256];
    int res;

    /* Listing 2 */
    res = read(fd, vbuf, 1);
    if (res == 1) {
        res = vbuf[0];
        res = read(fd, vbuf + 1, res);
    }
    /* Listing 5 */
    if (res < 0) {
        error("unexpected read error\n");
        return -1;
    } else if (res > 0) {
        res = write(fd, vbuf, res + 1);
        if (res < 0 && errno != EPIPE) {
            error("unexpected write error\n");
            return -1;
        }
    }
    return res > 0 ? 0 : 1;
}

static int ask(int fd)
{
    char cbuf[256], vbuf[256];
    int sz, ch, res;

    /* Listing 3 */
    sz = 1;
    while ((ch = getchar()) != '\n' && ch != EOF) {
        cbuf[sz++] = ch;
    }
    cbuf[0] = sz - 1;

    /* Listing 4 */
    res = write(fd, cbuf, sz);
    if (res == -1) {
        if (errno == EPIPE) {
            error("server closed connection\n");
            return -1;
        } else {
            error("client error\n");
            return -1;
        }
    } else {
        /* Listing 6 */
        res = read(fd, vbuf, sz);
        if (res < 0 || res == 0) {
            error("server closed connection\n");
            return -1;
        } else {
            (void)!write(1, vbuf + 1, sz);
        }
    }
    return 0;
}

int main(int count, char** words)
{
    int fd, status;

    if (count != 3 || open_device(words[2], &fd) != 0) {
        perror("open");
        return 2;
    }
    status = strcmp(words[1], "server") == 0 ? serve(fd) : ask(fd);
    close(fd);
    return status == 0 ? 0 : 1;
}
