/* Rows that are Debian's programs over fixed work, inside the Debian tree. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rows.h"

#define TEXT   "/tmp/suite.text"  /* 1 MiB that compresses as prose does */
#define BYTES  "/tmp/suite.bytes" /* 16 MiB */
#define SOURCE "/tmp/suite.c"

/* Words out of a fixed generator, the frequent ones more often. */
static bool text_write(const char *path, size_t size)
{
    FILE *f = fopen(path, "wx");
    if (!f)
        return access(path, R_OK) == 0;
    uint32_t r = 1;
    for (size_t done = 0; done < size;) {
        r = r * 1664525 + 1013904223;
        unsigned word = (r >> 16 & 0xff) * (r >> 24);
        int n = fprintf(f, "%s%x%s", word & 1 ? "the" : "a", word / 7, r >> 28 ? " " : "\n");
        if (n < 0)
            break;
        done += (size_t)n;
    }
    return !fclose(f);
}

/* A source of some size: 12 functions with loops, branches and arrays. */
static bool source_write(const char *path)
{
    FILE *f = fopen(path, "wx");
    if (!f)
        return access(path, R_OK) == 0;
    fputs("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n", f);
    for (int k = 0; k < 12; k++)
        fprintf(
            f,
            "int f%d(int *a, int n, const char *s)\n{\n    int sum = %d;\n    for (int i = 0; i < n; i++) {\n"
            "        switch (a[i] & 7) {\n        case 0: sum += a[i] * %d; break;\n        case 1: sum ^= "
            "s[i %% 16]; break;\n"
            "        case 2: a[i] = sum >> 3; break;\n        case 5: sum -= (int)strlen(s); break;\n"
            "        default: for (int j = 0; j < i; j++) sum += a[j] / (%d + (i & 3));\n        }\n    }\n"
            "    if (sum < 0)\n        printf(\"%%d %%s\\n\", sum, s);\n    return sum;\n}\n",
            k, k, k + 3, k + 1);
    return !fclose(f);
}

static bool text_prepare(const struct setting *s)
{
    (void)s;
    return text_write(TEXT, 1 << 20);
}
static bool bytes_prepare(const struct setting *s)
{
    (void)s;
    return text_write(BYTES, 16 << 20);
}
static bool source_prepare(const struct setting *s)
{
    (void)s;
    return source_write(SOURCE);
}

static bool program_run(uint64_t n, char *const argv[])
{
    static char *const env[] = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LC_ALL=C", "PYTHONDONTWRITEBYTECODE=1",
                                NULL};
    for (; n; n--)
        if (!ended_well(vfork_exec(argv, env)))
            return false;
    return true;
}

#define PROGRAM(name, ...)                                                                                   \
    static bool name##_run(uint64_t n)                                                                       \
    {                                                                                                        \
        static char *const argv[] = {__VA_ARGS__, NULL};                                                     \
        return program_run(n, argv);                                                                         \
    }

PROGRAM(shell, "/bin/sh", "-c",
        "i=0 s=0; while [ $i -lt 50000 ]; do s=$((s + i)) i=$((i + 1)); done; [ $s = 1249975000 ]")
PROGRAM(python, "/usr/bin/python3", "-S", "-c",
        "s = sum(i * i for i in range(1000000)); assert s == 333332833333500000")
PROGRAM(gcc, "/usr/bin/gcc", "-O2", "-c", SOURCE, "-o", "/tmp/suite.o")
PROGRAM(gzip, "/usr/bin/gzip", "-9", "-c", TEXT)
PROGRAM(zstd, "/usr/bin/zstd", "-q", "-15", "--single-thread", "-c", TEXT)
PROGRAM(sha256, "/usr/bin/openssl", "dgst", "-sha256", BYTES)
PROGRAM(aes, "/usr/bin/openssl", "enc", "-aes-256-cbc", "-K",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "-iv",
        "000102030405060708090a0b0c0d0e0f", "-in", BYTES, "-out", "/dev/null")
PROGRAM(sqlite, "/usr/bin/sqlite3", ":memory:",
        "create table t(a integer primary key, b, c text);"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)"
        " insert into t select i, (i * 7919) % 50021, printf('%08d', i) from n;"
        "create index x on t(b); select sum(b), count(distinct c) from t where b between 1000 and 40000;"
        "select a.c from t a join t b on a.a = b.b order by a.b desc limit 10;")

#define ROW(nm, un, run_fn, prep)                                                                            \
    {                                                                                                        \
        .name = nm, .unit = un, .prepare = prep, .run = run_fn, .needs_root = true, .whole = true            \
    }
const struct row rows_program[] = {
    ROW("shell", "dash, loop of 50,000 turns", shell_run, NULL),
    ROW("python3", "python3, sum of a million squares", python_run, NULL),
    ROW("gcc", "gcc -O2 of one file", gcc_run, source_prepare),
    ROW("gzip", "gzip -9 of 1 MiB", gzip_run, text_prepare),
    ROW("zstd", "zstd -15 of 1 MiB", zstd_run, text_prepare),
    ROW("sha256", "openssl sha256 of 16 MiB", sha256_run, bytes_prepare),
    ROW("aes", "openssl aes-256-cbc of 16 MiB", aes_run, bytes_prepare),
    ROW("sqlite", "sqlite3, 50,000 rows: insert, index, join", sqlite_run, NULL),
    {0},
};
