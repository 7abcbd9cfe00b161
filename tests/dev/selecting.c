/* A program that knows nothing of hyplink: waits in select() for two files, reads what comes, says what it saw. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/select.h>
#include <unistd.h>

int main(int count, char** words)
{
    int fd, got = 0;
    char byte;

    if (count != 2 || (fd = open(words[1], O_RDWR | O_NONBLOCK)) < 0) {
        perror("open");
        return 2;
    }
    puts("open");
    fflush(stdout);
    for (;;) {
        fd_set in;
        ssize_t n;

        FD_ZERO(&in);
        FD_SET(fd, &in);
        if (select(fd + 1, &in, NULL, NULL, NULL) != 1) {
            perror("select");
            return 1;
        }
        while ((n = read(fd, &byte, 1)) == 1)
            ++got;
        if (n == 0)
            break;
    }
    printf("%d bytes, then the end\n", got);
    close(fd);
    return 0;
}
