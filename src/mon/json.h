/* Reading JSON texts (RFC 8259) in place: no tree, no allocation. See json.c. */
#ifndef MON_JSON_H
#define MON_JSON_H

#include "base/types.h"

/* A value inside a text: its first byte, and how many it has. N 0: none. */
struct json {
    const char *text;
    size_t n;
};

/* The bytes of the character that begins at TEXT, 1 to 4; 0: they are no UTF-8 (RFC 3629), or not all there. */
size_t json_utf8(const char *text, size_t n);

/* The whole of TEXT is one value, and well-formed, UTF-8 too; nothing in it nests deeper than JSON_DEPTH. */
#define JSON_DEPTH 32
bool json_valid(const char *text, size_t n);

/* V is part of a text that json_valid found good. */
bool json_is_object(struct json v);
/* Member KEY of the object V; an empty one when there is none. Of several, the last. */
struct json json_member(struct json v, const char *key);
/* Every member of the object V has one of the N names in KEYS (which ends early at a null). False: OTHER is one that has not, "..." when it
 * has SIZE bytes or more. */
bool json_members_among(struct json v, const char *const *keys, size_t n, char *other, size_t size);
/* Decodes the string V into OUT, with a NUL. False: no string, or it has SIZE bytes or more, a NUL or a lone surrogate. */
bool json_string(struct json v, char *out, size_t size);

/* False: V is neither true nor false. */
bool json_bool(struct json v, bool *out);

/* A number of digits alone, below 2^64. */
bool json_u64(struct json v, u64 *out);

/* Where the object that begins at TEXT ends, by braces outside of strings: bytes up to there, 0: not yet. */
size_t json_object_end(const char *text, size_t n);

#endif
