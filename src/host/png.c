/* PNG (ISO/IEC 15948): one IHDR, one IDAT with all lines unfiltered, IEND. zlib compresses and makes the checksums. */
#include "host/png.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void be32(u8 *p, u32 v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (u8)(v >> (24 - 8 * i));
}

static bool chunk(FILE *f, const char *type, const u8 *data, size_t n)
{
    u8 head[8], tail[4];
    uLong crc = crc32(crc32(0, NULL, 0), (const u8 *)type, 4);
    be32(head, (u32)n);
    memcpy(head + 4, type, 4);
    be32(tail, (u32)(n ? crc32(crc, data, (uInt)n) : crc));
    return fwrite(head, 1, 8, f) == 8 && fwrite(data, 1, n, f) == n && fwrite(tail, 1, 4, f) == 4;
}

static bool picture(FILE *f, u32 width, u32 height, const u8 *data, size_t n)
{
    static const u8 signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    u8 header[13] = {[8] = 8, [9] = 2}; /* 8 bits, red green blue */
    be32(header, width);
    be32(header + 4, height);
    return fwrite(signature, 1, 8, f) == 8 && chunk(f, "IHDR", header, sizeof header) && chunk(f, "IDAT", data, n) &&
           chunk(f, "IEND", data, 0);
}

/* Each line begins with its filter: 0, none. */
static u8 *lines(u32 width, u32 height, const u8 *rgb, uLong *n)
{
    size_t line = 3ull * width;
    *n = (line + 1) * height;
    u8 *raw = malloc(*n);
    for (u32 y = 0; raw && y < height; y++) {
        raw[y * (line + 1)] = 0;
        memcpy(raw + y * (line + 1) + 1, rgb + y * line, line);
    }
    return raw;
}

static enum status save(const char *path, u32 width, u32 height, const u8 *data, size_t n, struct error *e)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return error_set(e, STATUS_USAGE, "%s: its name is too long", path);
    FILE *f = fopen(part, "we");
    if (!f)
        return error_errno(e, "%s", path);
    bool ok = picture(f, width, height, data, n);
    ok &= !fclose(f);
    if (ok && !rename(part, path))
        return STATUS_OK;
    error_errno(e, "%s", path);
    remove(part);
    return e->status;
}

enum status png_write(const char *path, u32 width, u32 height, const u8 *rgb, struct error *e)
{
    uLong raw_n, n;
    u8 *raw = lines(width, height, rgb, &raw_n);
    u8 *packed = malloc(n = compressBound(raw_n));
    enum status s = raw && packed && compress2(packed, &n, raw, raw_n, 6) == Z_OK ? save(path, width, height, packed, n, e)
                                                                                    : error_set(e, STATUS_HOST, "%s: out of memory", path);
    free(raw);
    free(packed);
    return s;
}
