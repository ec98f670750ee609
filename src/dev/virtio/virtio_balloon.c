/* Memory balloon (virtio 1.2, 5.5): inflate, deflate, statistics, free page hinting and free page reporting. Whatever the guest gives up is
 * punched out of its memory at once (mem_discard), and comes back, as zeros, when it is touched.
 *
 * Queues have the numbers of 5.5.2 whichever features were negotiated; a driver that leaves some out and closes the gaps (Linux before 6.9)
 * does so only for features that are not offered, and all are.
 *
 * The numbers are the guest's: a page that is no RAM is counted and skipped, one that is given up twice is in the balloon once, one that is
 * taken back without being there is nothing. A guest that gives up all its memory, or pages that a device is writing to, loses its own
 * contents: the device's write takes a new frame. */
#include "dev/virtio/virtio_balloon.h"

#include "base/le.h"

#define BALLOON_F_STATS     BIT(1)
#define BALLOON_F_OOM       BIT(2)
#define BALLOON_F_HINT      BIT(3)
#define BALLOON_F_POISON    BIT(4)
#define BALLOON_F_REPORTING BIT(5)

enum { INFLATE, DEFLATE, STATS, HINT, REPORT, QUEUES };
/* struct virtio_balloon_config (5.5.4). */
enum { NUM_PAGES = 0, ACTUAL = 4, HINT_CMD_ID = 8, POISON_VAL = 12, CONFIG_LEN = 16 };
/* free_page_hint_cmd_id. */
enum { HINT_STOP = 0, HINT_DONE = 1, HINT_FIRST = 2 };
enum {
    PFNS_MAX = 1 << 16, /* page numbers in one request: Linux sends 256 */
    BATCH = 256,
    TURN_MAX = 16, /* requests in one turn */
};

/* --- inflate and deflate */

/* FROM is what the driver knows, N pages; a run of neighbours is one hole. */
static void inflate_run(struct virtio_balloon *b, u64 pfn, u64 n)
{
    struct mem *m = b->v.wires.mem;
    if (!mem_discard(m, pfn << PAGE_SHIFT, n << PAGE_SHIFT)) {
        if (n > 1) { /* one of them may be wrong: each for itself */
            for (u64 k = 0; k < n; k++)
                inflate_run(b, pfn + k, 1);
            return;
        }
        b->refused++;
        if (b->v.wires.log)
            log_guest(b->v.wires.log, "%s: page %llx is no RAM", b->v.type->name, (unsigned long long)pfn);
        return;
    }
    for (u64 k = pfn; k < pfn + n; k++)
        if (!(mem_frame_flags(m, k << PAGE_SHIFT) & FRAME_BALLOONED)) {
            mem_frame_set(m, k << PAGE_SHIFT, FRAME_BALLOONED);
            b->ballooned++;
        }
}

static void deflate_run(struct virtio_balloon *b, u64 pfn, u64 n)
{
    struct mem *m = b->v.wires.mem;
    for (u64 k = pfn; k < pfn + n; k++)
        if (!mem_is_ram(m, k << PAGE_SHIFT, PAGE_SIZE))
            b->refused++;
        else if (mem_frame_flags(m, k << PAGE_SHIFT) & FRAME_BALLOONED) {
            mem_frame_clear(m, k << PAGE_SHIFT, FRAME_BALLOONED);
            b->ballooned--;
        }
}

static void pages(struct virtio_balloon *b, const struct virtq_chain *c, void (*run)(struct virtio_balloon *, u64, u64))
{
    u8 raw[4 * BATCH];
    u64 from = 0, n = 0, got;
    for (u64 at = 0; (got = chain_read(c, b->v.wires.mem, at, raw, sizeof raw)) >= 4; at += got & ~3ull)
        for (u64 k = 0; k + 4 <= got; k += 4) {
            u64 pfn = ld32(raw + k);
            if (n && pfn == from + n) {
                n++;
                continue;
            }
            if (n && pfn + 1 == from) { /* Linux's come downwards as often as upwards */
                from--;
                n++;
                continue;
            }
            if (n)
                run(b, from, n);
            from = pfn;
            n = 1;
        }
    if (n)
        run(b, from, n);
}

/* --- statistics: the driver's buffer stays here until new figures are wanted */

