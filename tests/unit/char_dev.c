/* The host's end of a serial line: nothing waits, nothing is lost, nobody's flags are changed. Standard input
 * and output are replaced by pipes, sockets and a pseudo-terminal for each test. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "check.h"
#include "host/char.h"
#include "host/tty.h"

struct standard {
    int in, out;
};

static struct standard standard_replace(int in, int out)
{
    struct standard saved = {dup(0), dup(1)};
    CHECK(dup2(in, 0) == 0 && dup2(out, 1) == 1);
    return saved;
}

static void standard_restore(struct standard s)
{
    CHECK(dup2(s.in, 0) == 0 && dup2(s.out, 1) == 1);
    close(s.in);
    close(s.out);
}

static bool nonblocking(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static void open_stdio(struct char_dev *c)
{
    struct error e;
    CHECK(char_open(c, CHAR_STDIO, NULL, true, &e) == STATUS_OK);
}

/* A reader that does not read: what fits is taken and all of it arrives, in order, when he reads. KIND 0:
 * pipe; 1: socket. */
static void test_slow_reader(int kind)
{
    int in[2], out[2];
    CHECK(pipe(in) == 0);
    CHECK((kind ? socketpair(AF_UNIX, SOCK_STREAM, 0, out) : pipe(out)) == 0);
    struct standard saved = standard_replace(in[0], out[1]);
    struct char_dev c;
    open_stdio(&c);
    u8 block[1000];
    u32 sent = 0, got = 0;
    bool full = false, in_order = true;
    for (unsigned i = 0; i < 10000 && !full; i++) {
        for (size_t k = 0; k < sizeof block; k++)
            block[k] = (u8)((sent + k) % 251);
        size_t n = char_write(&c, block, sizeof block);
        sent += (u32)n;
        full = n < sizeof block;
    }
    CHECK(full);
    CHECK(char_out_fd(&c) >= 0);
    CHECK(!nonblocking(1));
    while (got < sent) {
        ssize_t n = read(out[0], block, sizeof block);
        CHECK(n > 0);
        for (ssize_t k = 0; k < n; k++)
            in_order &= block[k] == (got + (u32)k) % 251;
        got += (u32)n;
        if (char_out_fd(&c) >= 0)
            char_writable(&c);
    }
    CHECK(in_order);
    CHECK_EQ(got, sent);
    CHECK_EQ(char_out_fd(&c), -1);
    /* The reader leaves: output goes nowhere, and never blocks. */
    close(out[0]);
    CHECK_EQ(char_write(&c, block, sizeof block), sizeof block);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(char_write(&c, block, sizeof block), sizeof block);
    CHECK_EQ(char_out_fd(&c), -1);
    char_close(&c);
    standard_restore(saved);
    close(in[0]), close(in[1]), close(out[1]);
}

/* Input comes in the pieces that are asked for; its end is no error; a second open sees a blocking
 * descriptor. */
static void test_input(void)
{
    int in[2], out[2];
    u8 buf[16];
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    struct standard saved = standard_replace(in[0], out[1]);
    struct char_dev c;
    open_stdio(&c);
    CHECK_EQ(char_in_fd(&c, false), -1);
    CHECK(char_in_fd(&c, true) >= 0);
    CHECK_EQ(char_read(&c, buf, 16), 0); /* nothing there: does not wait */
    CHECK(write(in[1], "ab\1xcdef", 8) == 8);
    CHECK_EQ(char_read(&c, buf, 3), 3);
    CHECK(!memcmp(buf, "ab\1", 3)); /* no terminal: Ctrl-A is a byte like any other */
    CHECK_EQ(char_read(&c, buf, 16), 5);
    CHECK(!memcmp(buf, "xcdef", 5));
    CHECK(!char_quit(&c));
    close(in[1]);
    CHECK_EQ(char_read(&c, buf, 16), 0);
    CHECK_EQ(char_in_fd(&c, true), -1);
    CHECK_EQ(char_write(&c, buf, 1), 1);
    CHECK(read(out[0], buf, 16) == 1);
    CHECK(!nonblocking(0) && !nonblocking(1));
    char_close(&c);
    standard_restore(saved);
    close(in[0]), close(out[0]), close(out[1]);
}

static int open_pty(int *slave)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(*slave >= 0);
    return master;
}

static bool is_raw(int fd)
{
    struct termios t;
    CHECK(tcgetattr(fd, &t) == 0);
    return !(t.c_lflag & (ICANON | ECHO | ISIG)) && !(t.c_oflag & OPOST);
}

static void type(int master, const char *text)
{
    CHECK(write(master, text, strlen(text)) == (ssize_t)strlen(text));
}

static void test_terminal(void)
{
    int slave, master = open_pty(&slave);
    u8 buf[64];
    struct standard saved = standard_replace(slave, slave);
    int err = dup(2);
    dup2(slave, 2);
    struct char_dev c;
    open_stdio(&c);
    CHECK(!is_raw(slave));
    char_start(&c);
    CHECK(is_raw(slave));
    tty_suspend();
    CHECK(!is_raw(slave));
    tty_resume();
    CHECK(is_raw(slave));

    type(master, "a\3b"); /* Ctrl-C is a byte */
    CHECK_EQ(char_read(&c, buf, 64), 3);
    CHECK(!memcmp(buf, "a\3b", 3));
    type(master, "1\1\1"
                 "2\1"); /* Ctrl-A Ctrl-A, and half a command */
    CHECK_EQ(char_read(&c, buf, 64), 3);
    CHECK(!memcmp(buf,
                  "1\1"
                  "2",
                  3));
    type(master, "h3");
    CHECK_EQ(char_read(&c, buf, 64), 1);
    CHECK_EQ(buf[0], '3');
    CHECK(read(master, buf, sizeof buf) > 10); /* the list */

    /* No room in the chip: typed bytes are kept, Ctrl-A x is seen all the same. */
    type(master, "wait\1x");
    CHECK(char_in_fd(&c, false) >= 0);
    CHECK_EQ(char_read(&c, buf, 0), 0);
    CHECK(char_quit(&c));
    CHECK(char_pending(&c));
    CHECK_EQ(char_read(&c, buf, 2), 2);
    CHECK_EQ(char_read(&c, buf + 2, 60), 2);
    CHECK(!memcmp(buf, "wait", 4));
    CHECK(!nonblocking(0));
    char_stop(&c);
    CHECK(!is_raw(slave));
    char_close(&c);
    dup2(err, 2);
    close(err);
    standard_restore(saved);
    close(master), close(slave);
}

