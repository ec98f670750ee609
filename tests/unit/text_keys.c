/* A terminal's bytes as a keyboard's strokes: which scan codes, how many bytes taken, and that no bytes make more codes than there is room for. */
#include <string.h>

#include "check.h"
#include "machine/console/text_keys.h"

/* BYTES is taken whole, in one stroke of CODES. */
static void takes(const char *bytes, bool last, const char *codes)
{
    struct key_stroke k;
    CHECK_EQ(text_key((const u8 *)bytes, strlen(bytes), last, &k), strlen(bytes));
    CHECK_EQ(k.n, strlen(codes));
    CHECK(!memcmp(k.codes, codes, k.n));
}

static void test_characters(void)
{
    takes("a", false, "\x1c\xf0\x1c");
    takes("A", false, "\x12\x1c\xf0\x1c\xf0\x12");
    takes("!", false, "\x12\x16\xf0\x16\xf0\x12");
    takes("\r", false, "\x5a\xf0\x5a");
    takes("\n", false, "\x5a\xf0\x5a");
    takes("\x7f", false, "\x66\xf0\x66");
    takes("\b", false, "\x66\xf0\x66");
    takes("\t", false, "\x0d\xf0\x0d");
    takes("\x03", false, "\x14\x21\xf0\x21\xf0\x14");
    takes("\x1c", false, "\x14\x5d\xf0\x5d\xf0\x14"); /* Ctrl-backslash */
    takes("\xc3", false, "");                         /* no key: taken all the same */
    struct key_stroke k;
    CHECK_EQ(text_key((const u8 *)"\0", 1, false, &k), 1); /* NUL: Ctrl-Space */
    CHECK(k.n == 6 && !memcmp(k.codes, "\x14\x29\xf0\x29\xf0\x14", 6));
    CHECK_EQ(text_key((const u8 *)"ab", 2, false, &k), 1);
    CHECK_EQ(text_key((const u8 *)"", 0, true, &k), 0);
}

static void test_sequences(void)
{
    takes("\x1b[A", false, "\xe0\x75\xe0\xf0\x75");
    takes("\x1bOB", false, "\xe0\x72\xe0\xf0\x72");
    takes("\x1b[3~", false, "\xe0\x71\xe0\xf0\x71");
    takes("\x1b[15~", false, "\x03\xf0\x03");
    takes("\x1b[[A", false, "\x05\xf0\x05");
    takes("\x1b[1;5C", false, ""); /* Ctrl-Right: no key, and none of its bytes typed */
    takes("\x1bx", false, "\x11\x22\xf0\x22\xf0\x11");
    takes("\x1b"
          "A",
          false, "\x12\x11\x1c\xf0\x1c\xf0\x11\xf0\x12");
}

/* What may be the beginning of more is waited for, and is Escape when nothing follows. */
static void test_beginnings(void)
{
    struct key_stroke k;
    const char *beginnings[] = {"\x1b", "\x1b[", "\x1b[1", "\x1b[15", "\x1bO", "\x1b[["};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        size_t n = strlen(beginnings[i]);
        CHECK_EQ(text_key((const u8 *)beginnings[i], n, false, &k), 0);
        CHECK_EQ(text_key((const u8 *)beginnings[i], n, true, &k), 1);
        CHECK(k.n == 3 && k.codes[0] == 0x76);
    }
}

static void test_all_bytes(void)
{
    u8 bytes[64];
    u64 x = 88172645463325252u;
    for (unsigned round = 0; round < 200000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            bytes[i] = x & 1 ? (u8)"\x1b[O~1;A5"[x >> 8 & 7] : (u8)(x >> 16);
        }
        struct key_stroke k;
        for (size_t at = 0; at < sizeof bytes;) {
            size_t n = text_key(bytes + at, sizeof bytes - at, true, &k);
            CHECK(n && n <= sizeof bytes - at && k.n <= KEY_CODES_MAX);
            at += n ? n : sizeof bytes;
        }
    }
}

int main(void)
{
    test_characters();
    test_sequences();
    test_beginnings();
    test_all_bytes();
    return check_done();
}
