/* The input log: what it reads, what it refuses and with which words, and that what it records it reads back.
 * Beside it the repeatable random numbers, against the values that their authors' code gives. */
#include <unistd.h>

#include "check.h"
#include "machine/console/input_log.h"
#include "machine/random.h"

static char path[] = "/tmp/trine-input-log-XXXXXX";

static enum status load(const char *text, size_t n, struct input_log *l, struct error *e)
{
    FILE *f = fopen(path, "w");
    fwrite(text, 1, n, f);
    fclose(f);
    return input_log_load(l, path, e);
}

static void test_good(void)
{
    struct input_log l;
    struct error e;
    const char text[] = "0 0a\n12 6c730A\n12 ff\n18446744073709551615 00\n";
    CHECK_EQ(load(text, strlen(text), &l, &e), STATUS_OK);
    CHECK_EQ(l.n, 4);
    CHECK_EQ(l.pieces[1].count, 12);
    CHECK_EQ(l.pieces[1].len, 3);
    CHECK(!memcmp(l.bytes + l.pieces[1].start, "ls\n", 3));
    CHECK_EQ(l.bytes[l.pieces[2].start], 0xff);
    CHECK_EQ(l.pieces[3].count, UINT64_MAX);
    input_log_free(&l);
    CHECK_EQ(load("", 0, &l, &e), STATUS_OK);
    CHECK_EQ(l.n, 0);
    input_log_free(&l);
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        size_t len;
        const char *why;
    } bad[] = {
        {"x 00\n", 5, "1: no instruction count at the start of the line"},
        {" 1 00\n", 6, "1: no instruction count at the start of the line"},
        {"18446744073709551616 00\n", 24, "1: no instruction count at the start of the line"},
        {"1 00\n5\n", 7, "2: no space behind the count"},
        {"1 00\n5 \n", 8, "2: no bytes behind the count"},
        {"1 0\n", 4, "1: not pairs of hexadecimal digits"},
        {"1 00 \n", 6, "1: not pairs of hexadecimal digits"},
        {"1 00\r\n", 6, "1: not pairs of hexadecimal digits"},
        {"7 00\n6 00\n", 10, "2: the count is less than that of the line before"},
        {"1 00", 4, "1: the line does not end"},
        {"1 00\0\n", 6, "1: a null byte in the line"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct input_log l;
        struct error e = {0};
        char want[128];
        CHECK_EQ(load(bad[i].text, bad[i].len, &l, &e), STATUS_HOST);
        snprintf(want, sizeof want, "%s:%s", path, bad[i].why);
        CHECK_STR(e.text, want);
        CHECK(!l.n && !l.pieces && !l.bytes);
    }
    struct input_log l;
    struct error e;
    CHECK_EQ(input_log_load(&l, "/nowhere/log", &e), STATUS_HOST);
    CHECK_STR(e.text, "/nowhere/log: No such file or directory");
    CHECK_EQ(input_log_load(&l, "/", &e), STATUS_HOST);
}

static void test_record(void)
{
    struct input_log l;
    struct error e;
    FILE *f = fopen(path, "w");
    CHECK(input_log_record(f, 5, (const u8 *)"\x00\xfe", 2));
    CHECK(input_log_record(f, 77, (const u8 *)"z", 1));
    fclose(f);
    CHECK_EQ(input_log_load(&l, path, &e), STATUS_OK);
    CHECK_EQ(l.n, 2);
    CHECK_EQ(l.pieces[0].count, 5);
    CHECK_EQ(l.bytes[1], 0xfe);
    CHECK_EQ(l.bytes[l.pieces[1].start], 'z');
    input_log_free(&l);
    f = fopen("/dev/full", "w");
    CHECK(!input_log_record(f, 1, (const u8 *)"a", 1));
    fclose(f);
}

static void test_random(void)
{
    struct random r = {{1, 2, 3, 4}};
    const u64 want[] = {11520, 0, 1509978240, 1215971899390074240};
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(random_next(&r), want[i]);
    random_seed(&r, 0);
    CHECK_EQ(r.s[0], 0xe220a8397b1dcdaf);
    CHECK_EQ(r.s[1], 0x6e789e6aa1b965f4);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    test_good();
    test_bad();
    test_record();
    test_random();
    unlink(path);
    return check_done();
}
