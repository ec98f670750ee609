/* The dispatcher: enters translated code, serves what leaves it, and hands to the interpreter what is not
 * translated: 16-bit code and segments that are not flat, single steps, and the last stretch before an instruction limit. */
#include <stdio.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpu/model.h"
#include "engine/bt/bt.h"
#include "engine/bt/tr.h"
#include "engine/bt/show.h"
#include "engine/bt/x87.h"
#include "engine/boundary.h"
#include "engine/interp/inner.h"

/* How long code of other modes runs before it is looked at again, in instructions. */
#define FOREIGN_SLICE 4096

static u32 mode_of(const struct cpu *c)
{
    bool ts = c->cr0 & CR0_TS;
    bool sse = !ts && !(c->cr0 & CR0_EM) && c->cr4 & CR4_OSFXSR;
    bool avx = !ts && c->cr4 & CR4_OSXSAVE && (c->xcr0 & 6) == 6;
    return (sse ? BT_MODE_SSE : 0) | (avx ? BT_MODE_AVX : 0) | (c->cpl ? BT_MODE_USER : 0) |
           (bt_x87_native(c) ? BT_MODE_X87 : 0) | (c->code_size == 4 ? BT_MODE_32 : 0);
}

/* A small number for (TLB epoch, mode), so that it fits under a page's address. When they are used up,
 * all that was looked up under them is forgotten. */
static u32 key_of(struct bt *b, u64 what)
{
    unsigned k = bt_key_slot(what);
    if (b->key_cache[k].what == what)
        return b->key_cache[k].key;
    if (b->keys_n == PAGE_SIZE) {
        memset(b->key_cache, 0, sizeof b->key_cache);
        bt_region_forget_checks(b);
        b->keys_n = 1;
    }
    b->key_cache[k].what = what;
    return b->key_cache[k].key = b->keys_n++;
}

static void set_page(struct bt *b, u64 rip)
{
    b->scratch->rip_page = rip & PAGE_MASK;
    b->scratch->page_tag = (rip & PAGE_MASK) | b->scratch->key;
}

/* A data segment of 4 GiB that can be written, at any base. */
static bool unlimited(const struct seg *s)
{
    return s->limit == UINT32_MAX &&
           (s->attr & (SEG_UNUSABLE | SEG_P | SEG_S | SEG_CODE | SEG_DC | SEG_RW)) == (SEG_P | SEG_S | SEG_RW);
}

/* Is this code translated? 64-bit code, and 32-bit code whose segments, but FS and GS, are flat. */
static bool translatable(const struct cpu *c)
{
    return c->flat && c->stack_size == c->code_size;
}

static void load_views(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *s = b->scratch;
    struct tlb_context *x = &c->tlb->context[c->tlb->active];
    s->tlb = c->tlb->current;
    s->by_ac[0].view = c->cr4 & CR4_SMAP ? TLB_VIEW_KERNEL : TLB_VIEW_KERNEL_AC;
    s->by_ac[1].view = TLB_VIEW_KERNEL_AC;
    for (unsigned k = 0; k < 2; k++)
        s->by_ac[k].table = &x->view[s->by_ac[k].view];
}

static void load_segments(struct bt *b)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *s = b->scratch;
    for (unsigned k = 0; k < 6; k++)
        s->seg_base[k] = c->seg[k].base;
    s->seg_flat[SEG_FS] = unlimited(&c->seg[SEG_FS]), s->seg_flat[SEG_GS] = unlimited(&c->seg[SEG_GS]);
}

/* All that decides which code runs, and how it finds its memory. */
static void load_place(struct bt *b, u32 mode)
{
    b->mode = mode;
    bt_pages_follow(b);
    load_views(b);
    load_segments(b);
}

bool bt_reload(struct bt *b)
{
    u32 mode = mode_of(b->cpu);
    if (!translatable(b->cpu) || (mode ^ b->mode) & ~(u32)(BT_MODE_USER | BT_MODE_32))
        return false;
    load_place(b, mode);
    return true;
}

/* struct cpu to the scratch page, and back. */
static void load_state(struct bt *b, u64 budget)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *s = b->scratch;
    load_place(b, mode_of(c));
    s->key = key_of(b, tlb_code_epoch(c) << BT_MODE_BITS | b->mode);
    s->home[0] = c->gpr[R10].q, s->home[1] = c->gpr[R11].q, s->home[2] = c->gpr[R15].q, s->home[3] = c->gpr[R14].q;
    s->budget = (i64)budget;
    s->icount_end = c->icount + budget;
    s->flags = bt_flags_image(flags_value(&c->fl));
    s->mxcsr = c->fpu.mxcsr;
    s->fcw = c->fpu.fcw;
    s->fip_page = c->fpu.fip, s->fip_off = 0;
}