/* INPUT false: the terminal is not touched, because nothing is read. */
static void test_terminal_left_alone(void)
{
    int slave, master = open_pty(&slave);
    struct standard saved = standard_replace(slave, slave);
    struct char_dev c;
    struct error e;
    CHECK(char_open(&c, CHAR_STDIO, NULL, false, &e) == STATUS_OK);
    char_start(&c);
    CHECK(!is_raw(slave));
    CHECK_EQ(char_in_fd(&c, true), -1);
    char_close(&c);
    standard_restore(saved);
    close(master), close(slave);
}

static void test_closed_standard(void)
{
    struct standard saved = {dup(0), dup(1)};
    struct char_dev c;
    u8 b = 0;
    close(0), close(1);
    open_stdio(&c);
    CHECK_EQ(char_in_fd(&c, true), -1);
    CHECK_EQ(char_write(&c, &b, 1), 1);
    CHECK_EQ(char_out_fd(&c), -1);
    char_close(&c);
    standard_restore(saved);
}

static void test_file(const char *dir)
{
    char path[200], got[64] = {0};
    struct char_dev c;
    struct error e;
    snprintf(path, sizeof path, "%s/out", dir);
    CHECK(char_open(&c, CHAR_FILE, path, true, &e) == STATUS_OK);
    CHECK_EQ(char_write(&c, (const u8 *)"hello", 5), 5);
    CHECK_EQ(char_in_fd(&c, true), -1);
    char_close(&c);
    int fd = open(path, O_RDONLY);
    CHECK(read(fd, got, sizeof got) == 5);
    CHECK_STR(got, "hello");
    close(fd);
    unlink(path);
    CHECK(char_open(&c, CHAR_FILE, "/nonexistent/out", true, &e) == STATUS_HOST);
    CHECK_STR(e.text, "/nonexistent/out: No such file or directory");
    CHECK(char_open(&c, CHAR_FILE, "", true, &e) == STATUS_USAGE);
    char_close(&c);
}

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void test_unix(const char *dir)
{
    char path[100], long_path[300];
    u8 buf[CHAR_BUFFER], block[1000];
    struct char_dev c, second;
    struct error e;
    snprintf(path, sizeof path, "%s/socket", dir);
    CHECK(char_open(&c, CHAR_UNIX, path, true, &e) == STATUS_OK);
    CHECK(char_open(&second, CHAR_UNIX, path, true, &e) == STATUS_HOST); /* in use */
    /* Before anybody is there, the newest bytes are kept. */
    for (unsigned i = 0; i < 100; i++) {
        memset(block, (int)i, sizeof block);
        CHECK_EQ(char_write(&c, block, sizeof block), sizeof block);
    }
    int client = connect_to(path);
    CHECK_EQ(char_read(&c, buf, 10), 0); /* takes the client */
    for (size_t got = 0; got < CHAR_BUFFER;) {
        char_writable(&c);
        ssize_t n = read(client, buf + got, CHAR_BUFFER - got);
        CHECK(n > 0);
        got += n > 0 ? (size_t)n : CHAR_BUFFER;
    }
    CHECK_EQ(buf[CHAR_BUFFER - 1], 99);
    CHECK_EQ(buf[0], 34); /* 100000 - 65536 bytes were too old */
    CHECK(write(client, "in", 2) == 2);
    CHECK_EQ(char_read(&c, buf, 10), 2);
    /* He leaves, another one comes. */
    close(client);
    CHECK_EQ(char_read(&c, buf, 10), 0);
    client = connect_to(path);
    CHECK_EQ(char_read(&c, buf, 10), 0);
    CHECK_EQ(char_write(&c, (const u8 *)"again", 5), 5);
    CHECK(read(client, buf, 10) == 5);
    close(client);
    char_close(&c);
    CHECK(access(path, F_OK) < 0);
    /* A socket file that nobody serves any more is replaced; a file of another kind is not. */
    CHECK(char_open(&c, CHAR_UNIX, path, true, &e) == STATUS_OK);
    close(c.listener.fd);
    c.listener.fd = -1;
    CHECK(char_open(&second, CHAR_UNIX, path, true, &e) == STATUS_OK);
    char_close(&second);
    char_close(&c);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(char_open(&c, CHAR_UNIX, path, true, &e) == STATUS_HOST);
    CHECK(access(path, F_OK) == 0);
    close(file);
    unlink(path);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    CHECK(char_open(&c, CHAR_UNIX, long_path, true, &e) == STATUS_USAGE);
}

int main(void)
{
    char dir[] = "/tmp/trine-char-XXXXXX";
    signal(SIGPIPE, SIG_IGN);
    CHECK(mkdtemp(dir) != NULL);
    test_slow_reader(0);
    test_slow_reader(1);
    test_input();
    test_terminal();
    test_terminal_left_alone();
    test_closed_standard();
    test_file(dir);
    test_unix(dir);
    CHECK(rmdir(dir) == 0);
    return check_done();
}