static void take_stats(struct virtio_balloon *b, const struct virtq_chain *c)
{
    u8 raw[10];
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        b->stats[i] = ~0ull;
    for (unsigned i = 0; i < 4 * BALLOON_STATS && chain_read(c, b->v.wires.mem, 10 * i, raw, 10) == 10; i++)
        if (ld16(raw) < BALLOON_STATS)
            b->stats[ld16(raw)] = ld64(raw + 2);
    b->stats_ns = clock_now(b->v.wires.clock);
    if (b->stats_held) /* it may offer only one at a time (5.5.6.3) */
        virtio_push(&b->v, STATS, b->stats_head, 0);
    b->stats_held = true;
    b->stats_head = c->head;
}

bool virtio_balloon_ask_stats(struct virtio_balloon *b)
{
    if (!b->stats_held || !virtio_running(&b->v, STATS))
        return false;
    b->stats_held = false;
    virtio_push(&b->v, STATS, b->stats_head, 0);
    virtio_flush(&b->v, STATS);
    return true;
}

/* --- free pages */

/* What the driver offers to be written is free; its contents may go until it has the buffer back. With a poison value it must stay as the
 * guest left it (5.5.6.6, 5.5.6.7.2). */
static u64 drop_segments(struct virtio_balloon *b, const struct virtq_chain *c)
{
    u64 bytes = 0;
    for (unsigned i = c->out_n; i < (unsigned)c->out_n + c->in_n && !b->poison; i++) {
        u64 from = align_up(c->segs[i].gpa, PAGE_SIZE), to = (c->segs[i].gpa + c->segs[i].len) & PAGE_MASK;
        if (from < to && mem_discard(b->v.wires.mem, from, to - from))
            bytes += to - from;
    }
    return bytes;
}

/* Every round has another number than the one before, also when that one has ended, which 5.5.6.5.2 does not ask for: Linux takes the number
 * that it served last for no request. Was it asked for before the driver had read HINT_DONE, the driver would hold its pages for ever. */
bool virtio_balloon_ask_hints(struct virtio_balloon *b)
{
    if (!virtio_has(&b->v, BALLOON_F_HINT) || !virtio_running(&b->v, HINT))
        return false;
    b->hint_last = b->hint_last < HINT_FIRST || b->hint_last == UINT32_MAX ? HINT_FIRST : b->hint_last + 1;
    b->hint_id = b->hint_last;
    b->hinting = false;
    virtio_config_changed(&b->v);
    return true;
}

/* A word from the driver begins a round (the number that was asked for) or ends it (any other); pages in between are hints. Linux may take a hinted page
 * back and write to it without waiting for its buffer (its shrinker does), but not before it has told of it: what is not dropped within that is not dropped. */
static void take_hint(struct virtio_balloon *b, const struct virtq_chain *c)
{
    u8 raw[4];
    if (chain_read(c, b->v.wires.mem, 0, raw, 4) == 4) {
        bool was = b->hinting;
        b->hinting = b->hint_id >= HINT_FIRST && ld32(raw) == b->hint_id;
        if (was && !b->hinting) { /* the driver holds the pages until it is told */
            b->hint_id = HINT_DONE;
            virtio_config_changed(&b->v);
        }
    }
    if (b->hinting && b->at_once)
        b->hinted_bytes += drop_segments(b, c);
}

/* --- the device */

static void balloon_take(struct virtio_balloon *b, unsigned n, const struct virtq_chain *c)
{
    if (n == INFLATE)
        pages(b, c, inflate_run);
    else if (n == DEFLATE)
        pages(b, c, deflate_run);
    else if (n == HINT)
        take_hint(b, c);
    else
        b->reported_bytes += drop_segments(b, c);
}

static bool balloon_serve(struct virtio *v, unsigned n)
{
    struct virtio_balloon *b = (struct virtio_balloon *)v;
    struct virtq_chain c;
    bool more = true;
    for (unsigned i = 0; i < TURN_MAX && more; i++) {
        more = virtio_pop(v, n, &c);
        if (more && n <= DEFLATE && c.out_len > 4ull * PFNS_MAX) {
            virtio_break(v, "a request of too many pages");
            return false;
        }
        if (more && n == STATS) {
            take_stats(b, &c);
        } else if (more) {
            balloon_take(b, n, &c);
            virtio_push(v, n, c.head, 0);
        }
    }
    virtio_flush(v, n);
    return more;
}