static void store_state(struct bt *b)
{
    struct cpu *c = b->cpu;
    const struct bt_scratch *s = b->scratch;
    bt_store_homes(b);
    c->icount = s->icount_end - (u64)s->budget;
    flags_load(&c->fl, (u32)bt_flags_of(s->flags));
    c->fpu.mxcsr = s->mxcsr;
    if (s->x87_in)
        bt_x87_save(b);
    c->fpu.fcw = (u16)s->fcw;
    c->fpu.fip = s->fip_page + s->fip_off;
}

/* The block for RIP in the variant of FLAGS, translated if need be. 0: fault recorded, or (*FOREIGN) it does
 * not lie in RAM. */
static u32 find(struct bt *b, u64 rip, u32 flags, bool *foreign)
{
    struct cpu *c = b->cpu;
    struct place p;
    *foreign = false;
    if (!bt_is_code(c, rip)) {
        cpu_raise_gp(c, 0);
        return 0;
    }
    if (!lin_translate(c, rip, ACC_FETCH, &p))
        return 0;
    if (!p.hva || mem_is_smram(c->wires.mem, p.gpa, 1)) { /* SMRAM: who sees it may change */
        *foreign = true;
        return 0;
    }
    bt_page_note(b, rip, p.gpa);
    u32 mode = b->mode | flags;
    u32 code, n = bt_block_find(b, p.gpa, mode, &code);
    if (n)
        return n;
    frame_mark_code(c, p.gpa, FRAME_TRANSLATED); /* a safe point, so before its bytes are read */
    if ((n = bt_dormant_find(b, p.gpa, mode, p.hva, rip)) != 0)
        return n;
    frame_mark_code(c, p.gpa, FRAME_TRANSLATED); /* that may have been one too */
    return bt_translate(b, p.gpa, mode, p.hva, rip);
}

/* The code for RIP: by the jump table, or found and entered there. Null: as find. */
static void *code_for(struct bt *b, u64 rip, bool *foreign)
{
    const struct bt_jump *known = bt_jump_find(b, rip);
    if (known)
        return known->code;
    u32 n = find(b, rip, 0, foreign);
    if (!n)
        return NULL;
    return bt_jump_enter(b, rip, b->blocks[n].code)->code;
}

/* A dropped block was found in the jump table: nobody finds it there again. */
static void forget(struct bt *b, u64 rip)
{
    for (unsigned way = 0; way < 2; way++)
        if (bt_jump_entry(b, rip, way)->rip == rip)
            bt_jump_entry(b, rip, way)->key = 0;
}

static void enter(struct bt *b, void *code)
{
    union {
        void *p;
        void (*fn)(void);
    } stub = {.p = b->code + b->stub_enter};
    b->scratch->entry = (u64)(uintptr_t)code;
    bt_near_check(b);
    if (UNLIKELY(b->patched)) {
        b->patched = false;
        bt_serialize();
    }
    bt_signal_enter(b);
    stub.fn();
    bt_signal_enter(NULL);
}

/* After a direct branch that is not linked: the target's RIP; links it if it can be. */
static u64 follow_link(struct bt *b, const struct bt_site *s)
{
    struct bt_scratch *x = b->scratch;
    u32 number = s->link;
    u64 flushed_at = b->flushed;
    const struct bt_link l = b->links[number];
    bool foreign, dead = b->blocks[l.from].dead;
    u64 from = x->rip_page, rip = bt_cut_rip(b, from + (u64)(i64)l.delta);
    if (dead)
        return rip;
    u32 variant = (!l.cross && s->flags_host ? BT_MODE_FLAGS : 0) | (l.careful ? BT_MODE_CAREFUL : 0) | (l.parts ? BT_MODE_PARTS : 0);
    u32 n = find(b, rip, variant, &foreign);
    if (!n || b->flushed != flushed_at) /* the caller finds out; or the link may be gone */
        return rip;
    bt_link_set(b, number, n);
    if (l.cross)
        b->tags[number] = from | x->key;
    return rip;
}

