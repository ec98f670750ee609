/* Parsing of option values. */
#include "cli/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DATE_MAX    INT64_C(8993721600) /* 2255-01-01: nanoseconds since 1970 must fit into 63 bits */
#define SECONDS_MAX 86400e6

/* The number at TEXT, which must begin with a digit; null when it has none or does not fit. */
static const char *number(const char *text, int base, uint64_t *v)
{
    char *end;
    if (!isxdigit((unsigned char)*text) || (base == 10 && !isdigit((unsigned char)*text)))
        return NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, base);
    if (errno)
        return NULL;
    *v = n;
    return end;
}

bool value_size(const char *text, uint64_t *v)
{
    static const char suffixes[] = "KMG";
    uint64_t n;
    const char *end = number(text, 10, &n);
    if (!end)
        return false;
    if (*end) {
        const char *suffix = strchr(suffixes, *end);
        unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
        if (!suffix || end[1] || n > UINT64_MAX >> shift)
            return false;
        n <<= shift;
    }
    *v = n;
    return true;
}

bool value_u64(const char *text, uint64_t *v)
{
    uint64_t n;
    bool hex = text[0] == '0' && text[1] == 'x';
    const char *end = number(hex ? text + 2 : text, hex ? 16 : 10, &n);
    if (!end || *end)
        return false;
    *v = n;
    return true;
}

bool value_seconds(const char *text, double *v)
{
    char *end;
    if (strspn(text, "0123456789.") != strlen(text))
        return false;
    double d = strtod(text, &end);
    if (end == text || *end || !(d > 0) || d > SECONDS_MAX)
        return false;
    *v = d;
    return true;
}

bool value_date(const char *text, int64_t *v)
{
    uint64_t seconds;
    if (*text == '@') {
        const char *end = number(text + 1, 10, &seconds);
        if (!end || *end || seconds >= DATE_MAX)
            return false;
        *v = (int64_t)seconds;
        return true;
    }
    /* strptime takes blanks and short numbers; the form is checked first. */
    static const char form[] = "0000-00-00T00:00:00";
    size_t n = strlen(text);
    if (n != 10 && n != sizeof form - 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    struct tm tm = {0};
    const char *end = strptime(text, n == 10 ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end || *end)
        return false;
    int day = tm.tm_mday;
    time_t t = timegm(&tm);
    if (tm.tm_mday != day || t < 0 || t >= DATE_MAX) /* 31 February */
        return false;
    *v = t;
    return true;
}
