/* The versioned field table: from one table per device come reset, save and restore (DESIGN section 9, STYLE
 * habit 13).
 *
 * Wire format of one device: name length u8, name, version u16, field count u16, then per field: name length
 * u8, name, element size u8, element count u32, the elements little-endian. Restore matches fields by name,
 * refuses unknown versions (newer than the table's), sizes that differ and values out of [min, max]; a field
 * absent from an older image keeps its reset value only if the table says since > image version. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/error.h"
#include "base/types.h"

struct field {
    const char *name;
    u32 offset;   /* in the instance struct */
    u8 size;      /* of one element: 1, 2, 4 or 8 bytes */
    bool is_bool; /* a C bool: restored values other than 0 and 1 are refused */
    u16 since;    /* first version that has the field */
    u32 count;    /* elements */
    u64 reset;    /* value of each element after reset */
    bool keep;    /* a reset leaves it alone (RTC memory, fuses) */
    u64 max;      /* greatest value that restore accepts; 0 means no bound */
};

struct field_table {
    const char *name;
    u16 version;
    const struct field *fields;
    size_t count;
};

#define FIELD_(s, m, r, k, mx, v)                                                                            \
    {                                                                                                        \
        .name = #m, .offset = (u32)offsetof(struct s, m), .size = (u8)sizeof(((struct s *)0)->m),            \
        .since = (v),                                                                                        \
        .is_bool = _Generic(((struct s *)0)->m, bool                                                         \
                            : true, default                                                                  \
                            : false),                                                                        \
        .count = 1, .reset = (r), .keep = (k), .max = (mx)                                                   \
    }
#define FIELD_ARRAY_(s, m, r, k, v)                                                                          \
    {                                                                                                        \
        .name = #m, .offset = (u32)offsetof(struct s, m), .size = (u8)sizeof(((struct s *)0)->m[0]),         \
        .since = (v),                                                                                        \
        .is_bool = _Generic(((struct s *)0)->m[0], bool                                                      \
                            : true, default                                                                  \
                            : false),                                                                        \
        .count = (u32)ARRAY_LEN(((struct s *)0)->m), .reset = (r), .keep = (k)                               \
    }
#define FIELD(s, m, r)                FIELD_(s, m, r, false, 0, 1)  /* member m of struct s, reset value r */
#define FIELD_SINCE(s, m, r, v)       FIELD_(s, m, r, false, 0, v)  /* since version v of the table */
#define FIELD_MAX(s, m, r, mx)        FIELD_(s, m, r, false, mx, 1) /* with a bound that restore checks */
#define FIELD_KEEP(s, m)              FIELD_(s, m, 0, true, 0, 1)   /* survives reset */
#define FIELD_ARRAY(s, m, r)          FIELD_ARRAY_(s, m, r, false, 1) /* array member, every element r */
#define FIELD_ARRAY_SINCE(s, m, r, v) FIELD_ARRAY_(s, m, r, false, v)
#define FIELD_ARRAY_KEEP(s, m)        FIELD_ARRAY_(s, m, 0, true, 1)

struct buffer {
    u8 *data;
    size_t len, cap;
    size_t pos; /* read position */
};

void buffer_free(struct buffer *b);
/* Appends LEN bytes; false when out of memory. */
bool buffer_put(struct buffer *b, const void *p, size_t len) MUST_CHECK;
/* Reads LEN bytes; false when fewer are left. */
bool buffer_get(struct buffer *b, void *p, size_t len) MUST_CHECK;
/* The same for a number of SIZE bytes, 1 to 8, little-endian. */
bool buffer_put_n(struct buffer *b, u64 v, unsigned size) MUST_CHECK;
bool buffer_get_n(struct buffer *b, u64 *v, unsigned size) MUST_CHECK;

void fields_reset(const struct field_table *t, void *instance);
enum status fields_save(const struct field_table *t, const void *instance, struct buffer *out,
                        struct error *e);
enum status fields_restore(const struct field_table *t, void *instance, struct buffer *in, struct error *e);

/* A walk over two images of the same devices, which stops at every element that differs. */
struct fields_diff {
    void (*found)(struct fields_diff *d, u64 a, u64 b);
    void *opaque;
    /* Where it is: */
    unsigned device; /* number of the device in the image */
    char name[256], field[256];
    u32 index, count; /* element, of how many */
    u8 size;          /* bytes of an element */
};

/* Both have LEN bytes. False: they are no images of the same devices. */
bool fields_compare(struct fields_diff *d, const u8 *a, const u8 *b, size_t len);

#endif