void bt_settle(struct bt *b, const struct bt_site *s)
{
    b->scratch->budget += bt_site_refund(b, s);
    b->cpu->rip = bt_cut_rip(b, bt_site_rip(b, s));
}

/* RF, which most returns from a page fault bring, keeps instruction breakpoints off one instruction. There are none: it goes where that instruction may run in
 * the cache. Nobody sees it gone: where the cache is left before the instruction is done, the interpreter executes it with RF (resume_alone). */
bool bt_resume(struct bt *b, u64 icount)
{
    struct cpu *c = b->cpu;
    if (c->rflags_sys & RFLAGS_TF || debug_data_armed(c) || atomic_load_explicit(&c->attention, memory_order_relaxed))
        return false;
    c->rflags_sys &= ~(u64)RFLAGS_RF;
    b->resumed = icount;
    return true;
}

static void resume_alone(struct bt *b)
{
    b->resumed = UINT64_MAX;
    b->cpu->rflags_sys |= RFLAGS_RF;
    b->steps++;
    b->steps_of[OP_INVALID]++;
    engine_interp.step(b->inner, NULL);
}

/* The page fault that a fill ran into is this instruction's: all that it did before can be repeated, and nothing of it is visible. */
static void deliver_found(struct bt *b)
{
    b->faults++;
    cpu_deliver_fault(b->cpu);
}

/* Executes the instruction at c->rip by the interpreter; REP as far as the budget goes. */
static void one(struct bt *b, const struct bt_site *s)
{
    u64 left = b->scratch->budget > 0 ? (u64)b->scratch->budget : 1;
    if (s && bt_direct(b, s, &left)) {
        bt_called(b, s->op);
        return;
    }
    b->steps++;
    b->steps_of[s ? s->op : OP_INVALID]++;
    interp_one(b->inner, left);
}

/* The block at c->rip may run here from now on, or is gone. False: the next page is out of reach. */
static bool next_page_agrees(struct bt *b, const struct bt_site *s)
{
    struct cpu *c = b->cpu;
    struct place p;
    u64 next = (c->rip & PAGE_MASK) + PAGE_SIZE;
    if (!bt_is_code(c, next) || !lin_translate(c, next, ACC_FETCH, &p) || !p.hva || b->blocks[s->block].dead)
        return false;
    if (p.gpa == b->blocks[s->block].gpa2) {
        bt_page_note(b, next, p.gpa);
        b->tags[s->link] = b->scratch->page_tag;
        return true;
    }
    bt_block_drop(b, s->block);
    bt_dormant_keep(b, s->block);
    forget(b, c->rip);
    return true;
}

/* Runs from c->rip until something must be looked at. */
static void run_code(struct bt *b, u64 budget)
{
    struct cpu *c = b->cpu;
    struct bt_scratch *x = b->scratch;
    u64 rip = c->rip;
    load_state(b, budget);
    for (;;) {
        bool foreign;
        void *code = code_for(b, rip, &foreign);
        c->rip = rip;
        if (!code) {
            store_state(b);
            if (c->icount == b->resumed)
                resume_alone(b);
            else if (foreign)
                one(b, NULL);
            else
                cpu_deliver_fault(c);
            return;
        }
        set_page(b, rip);
        enter(b, code);
        if (b->quick_left) {
            b->quick_left = false;
            store_state(b);
            return;
        }
        const struct bt_site s = b->sites[x->info];
        b->exits[s.kind]++;
        if (s.kind == SITE_LINK) {
            rip = follow_link(b, &s);
            continue;
        }
        if (s.kind == SITE_LOOKUP && bt_is_code(c, x->target)) {
            c->gpr[RSP].q = bt_cut_rip(b, c->gpr[RSP].q + s.pop);
            rip = x->target;
            continue;
        }
        bt_settle(b, &s);
        if (s.kind == SITE_CHECK && next_page_agrees(b, &s)) {
            rip = c->rip;
            continue;
        }
        if (UNLIKELY(b->blocks[s.block].dead))
            forget(b, c->rip);
        store_state(b);
        if (c->icount == b->resumed)
            resume_alone(b);
        else if (s.kind == SITE_MEM && b->faulted)
            deliver_found(b);
        else if (s.kind != SITE_BUDGET)
            one(b, &s);
        return;
    }
}

/* Where silicon looks at a store's address last (docs/deviations.md), some instructions have changed TOP or MXCSR, or raised another exception, before its page
 * fault: the interpreter knows. */
