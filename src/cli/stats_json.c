/* A JSON emitter as small as the report needs: objects, strings of ours, numbers, null. Keys are only ever
 * added. */
#include "cli/stats_json.h"

#include <inttypes.h>
#include <math.h>

struct json {
    FILE *f;
    unsigned depth;
    bool first; /* in the object that is open */
};

static void json_key(struct json *j, const char *key)
{
    fprintf(j->f, "%s\n%*s\"%s\": ", j->first ? "" : ",", (int)(2 * j->depth), "", key);
    j->first = false;
}

/* KEY null: the outermost object. */
static void json_open(struct json *j, const char *key)
{
    if (key)
        json_key(j, key);
    fputc('{', j->f);
    j->depth++;
    j->first = true;
}

static void json_close(struct json *j)
{
    j->depth--;
    if (!j->first)
        fprintf(j->f, "\n%*s", (int)(2 * j->depth), "");
    fputc('}', j->f);
    j->first = false;
}

/* Quotes and backslashes are escaped, control characters dropped. */
static void json_string(struct json *j, const char *key, const char *v)
{
    json_key(j, key);
    fputc('"', j->f);
    for (; *v; v++) {
        if (*v == '"' || *v == '\\')
            fputc('\\', j->f);
        if ((unsigned char)*v >= ' ')
            fputc(*v, j->f);
    }
    fputc('"', j->f);
}

static void json_u64(struct json *j, const char *key, uint64_t v, bool known)
{
    json_key(j, key);
    if (known)
        fprintf(j->f, "%" PRIu64, v);
    else
        fputs("null", j->f);
}

static void json_double(struct json *j, const char *key, double v, bool known)
{
    json_key(j, key);
    if (known && isfinite(v))
        fprintf(j->f, "%.6f", v);
    else
        fputs("null", j->f);
}

static void stats_cost(struct json *j, const char *key, uint64_t count, uint64_t ns, bool known)
{
    json_open(j, key);
    json_u64(j, "count", count, known);
    json_u64(j, "ns", ns, known);
    json_close(j);
}

static void stats_exits(struct json *j, const struct trine_stats *s)
{
    json_open(j, "exits");
    for (unsigned i = 0; i < s->exit_kinds; i++)
        stats_cost(j, s->exits[i].kind, s->exits[i].count, s->exits[i].ns, true);
    json_close(j);
}

static void stats_counts(struct json *j, const char *key, const struct trine_count *c, unsigned n)
{
    json_open(j, key);
    for (unsigned i = 0; i < n; i++)
        json_u64(j, c[i].name, c[i].count, true);
    json_close(j);
}

static void stats_paging(struct json *j, const struct trine_stats *s)
{
    const struct trine_paging *p = &s->paging;
    bool known = s->has_paging;
    json_open(j, "paging");
    stats_cost(j, "tlb_misses", p->looks, p->look_ns, known);
    json_u64(j, "tlb_second_way", p->second_hits, known);
    json_u64(j, "tlb_flushes", p->flushes, known);
    stats_cost(j, "page_walks", p->walks, p->walk_ns, known);
    stats_cost(j, "write_protection", p->protected_n, p->protected_ns, known);
    stats_cost(j, "shadow_fills", 0, 0, false); /* no engine has shadow page tables of its own yet */
    json_close(j);
}

static void stats_memory(struct json *j, const struct trine_stats *s)
{
    json_open(j, "memory");
    json_u64(j, "guest_bytes", s->guest_bytes, true);
    json_u64(j, "resident_bytes", s->resident_bytes, true);
    json_u64(j, "shared_bytes", s->shared_bytes, true);
    json_u64(j, "ballooned_bytes", s->ballooned_bytes, true);
    json_u64(j, "paged_bytes", s->paged_bytes, true);
    json_u64(j, "monitor_bytes", s->monitor_bytes, true);
    if (s->sharing_n)
        stats_counts(j, "sharing", s->sharing, s->sharing_n);
    json_close(j);
}

bool stats_write(FILE *f, const struct trine_stats *s, const char *end)
{
    struct json j = {.f = f};
    char hash[20];
    snprintf(hash, sizeof hash, "%016" PRIx64, s->state_hash);
    json_open(&j, NULL);
    json_string(&j, "engine", s->engine);
    json_double(&j, "wall_s", s->wall_s, true);
    json_double(&j, "busy_s", s->busy_s, true);
    json_u64(&j, "guest_instructions", s->guest_instructions, s->counted);
    json_double(&j, "mips", (double)s->guest_instructions / s->busy_s / 1e6, s->counted && s->busy_s > 0);
    stats_exits(&j, s);
    json_open(&j, "blocks");
    json_u64(&j, "translated", s->blocks_translated, s->has_blocks);
    json_u64(&j, "flushed", s->blocks_flushed, s->has_blocks);
    stats_counts(&j, "engine", s->counters, s->counters_n);
    stats_counts(&j, "interpreted", s->steps, s->steps_n);
    stats_counts(&j, "called", s->calls, s->calls_n);
    json_close(&j);
    stats_paging(&j, s);
    stats_memory(&j, s);
    json_u64(&j, "unbuilt", s->unbuilt, true);
    json_u64(&j, "switches", s->switches, true);
    json_string(&j, "state_hash", hash);
    json_string(&j, "end", end);
    json_close(&j);
    fputc('\n', f);
    return fflush(f) == 0 && !ferror(f);
}