static bool balloon_told(struct virtio *v, unsigned n)
{
    struct virtio_balloon *b = (struct virtio_balloon *)v;
    if (n != HINT)
        return false;
    b->at_once = true;
    bool more = balloon_serve(v, n);
    b->at_once = false;
    return !more;
}

static unsigned balloon_config(const struct virtio *v, u8 config[VIRTIO_CONFIG_MAX])
{
    const struct virtio_balloon *b = (const struct virtio_balloon *)v;
    st32(config + NUM_PAGES, b->target);
    st32(config + ACTUAL, b->actual);
    st32(config + HINT_CMD_ID, b->hint_id);
    st32(config + POISON_VAL, b->poison);
    return CONFIG_LEN;
}

static void balloon_config_write(struct virtio *v, u64 off, unsigned size, u32 value)
{
    struct virtio_balloon *b = (struct virtio_balloon *)v;
    u8 config[VIRTIO_CONFIG_MAX];
    if (!range_ok(off, size, balloon_config(v, config)))
        return;
    u32 before = b->actual;
    st_n(config + off, value, size);
    b->actual = ld32(config + ACTUAL);
    b->poison = ld32(config + POISON_VAL);
    if (b->actual != before && b->changed)
        b->changed(b->opaque);
}

/* A driver that is gone has forgotten what it gave up. What the host wants of the next one stays. */
static void balloon_stop(struct virtio *v)
{
    struct virtio_balloon *b = (struct virtio_balloon *)v;
    struct mem *m = v->wires.mem;
    for (u64 gpa = 0; b->ballooned && gpa < m->span; gpa += PAGE_SIZE)
        if (mem_frame_flags(m, gpa) & FRAME_BALLOONED) {
            mem_frame_clear(m, gpa, FRAME_BALLOONED);
            b->ballooned--;
        }
    b->ballooned = 0;
    b->actual = b->poison = 0;
    b->hint_id = HINT_STOP;
    b->hinting = b->stats_held = false;
    b->stats_ns = 0;
}

static const struct virtio_type balloon_type = {
    .name = "virtio-balloon",
    .id = VIRTIO_BALLOON,
    .pci_class = 0x00ff00,
    .queues = QUEUES,
    .features = BALLOON_F_STATS | BALLOON_F_OOM | BALLOON_F_HINT | BALLOON_F_POISON | BALLOON_F_REPORTING,
    .serve = balloon_serve,
    .told = balloon_told,
    .config = balloon_config,
    .config_write = balloon_config_write,
    .stop = balloon_stop,
};

void virtio_balloon_init(struct virtio_balloon *b, const struct virtio_wires *wires, void (*changed)(void *opaque), void *opaque)
{
    *b = (struct virtio_balloon){.changed = changed, .opaque = opaque};
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        b->stats[i] = ~0ull;
    virtio_init(&b->v, &balloon_type, wires);
}

void virtio_balloon_set_target(struct virtio_balloon *b, u64 bytes)
{
    u64 size = b->v.wires.mem->size, pages = bytes < size ? (size - bytes) >> PAGE_SHIFT : 0;
    u32 target = pages < UINT32_MAX ? (u32)pages : UINT32_MAX;
    if (target == b->target)
        return;
    b->target = target;
    virtio_config_changed(&b->v);
}

u64 virtio_balloon_actual(const struct virtio_balloon *b)
{
    u64 size = b->v.wires.mem->size, given = (u64)b->actual << PAGE_SHIFT;
    return given < size ? size - given : 0;
}

static const struct field balloon_fields[] = {
    FIELD_KEEP(virtio_balloon, target), FIELD(virtio_balloon, actual, 0),         FIELD(virtio_balloon, poison, 0),
    FIELD(virtio_balloon, hint_id, 0),  FIELD(virtio_balloon, hinting, false),    FIELD(virtio_balloon, stats_held, false),
    FIELD(virtio_balloon, stats_head, 0), FIELD_ARRAY_KEEP(virtio_balloon, stats), FIELD(virtio_balloon, stats_ns, 0),
    FIELD_SINCE(virtio_balloon, hint_last, 0, 2),
};
static const struct field_table balloon_table = {"virtio_balloon", 2, balloon_fields, ARRAY_LEN(balloon_fields)};
const struct device_ops virtio_balloon_ops = {.fields = &balloon_table};