static bool fault_comes_last(const struct cpu *c, const struct bt_site *s)
{
    return s->acc & ACC_WRITE && silicon_store_last(c->wires.model->silicon) &&
           (s->op == OP_MOVD || s->op == OP_MOVQ || s->op == OP_MOVNTQ || s->op == OP_VCVTPS2PH);
}

struct tlb_entry *bt_fill(struct bt *b, u64 lin, u32 site)
{
    struct cpu *c = b->cpu;
    struct bt_site s = b->sites[site];
    struct place p;
    u64 flushed = b->flushed, protects = c->tlb->protects;
    b->scratch->info = site;
    b->fills++;
    b->faulted = false;
    if (c->view == TLB_VIEW_NONE || (lin & ~PAGE_MASK) + s.size > PAGE_SIZE || !cpu_canonical(lin))
        return NULL;
    /* A vector operand out of line may be #GP, which comes before the walk. */
    if (s.size >= 16 && lin & (s.size - 1u))
        return NULL;
    if (!lin_translate(c, lin, s.acc, &p)) {
        b->faulted = !s.rep && !fault_comes_last(c, &s); /* REP's registers are cut before, on some processors (string.c) */
        return NULL;
    }
    /* The walk may be a safe point: this block may be gone, or what it keeps in its slots be code now. */
    if (b->flushed != flushed || c->tlb->protects != protects)
        return NULL;
    struct tlb_entry *e = tlb_find(c->tlb->current, lin, 1, s.acc);
    return e ? e : bt_beside(b, &s, lin, &p);
}

static enum run_result bt_run(void *state, u64 limit, struct error *e)
{
    struct bt *b = state;
    struct cpu *c = b->cpu;
    if (UNLIKELY(c->points && (c->points->fetch_n || c->points->data_n))) /* a debugger's points are the interpreter's */
        return engine_interp.run(b->inner, limit, e);
    b->resumed = UINT64_MAX; /* a count of another state's, perhaps: the machine may have been reset or restored */
    for (;;) {
        u32 attention;
        enum run_result r;
        if (engine_boundary(c, &attention, &r))
            return r;
        if (c->icount >= limit)
            return RUN_LIMIT;
        u64 left = limit - c->icount;
        bool resumes = c->rflags_sys & RFLAGS_RF && left > BT_SLACK && translatable(c) && bt_resume(b, c->icount);
        if (UNLIKELY(!resumes && interp_needs_step(c, attention))) {
            engine_interp.step(b->inner, e);
            continue;
        }
        if (!translatable(c) || left <= BT_SLACK) {
            u64 slice = !translatable(c) && left > FOREIGN_SLICE ? FOREIGN_SLICE : left;
            u64 before = c->icount;
            r = engine_interp.run(b->inner, c->icount + slice, e);
            b->foreign += c->icount - before;
            if (r != RUN_LIMIT || c->icount >= limit)
                return r;
            continue;
        }
        /* The budget pays for any one block, and what a block runs past it stays below the limit. */
        left -= BT_BLOCK_MAX;
        u64 quantum = c->company == CPU_CONCURRENT ? BT_QUANTUM_SHORT : BT_QUANTUM;
        run_code(b, left < quantum ? left : quantum);
        if (UNLIKELY(b->refused.open) && !bt_refused_settle(b, e))
            return RUN_ERROR;
    }
}

static enum run_result bt_step(void *state, struct error *e)
{
    return engine_interp.step(((struct bt *)state)->inner, e);
}

static void bt_configure(void *state, const struct engine_settings *s)
{
    struct bt *b = state;
    char name[32];
    b->settings = *s;
    if (s->cache_bytes && s->cache_bytes != b->capacity)
        bt_region_init(b, s->cache_bytes);
    if (s->scan)
        bt_scan_stubs(b);
    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    if (s->perf_map && !b->perf_map && (b->perf_map = fopen(name, "a")) != NULL)
        fprintf(b->perf_map, "%" PRIxPTR " %zx trine:stubs\n", (uintptr_t)b->code, b->stubs_end);
}

static u64 bt_flush_code(void *state, u64 gpa, u64 len)
{
    struct bt *b = state;
    return engine_interp.flush_code(b->inner, gpa, len) | bt_cache_invalidate(b, gpa, len);
}

