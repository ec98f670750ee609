/* The values that options take, strictly: the whole text must be one. Each returns false and leaves *V alone
 * when it is not. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes: a decimal number, with K, M or G or nothing behind it. */
bool value_size(const char *text, uint64_t *v);
/* Decimal, or hexadecimal after 0x; 64 bits. */
bool value_u64(const char *text, uint64_t *v);
/* Seconds, more than 0 and at most a million days; decimal, perhaps with a fraction. */
bool value_seconds(const char *text, double *v);
/* Seconds since 1970: @SECONDS, or YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS, in UTC, 1970 to 2254. */
bool value_date(const char *text, int64_t *v);

#endif
