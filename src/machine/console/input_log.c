/* The input log's text form, read strictly: what is not exactly a line of it is an error with its number. */
#include "machine/console/input_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct input_parser {
    struct input_log *log;
    size_t pieces_cap, bytes_len, bytes_cap;
};

/* Makes room for one more element of SIZE bytes; false when out of memory. */
static bool grow(void **array, size_t len, size_t *cap, size_t size)
{
    if (len < *cap)
        return true;
    size_t n = *cap ? *cap * 2 : 64;
    void *p = realloc(*array, n * size);
    if (!p)
        return false;
    *array = p;
    *cap = n;
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The decimal number at *P, moved behind it; false when there is none or it is too large. */
static bool parse_count(const char **p, u64 *v)
{
    const char *s = *p;
    for (*v = 0; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(*v, 10u, v) || __builtin_add_overflow(*v, (u64)(*s - '0'), v))
            return false;
    bool any = s != *p;
    *p = s;
    return any;
}

/* One line without its newline. Returns what is wrong with it, or null. */
static const char *parse_line(struct input_parser *p, const char *line)
{
    struct input_log *l = p->log;
    struct input_piece piece = {.start = p->bytes_len};
    if (!parse_count(&line, &piece.count))
        return "no instruction count at the start of the line";
    if (*line++ != ' ')
        return "no space behind the count";
    if (l->n && piece.count < l->pieces[l->n - 1].count)
        return "the count is less than that of the line before";
    for (; *line; line += 2) {
        int high = hex_digit(line[0]), low = high < 0 ? -1 : hex_digit(line[1]);
        if (low < 0)
            return "not pairs of hexadecimal digits";
        if (!grow((void **)&l->bytes, p->bytes_len, &p->bytes_cap, 1))
            return "out of memory";
        l->bytes[p->bytes_len++] = (u8)(high << 4 | low);
    }
    piece.len = p->bytes_len - piece.start;
    if (!piece.len)
        return "no bytes behind the count";
    if (!grow((void **)&l->pieces, l->n, &p->pieces_cap, sizeof *l->pieces))
        return "out of memory";
    l->pieces[l->n++] = piece;
    return NULL;
}

enum status input_log_load(struct input_log *l, const char *path, struct error *e)
{
    *l = (struct input_log){0};
    FILE *f = fopen(path, "re");
    if (!f)
        return error_errno(e, "%s", path);
    struct input_parser p = {.log = l};
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;
    const char *why = NULL;
    while (!why && (n = getline(&line, &cap, f)) >= 0) {
        number++;
        if (line[n - 1] != '\n')
            why = "the line does not end";
        else if (line[n - 1] = 0, strlen(line) != (size_t)n - 1)
            why = "a null byte in the line";
        else
            why = parse_line(&p, line);
    }
    enum status s = STATUS_OK;
    if (why)
        s = error_set(e, STATUS_HOST, "%s:%zu: %s", path, number, why);
    else if (ferror(f))
        s = error_errno(e, "%s", path);
    free(line);
    fclose(f);
    if (s != STATUS_OK)
        input_log_free(l);
    return s;
}

void input_log_free(struct input_log *l)
{
    free(l->pieces);
    free(l->bytes);
    *l = (struct input_log){0};
}

bool input_log_record(FILE *f, u64 count, const u8 *data, size_t n)
{
    fprintf(f, "%" PRIu64 " ", count);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", data[i]);
    fputc('\n', f);
    return fflush(f) == 0 && !ferror(f);
}