static void bt_detach(void *state)
{
    struct bt *b = state;
    if (b->stubs_end)
        bt_cache_flush(b);
    if (b->inner)
        engine_interp.detach(b->inner);
    bt_arena_destroy(b);
    if (b->perf_map)
        fclose(b->perf_map);
    free(b->tr);
    free(b);
}

static void init_scratch(struct bt *b)
{
    struct bt_scratch *s = b->scratch;
    s->jumps = b->jumps;
    s->ymm = &b->cpu->fpu.ymm[0][0];
    s->gpr = &b->cpu->gpr[0].q;
    s->bt = b;
    s->cpu = b->cpu;
    s->mxcsr_host = 0x1f80;
    s->fill_fn = (u64)(uintptr_t)bt_fill;
    s->find_fn = (u64)(uintptr_t)tlb_find;
    s->write_fn = (u64)(uintptr_t)bt_find_write;
    s->quick_fn = (u64)(uintptr_t)bt_quick;
    s->call_fn = (u64)(uintptr_t)bt_call;
    s->tsc_fn = (u64)(uintptr_t)bt_tsc;
    s->x87_fn = (u64)(uintptr_t)bt_x87_load;
}

static enum status bt_attach(struct cpu *c, void *shared, void **state, struct error *e)
{
    (void)shared;
    struct bt *b = calloc(1, sizeof *b);
    if (!b)
        return error_set(e, STATUS_HOST, "bt: out of memory");
    b->cpu = c;
    b->keys_n = 1;
    b->resumed = UINT64_MAX;
    b->pages_seen = c->tlb->dropped_n;
    b->tr = malloc(sizeof *b->tr);
    enum status s = b->tr ? bt_arena_init(b, e) : error_set(e, STATUS_HOST, "bt: out of memory");
    if (s == STATUS_OK)
        s = engine_interp.attach(c, NULL, &b->inner, e);
    if (s != STATUS_OK) {
        bt_detach(b);
        return s;
    }
    bt_make_stubs(b);
    init_scratch(b);
    b->huge_cold = BT_COLD_AT;
    bt_region_init(b, BT_CODE_BYTES);
    bt_signal_init();
    *state = b;
    return STATUS_OK;
}

static bool bt_probe(char *why, size_t size)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx") && __builtin_cpu_supports("bmi2"))
        return true;
    snprintf(why, size, "it needs a CPU with AVX and BMI2");
#else
    snprintf(why, size, "it translates for x86-64 hosts alone");
#endif
    return false;
}

static void bt_nothing(void *state)
{
    (void)state;
}

static struct engine_stats bt_stats(void *state)
{
    const struct bt *b = state;
    return (struct engine_stats){
        .blocks_translated = b->translated,
        .blocks_flushed = b->flushed,
        .shared_bytes = bt_region_bytes(b, true),
        .counts_instructions = true,
        .counter = {{"steps", b->steps},
                    {"direct", b->direct},
                    {"fills", b->fills},
                    {"faults", b->faults},
                    {"beside_code", b->beside_n},
                    {"host_faults", b->host_faults},
                    {"stray_faults", b->stray_faults},
                    {"exits_step", b->exits[SITE_STEP]},
                    {"exits_memory", b->exits[SITE_MEM]},
                    {"exits_budget", b->exits[SITE_BUDGET]},
                    {"exits_link", b->exits[SITE_LINK]},
                    {"exits_lookup", b->exits[SITE_LOOKUP]},
                    {"followed", b->followed},
                    {"foreign", b->foreign},
                    {"code_bytes", bt_region_bytes(b, false)},
                    {"cache_flushes", b->cache_flushes},
                    {"scanned", b->scanned},
                    {"forbidden", b->forbidden},
                    {"evictions", b->evictions},
                    {"evicted", b->evicted},
                    {"again", b->again},
                    {"revived", b->revived},
                    {"repatched", b->repatched}},
        .steps_of = b->steps_of,
        .calls_of = b->calls_of};
}

const struct engine_ops engine_bt = {
    .name = "bt",
    .probe = bt_probe,
    .virtual_time = true,
    .max_cpus = 32,
    .concurrent = true,
    .features = cpu_features_host,
    .attach = bt_attach,
    .detach = bt_detach,
    .configure = bt_configure,
    .run = bt_run,
    .step = bt_step,
    .kick = bt_nothing,
    .pull = bt_nothing,
    .push = bt_nothing,
    .flush_code = bt_flush_code,
    .stats = bt_stats,
    .way = bt_way,
};
