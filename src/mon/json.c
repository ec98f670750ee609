/* A scanner over JSON: each function takes a cursor and moves it behind what it knows, or fails. The text is not trusted: every
 * step looks at the end first, and nesting is counted. */
#include "mon/json.h"

#include <string.h>

struct cursor {
    const char *at, *end;
};

static bool value(struct cursor *c, unsigned depth);

static void space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool take(struct cursor *c, char what)
{
    if (c->at == c->end || *c->at != what)
        return false;
    c->at++;
    return true;
}

static int hex(char d)
{
    return d >= '0' && d <= '9' ? d - '0' : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10 : -1;
}

static bool hex4(struct cursor *c, u32 *v)
{
    *v = 0;
    for (unsigned i = 0; i < 4; i++) {
        int d = c->at < c->end ? hex(*c->at++) : -1;
        if (d < 0)
            return false;
        *v = *v << 4 | (u32)d;
    }
    return true;
}

size_t json_utf8(const char *text, size_t n)
{
    u8 lead = n ? (u8)*text : 0xff, second = n > 1 ? (u8)text[1] : 0;
    size_t len = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    /* Too long a form, a surrogate, beyond U+10FFFF. */
    if (len > n || (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f))
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((u8)text[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* One character of a string, decoded; its UTF-8 goes to OUT, at most 4 bytes. */
static bool character(struct cursor *c, char out[4], size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    u32 v, low;
    *n = json_utf8(c->at, (size_t)(c->end - c->at));
    memcpy(out, c->at, *n);
    c->at += *n;
    if (!*n || (u8)out[0] < ' ')
        return false;
    if (out[0] != '\\')
        return true;
    if (c->at == c->end)
        return false;
    char e = *c->at++;
    const char *known = e ? strchr(from, e) : NULL;
    if (known) {
        out[0] = to[known - from];
        return true;
    }
    if (e != 'u' || !hex4(c, &v))
        return false;
    if (v >= 0xd800 && v < 0xdc00) {
        if (!take(c, '\\') || !take(c, 'u') || !hex4(c, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        v = 0x10000 + ((v & 0x3ff) << 10 | (low & 0x3ff));
    } else if (v >= 0xdc00 && v < 0xe000) {
        return false;
    }
    *n = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;
    for (size_t i = *n; i-- > 1; v >>= 6)
        out[i] = (char)(0x80 | (v & 0x3f));
    out[0] = (char)(*n == 1 ? v : (u32)(0xf00 >> *n & 0xff) | v);
    return true;
}

static bool string(struct cursor *c)
{
    char out[4];
    size_t n;
    if (!take(c, '"'))
        return false;
    while (c->at < c->end && *c->at != '"')
        if (!character(c, out, &n))
            return false;
    return take(c, '"');
}

static bool digits(struct cursor *c)
{
    const char *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at > from;
}

static bool number(struct cursor *c)
{
    take(c, '-');
    if (!take(c, '0') && !digits(c))
        return false;
    if (take(c, '.') && !digits(c))
        return false;
    if (!take(c, 'e') && !take(c, 'E'))
        return true;
    if (!take(c, '+'))
        take(c, '-');
    return digits(c);
}

static bool word(struct cursor *c, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, w, n))
        return false;
    c->at += n;
    return true;
}

/* An object (CLOSE is a brace) or an array, behind its opening. */
static bool elements(struct cursor *c, unsigned depth, char close)
{
    if (depth == JSON_DEPTH)
        return false;
    space(c);
    if (take(c, close))
        return true;
    do {
        space(c);
        if (close == '}') {
            if (!string(c))
                return false;
            space(c);
            if (!take(c, ':'))
                return false;
        }
        if (!value(c, depth + 1))
            return false;
        space(c);
    } while (take(c, ','));
    return take(c, close);
}

static bool value(struct cursor *c, unsigned depth)
{
    space(c);
    if (c->at == c->end)
        return false;
    switch (*c->at) {
    case '{': c->at++; return elements(c, depth, '}');
    case '[': c->at++; return elements(c, depth, ']');
    case '"': return string(c);
    case 't': return word(c, "true");
    case 'f': return word(c, "false");
    case 'n': return word(c, "null");
    default: return number(c);
    }
}

bool json_valid(const char *text, size_t n)
{
    struct cursor c = {text, text + n};
    if (!value(&c, 0))
        return false;
    space(&c);
    return c.at == c.end;
}

bool json_is_object(struct json v)
{
    return v.n && *v.text == '{';
}

bool json_string(struct json v, char *out, size_t size)
{
    struct cursor c = {v.text, v.text + v.n};
    size_t used = 0, n;
    char utf8[4];
    if (!v.n || !take(&c, '"'))
        return false;
    while (c.at < c.end && *c.at != '"') {
        if (!character(&c, utf8, &n) || !utf8[0] || used + n >= size)
            return false;
        memcpy(out + used, utf8, n);
        used += n;
    }
    out[used] = 0;
    return true;
}

/* The next member of an object, behind its brace; false: there is none. */
static bool member(struct cursor *c, struct json *key, struct json *v)
{
    space(c);
    take(c, ',');
    space(c);
    if (c->at == c->end || *c->at == '}')
        return false;
    key->text = c->at;
    string(c);
    key->n = (size_t)(c->at - key->text);
    space(c);
    take(c, ':');
    space(c);
    v->text = c->at;
    if (!value(c, 1))
        return false;
    v->n = (size_t)(c->at - v->text);
    return true;
}

struct json json_member(struct json v, const char *key)
{
    struct json found = {0}, k, m;
    struct cursor c = {v.text, v.text + v.n};
    char name[64];
    if (!json_is_object(v))
        return found;
    for (c.at++; member(&c, &k, &m);)
        if (json_string(k, name, sizeof name) && !strcmp(name, key))
            found = m;
    return found;
}

bool json_members_among(struct json v, const char *const *keys, size_t n, char *other, size_t size)
{
    struct json k, m;
    struct cursor c = {v.text, v.text + v.n};
    if (!json_is_object(v))
        return true;
    for (c.at++; member(&c, &k, &m);) {
        size_t i = 0;
        if (!json_string(k, other, size))
            strcpy(other, "...");
        while (i < n && keys[i] && strcmp(keys[i], other))
            i++;
        if (i == n || !keys[i])
            return false;
    }
    return true;
}

size_t json_object_end(const char *text, size_t n)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '['))
            depth++;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && depth && !--depth)
            return i + 1;
    }
    return 0;
}

bool json_bool(struct json v, bool *out)
{
    *out = v.n == 4 && !memcmp(v.text, "true", 4);
    return *out || (v.n == 5 && !memcmp(v.text, "false", 5));
}

bool json_u64(struct json v, u64 *out)
{
    u64 sum = 0;
    for (size_t i = 0; i < v.n; i++) {
        unsigned digit = (unsigned)(u8)v.text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *out = sum;
    return v.n > 0;
}
