/* Field tables: reset, save, restore, older versions, and images that are wrong in every place. */
#include "base/fields.h"

#include <stdlib.h>

#include "bench.h"

struct thing {
    u8 a;
    u16 b;
    u32 c;
    u64 d;
    bool e;
    u8 array[5];
    u32 kept;
    u32 later;
};

static const struct field old_fields[] = {
    FIELD(thing, a, 1),    FIELD(thing, b, 2),           FIELD_MAX(thing, c, 3, 100), FIELD(thing, d, ~0ull),
    FIELD(thing, e, true), FIELD_ARRAY(thing, array, 7), FIELD_KEEP(thing, kept),
};
static const struct field_table old_table = {"thing", 1, old_fields, ARRAY_LEN(old_fields)};

static const struct field new_fields[] = {
    FIELD(thing, a, 1),
    FIELD(thing, b, 2),
    FIELD_MAX(thing, c, 3, 100),
    FIELD(thing, d, ~0ull),
    FIELD(thing, e, true),
    FIELD_ARRAY(thing, array, 7),
    FIELD_KEEP(thing, kept),
    {.name = "later",
     .offset = offsetof(struct thing, later),
     .size = 4,
     .since = 2,
     .count = 1,
     .reset = 55},
};
static const struct field_table new_table = {"thing", 2, new_fields, ARRAY_LEN(new_fields)};
static const struct field_table other_table = {"other", 1, old_fields, ARRAY_LEN(old_fields)};

static enum status restore(const struct field_table *t, struct thing *to, const struct buffer *image,
                           size_t len)
{
    /* An exact copy on the heap, so that a sanitizer sees a read past the end. */
    struct buffer in = {.data = malloc(len ? len : 1), .len = len};
    struct error e;
    memcpy(in.data, image->data, len);
    enum status st = fields_restore(t, to, &in, &e);
    free(in.data);
    return st;
}

static void test_round_trip(struct bench *b)
{
    struct thing x = {.kept = 9, .later = 8}, y = {0};
    struct buffer image = {0};
    struct error e;
    fields_reset(&new_table, &x);
    CHECK_EQ(b, x.a + x.b + x.c, 6);
    CHECK_EQ(b, x.d, ~0ull);
    CHECK(b, x.e);
    CHECK_EQ(b, x.array[4], 7);
    CHECK_EQ(b, x.kept, 9);
    CHECK_EQ(b, x.later, 55);
    x = (struct thing){200, 60000, 100, 1ull << 60, false, {1, 2, 3, 4, 5}, 10, 11};
    CHECK(b, !fields_save(&new_table, &x, &image, &e));
    CHECK(b, !restore(&new_table, &y, &image, image.len));
    CHECK_EQ(b, y.a, 200);
    CHECK_EQ(b, y.b, 60000);
    CHECK_EQ(b, y.c, 100);
    CHECK_EQ(b, y.d, 1ull << 60);
    CHECK(b, !y.e);
    CHECK_EQ(b, memcmp(x.array, y.array, 5), 0);
    CHECK_EQ(b, y.kept * 100 + y.later, 1011);
    CHECK(b, restore(&old_table, &y, &image, image.len)); /* from the future */
    CHECK(b, restore(&other_table, &y, &image, image.len));
    image.len = 0;
    CHECK(b, !fields_save(&old_table, &x, &image, &e));
    y.later = 1;
    CHECK(b, !restore(&new_table, &y, &image, image.len)); /* from the past: `later` gets its reset value */
    CHECK_EQ(b, y.later, 55);
    static const struct field_table strict = {"thing", 1, new_fields, ARRAY_LEN(new_fields) - 1};
    CHECK(b, !restore(&strict, &y, &image, image.len));
    image.data[6] = 0; /* version 0 */
    CHECK(b, restore(&new_table, &y, &image, image.len));
    buffer_free(&image);
}

static void test_refusals(struct bench *b)
{
    struct thing x = {0}, y, before;
    struct buffer image = {0};
    struct error e;
    fields_reset(&old_table, &x);
    CHECK(b, !fields_save(&old_table, &x, &image, &e));
    memset(&before, 0x5a, sizeof before);
    for (size_t len = 0; len < image.len; len++) {
        y = before;
        CHECK(b, restore(&old_table, &y, &image, len));
        CHECK_EQ(b, memcmp(&y, &before, sizeof y), 0); /* all or nothing */
    }
    x.c = 101; /* out of bounds */
    image.len = 0;
    CHECK(b, !fields_save(&old_table, &x, &image, &e));
    y = before;
    CHECK(b, restore(&old_table, &y, &image, image.len));
    CHECK_EQ(b, memcmp(&y, &before, sizeof y), 0);
    x.c = 1;
    image.len = 0;
    CHECK(b, !fields_save(&old_table, &x, &image, &e));
    u8 *name = memmem(image.data, image.len, "\1b\2", 3);
    CHECK(b, name);
    if (name) {
        name[1] = 'a'; /* present twice, and one missing */
        CHECK(b, restore(&old_table, &y, &image, image.len));
        name[1] = 'x'; /* unknown */
        CHECK(b, restore(&old_table, &y, &image, image.len));
        name[1] = 'b';
        name[2] = 4; /* another size */
        CHECK(b, restore(&old_table, &y, &image, image.len));
        name[2] = 2;
    }
    name = memmem(image.data, image.len, "\1e\1", 3);
    CHECK(b, name);
    if (name) {
        name[7] = 2; /* no bool */
        CHECK(b, restore(&old_table, &y, &image, image.len));
        name[7] = 0;
        CHECK(b, !restore(&old_table, &y, &image, image.len));
        CHECK(b, !y.e);
    }
    buffer_free(&image);
}

int main(void)
{
    static struct bench b;
    bench_init(&b);
    test_round_trip(&b);
    test_refusals(&b);
    return bench_end(&b);
}
