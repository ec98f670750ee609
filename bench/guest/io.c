/* Disk and network throughput, from inside: bench/io's other half.
 *
 *   io-rows disk DEVICE MIB     sequential reads of 1 MiB, then 4 KiB at random places, past the page cache
 *   io-rows net PORT            serves connections to PORT: each begins with a letter and a length (8 bytes, little-endian)
 *
 * The host's clock measures: `io-begin ROW` leaves the serial line before the work starts, `io-end ROW BYTES` after it. A connection's letter is
 * `s` (send LENGTH bytes), `r` (receive them, then send one byte) or `q` (end). Exit status: 0; 1 something failed, and is named; 2 wrong usage. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum { MIB = 1 << 20, BLOCK = 4096, RANDOM_READS = 4000 };

static void mark(const char *what, const char *row, uint64_t bytes)
{
    printf(bytes ? "%s %s %llu\n" : "%s %s\n", what, row, (unsigned long long)bytes);
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
}

static int failed(const char *what)
{
    fprintf(stderr, "io-rows: %s: %s\n", what, strerror(errno));
    return 1;
}

static int disk(const char *device, uint64_t mib)
{
    void *buffer;
    uint64_t seed = 1;
    int fd = open(device, O_RDONLY | O_DIRECT);
    if (fd < 0 || posix_memalign(&buffer, BLOCK, MIB))
        return failed(device);
    mark("io-begin", "read-seq", 0);
    for (uint64_t i = 0; i < mib; i++)
        if (pread(fd, buffer, MIB, (off_t)(i * MIB)) != MIB)
            return failed(device);
    mark("io-end", "read-seq", mib * MIB);
    mark("io-begin", "read-4k", 0);
    for (unsigned i = 0; i < RANDOM_READS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (pread(fd, buffer, BLOCK, (off_t)((seed >> 16) % (mib * MIB / BLOCK) * BLOCK)) != BLOCK)
            return failed(device);
    }
    mark("io-end", "read-4k", (uint64_t)RANDOM_READS * BLOCK);
    return 0;
}

/* The same buffer for each piece: what moves does not matter. */
static int moved(int fd, int out, unsigned char *buffer, size_t size, uint64_t length)
{
    while (length) {
        size_t want = length < size ? length : size;
        ssize_t n = out ? write(fd, buffer, want) : read(fd, buffer, want);
        if (n <= 0)
            return 0;
        length -= (uint64_t)n;
    }
    return 1;
}

static int net(unsigned port)
{
    static unsigned char buffer[256 << 10];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 1))
        return failed("listening");
    mark("io-ready", "net", 0);
    for (;;) {
        unsigned char head[9];
        uint64_t length = 0;
        int c = accept(s, NULL, NULL);
        if (c < 0 || recv(c, head, sizeof head, MSG_WAITALL) != sizeof head)
            return failed("a connection");
        for (int i = 8; i > 0; i--)
            length = length << 8 | head[i];
        if (head[0] == 'q')
            return 0;
        if (!moved(c, head[0] == 's', buffer, sizeof buffer, length) || (head[0] == 'r' && write(c, "", 1) != 1))
            return failed("the stream");
        close(c);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "disk"))
        return disk(argv[2], strtoull(argv[3], NULL, 10));
    if (argc == 3 && !strcmp(argv[1], "net"))
        return net((unsigned)atoi(argv[2]));
    fprintf(stderr, "usage: io-rows disk DEVICE MIB | io-rows net PORT\n");
    return 2;
}
