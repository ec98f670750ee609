/* System management mode where a guest cannot look: what RSM refuses ends in shutdown, SMRAM by mode and
 * control bits, the order of SMI, INIT and traps. */
#include "cpu_rig.h"

#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/smm.h"

enum { SMBASE = 0x30000 };

static void enter(struct rig *r)
{
    cpu_attend(r->c, ATTN_SMI);
    CHECK(cpu_take_event(r->c));
    CHECK(r->c->smm);
}

static void begin(struct rig *r, bool wide)
{
    static struct log log;
    static struct cpu_model *model;
    if (!model)
        model = cpu_model_create(CPU_LEVEL_V2, 1, MEM_PHYS_BITS);
    if (!model || !rig_create(r))
        exit(1);
    log_init(&log);
    r->c->wires.model = model;
    r->c->wires.log = &log;
    rig_reset(r, wide, 0);
    r->c->smbase = SMBASE;
}

static const struct {
    const char *what;
    u32 at;
    u64 set, clear;
} refused[] = {
    {"CR4 reserved", 0xff48, BIT(23), 0},     {"CR0 above bit 31", 0xff58, BIT(40), 0},
    {"PG without PE", 0xff58, 0, CR0_PE},     {"NW without CD", 0xff58, CR0_NW, CR0_CD},
    {"CR3 reserved", 0xff50, BIT(60), 0},     {"EFER reserved", 0xfed0, BIT(9), 0},
    {"LMA without LME", 0xfed0, 0, EFER_LME}, {"long mode without PAE", 0xff48, 0, CR4_PAE},
    {"L and D", 0xfe12, 0x4000, 0},           {"DR6 above bit 31", 0xff68, BIT(33), 0},
    {"DR7 above bit 31", 0xff60, BIT(33), 0}, {"CS not present", 0xfe12, 0, 0x80},
    {"16-bit TSS", 0xfe92, 0x80, 0x08},
};

static void test_refused(void)
{
    for (size_t k = 0; k < ARRAY_LEN(refused); k++) {
        struct rig r;
        begin(&r, true);
        enter(&r);
        u64 gpa = SMBASE + refused[k].at;
        unsigned size = refused[k].at == 0xfe12 || refused[k].at == 0xfe92 ? 2 : 8;
        rig_put(&r, gpa, (rig_get(&r, gpa, size) | refused[k].set) & ~refused[k].clear, size);
        CHECK(op_rsm(r.c));
        if (r.c->activity != ACTIVITY_SHUTDOWN)
            printf("%s is not refused\n", refused[k].what);
        CHECK_EQ(r.c->activity, ACTIVITY_SHUTDOWN);
        CHECK_EQ(r.shutdowns, 1);
        rig_destroy(&r);
    }
}

static void test_round_trip(void)
{
    for (int wide = 0; wide < 2; wide++) {
        struct rig r;
        begin(&r, wide);
        struct cpu *c = r.c;
        c->nmi_blocked = true;
        c->pending_db = BIT(14);
        cpu_attend(c, ATTN_SMI | ATTN_TRAP | ATTN_INIT);
        struct cpu before = *c;
        CHECK(cpu_take_event(c)); /* the SMI goes first */
        CHECK(c->smm);
        CHECK_EQ(c->rip, 0x8000);
        CHECK_EQ(c->seg[SEG_CS].base, SMBASE);
        CHECK(!cpu_take_event(c)); /* INIT and the trap wait */
        cpu_attend(c, ATTN_SMI);
        CHECK(!cpu_take_event(c));
        c->nmi_blocked = false;
        CHECK(op_rsm(c));
        CHECK(!c->smm);
        CHECK(c->nmi_blocked);
        CHECK_EQ(c->pending_db, BIT(14));
        CHECK_EQ(c->rip, before.rip);
        CHECK_EQ(c->cr0, before.cr0);
        CHECK_EQ(c->cr4, before.cr4);
        CHECK_EQ(c->efer, before.efer);
        CHECK_EQ(c->cpl, before.cpl);
        CHECK_EQ(c->code_size, before.code_size);
        CHECK_EQ(cpu_rflags(c), cpu_rflags(&before));
        for (unsigned s = 0; s < SEG_COUNT; s++) {
            CHECK_EQ(c->seg[s].sel, before.seg[s].sel);
            CHECK_EQ(c->seg[s].base, before.seg[s].base);
        }
        rig_destroy(&r);
    }
}

static void test_views(void)
{
    static const struct {
        u8 control;
        bool smm, fetch, seen;
    } views[] = {
        {0, true, false, false},
        {0, true, true, false},
        {SMRAM_OPEN, false, false, true},
        {SMRAM_CODE | SMRAM_DATA, false, false, false},
        {SMRAM_CODE | SMRAM_DATA, false, true, false},
        {SMRAM_CODE | SMRAM_DATA, true, false, true},
        {SMRAM_CODE, true, false, false},
        {SMRAM_CODE, true, true, true},
    };
    struct rig r;
    begin(&r, false);
    for (size_t k = 0; k < ARRAY_LEN(views); k++) {
        atomic_store(&r.m.smram, views[k].control);
        r.c->smm = views[k].smm;
        CHECK_EQ(cpu_ram(r.c, 0xa8000, 8, views[k].fetch ? ACC_FETCH : ACC_READ) != NULL, views[k].seen);
        u8 byte;
        CHECK(!mem_read(&r.m, 0xa8000, &byte, 1)); /* no device, ever */
        CHECK(!mem_write(&r.m, 0xa8000, &byte, 1));
    }
    r.c->smm = true;
    atomic_store(&r.m.smram, SMRAM_OPEN);
    CHECK(!smram_hva(r.c, 0xbfffc, 8, ACC_READ)); /* not over its end */
    CHECK(!smram_hva(r.c, 0x9fffc, 8, ACC_READ));
    rig_destroy(&r);
}

int main(void)
{
    test_refused();
    test_round_trip();
    test_views();
    return check_done();
}
