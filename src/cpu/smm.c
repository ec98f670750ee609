/* System management mode: SMI, RSM, SMRAM. SDM vol. 3, chapter "System Management Mode" (entry, RSM, NMI and
 * SMI blocking, auto-halt restart, SMBASE relocation); APM vol. 2, chapter 10. The save map is table 10-1 of
 * the APM, as KVM and QEMU lay it out (segment attributes: bits 8..23 of the descriptor's second word, limit
 * bits out), because that is what the firmware for virtual machines is written for; revision 0x20064 says
 * AMD64 map and SMBASE relocation. I/O instruction restart is not offered (bit 16 of the revision), the I/O
 * trap word at 0xfec0 stays 0: an SMI comes at the boundary behind the OUT. Not modelled: dual-monitor
 * treatment, SMM's MSRs (SMRR, TSEG). */
#include "cpu/smm.h"

#include <string.h>

#include "base/bits.h"
#include "base/le.h"
#include "cpu/model.h"
#include "cpu/segment.h"
#include "cpu/tlb.h"
#include "cpu/walk.h"

#define SMM_ENTRY    0x8000u /* from SMBASE */
#define MAP_AT       0xfe00u
#define MAP_SIZE     0x200u
#define SMM_REVISION 0x00020064u

/* Offsets in the map, from SMBASE + 0xfe00. */
enum {
    MAP_ES = 0x00, /* 16 bytes each: selector, attributes, limit, base */
    MAP_CS = 0x10,
    MAP_SS = 0x20,
    MAP_DS = 0x30,
    MAP_FS = 0x40,
    MAP_GS = 0x50,
    MAP_GDTR = 0x60,
    MAP_LDTR = 0x70,
    MAP_IDTR = 0x80,
    MAP_TR = 0x90,
    MAP_HALT = 0xc9, /* auto-halt restart */
    MAP_EFER = 0xd0,
    MAP_REVISION = 0xfc,
    MAP_SMBASE = 0x100,
    MAP_CR4 = 0x148,
    MAP_CR3 = 0x150,
    MAP_CR0 = 0x158,
    MAP_DR7 = 0x160,
    MAP_DR6 = 0x168,
    MAP_RFLAGS = 0x170,
    MAP_RIP = 0x178,
    MAP_R15 = 0x180, /* down to RAX at 0x1f8 */
};

static const u8 map_seg[SEG_COUNT] = {
    [SEG_ES] = MAP_ES, [SEG_CS] = MAP_CS, [SEG_SS] = MAP_SS,     [SEG_DS] = MAP_DS,
    [SEG_FS] = MAP_FS, [SEG_GS] = MAP_GS, [SEG_LDTR] = MAP_LDTR, [SEG_TR] = MAP_TR,
};

u8 *smram_hva(const struct cpu *c, u64 gpa, unsigned len, unsigned acc)
{
    struct mem *m = c->wires.mem;
    u8 need = SMRAM_OPEN;
    if (!mem_is_smram(m, gpa, len))
        return NULL;
    if (c->smm)
        need |= acc & ACC_FETCH ? SMRAM_CODE : SMRAM_DATA;
    return atomic_load_explicit(&m->smram, memory_order_relaxed) & need ? m->base + gpa : NULL;
}

/* --- the map and memory: what is neither RAM nor visible SMRAM keeps nothing and reads as ones. */

static void map_store(struct cpu *c, u64 gpa, const u8 *map)
{
    struct mem *m = c->wires.mem;
    u8 *hva = smram_hva(c, gpa, MAP_SIZE, ACC_WRITE);
    if (hva)
        memcpy(hva, map, MAP_SIZE);
    else if (!mem_is_writable(m, gpa, MAP_SIZE) || !mem_write(m, gpa, map, MAP_SIZE))
        log_guest(c->wires.log, "SMI: no memory for the saved state at %#llx", (unsigned long long)gpa);
}

static void map_load(const struct cpu *c, u64 gpa, u8 *map)
{
    const u8 *hva = cpu_ram(c, gpa, MAP_SIZE, ACC_READ);
    if (hva)
        memcpy(map, hva, MAP_SIZE);
    else
        memset(map, 0xff, MAP_SIZE);
}

/* --- SMI */

static void save_seg(u8 *map, const struct seg *s)
{
    u16 attr = s->attr & SEG_UNUSABLE ? s->attr & (u16)~SEG_P : s->attr;
    st16(map, s->sel);
    st16(map + 2, (u16)((attr & 0xff) | (attr & 0xf00) << 4));
    st32(map + 4, s->limit);
    st64(map + 8, s->base);
}

static void save_state(const struct cpu *c, u8 *map)
{
    const struct {
        u16 at;
        u64 value;
    } regs[] = {
        {MAP_EFER, c->efer}, {MAP_CR4, c->cr4},
        {MAP_CR3, c->cr3},   {MAP_CR0, c->cr0},
        {MAP_DR7, c->dr7},   {MAP_DR6, c->dr6},
        {MAP_RIP, c->rip},   {MAP_RFLAGS, cpu_rflags(c) | (c->rep_at == c->icount ? RFLAGS_RF : 0)},
    };
    for (unsigned s = 0; s < SEG_COUNT; s++)
        save_seg(map + map_seg[s], &c->seg[s]);
    st32(map + MAP_GDTR + 4, c->gdt.limit);
    st64(map + MAP_GDTR + 8, c->gdt.base);
    st32(map + MAP_IDTR + 4, c->idt.limit);
    st64(map + MAP_IDTR + 8, c->idt.base);
    map[MAP_HALT] = c->activity == ACTIVITY_HALTED;
    for (size_t k = 0; k < ARRAY_LEN(regs); k++)
        st64(map + regs[k].at, regs[k].value);
    st32(map + MAP_REVISION, SMM_REVISION);
    st32(map + MAP_SMBASE, (u32)c->smbase);
    for (unsigned r = 0; r < 16; r++)
        st64(map + MAP_R15 + 8 * (15 - r), c->gpr[r].q);
}

/* The environment of the handler: SDM vol. 3, "SMI Handler Execution Environment". */
static void enter_state(struct cpu *c)
{
    const u16 data = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_G;
    c->cr0 &= ~(u64)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    c->cr4 = c->efer = 0;
    c->dr7 = 0x400;
    cpu_set_rflags(c, RFLAGS_ONE);
    for (unsigned s = 0; s < SEG_LDTR; s++)
        c->seg[s] = (struct seg){.attr = data, .limit = 0xffffffff};
    c->seg[SEG_CS] = (struct seg){
        .sel = (u16)(c->smbase >> 4), .attr = data | SEG_CODE, .limit = 0xffffffff, .base = c->smbase};
    c->rip = SMM_ENTRY;
    c->activity = ACTIVITY_RUNNING;
    c->shadow_at = c->rep_at = UINT64_MAX;
    c->shadow_ss = false;
}

/* Other address spaces, other memory: nothing that was looked up before holds. */
static void views_change(struct cpu *c)
{
    tlb_load_cr3(c, c->cr4 & CR4_PCIDE ? (u16)(c->cr3 & 0xfff) : 0, true);
    tlb_flush_all(c);
    cpu_update_mode(c);
}

void smm_enter(struct cpu *c)
{
    u8 map[MAP_SIZE] = {0};
    c->smm = true;
    map_load(c, c->smbase + MAP_AT, map); /* reserved fields stay */
    save_state(c, map);
    map_store(c, c->smbase + MAP_AT, map);
    c->smm_nmi_blocked = c->nmi_blocked;
    c->smm_pending_db = c->pending_db; /* an SMI goes before the traps of the instruction before it */
    c->nmi_blocked = true;
    c->pending_db = 0;
    enter_state(c);
    views_change(c);
}

/* --- RSM */

static void load_seg(struct cpu *c, enum seg_reg s, const u8 *map)
{
    u16 raw = ld16(map + 2), attr = (u16)((raw & 0xff) | (raw >> 4 & 0xf00));
    if (!(attr & SEG_P))
        attr = (attr & SEG_DPL) | SEG_UNUSABLE;
    c->seg[s] = (struct seg){.sel = ld16(map), .attr = attr, .limit = ld32(map + 4), .base = ld64(map + 8)};
}

/* What sends RSM into shutdown: reserved bits of CR0, CR3, CR4, EFER, DR6, DR7 and combinations that no MOV
 * would take (SDM: "Exiting From SMM"; APM 10.3.4); and a code segment that cannot be one. */
static bool state_ok(const struct cpu *c, const u8 *map)
{
    u64 cr0 = ld64(map + MAP_CR0), cr4 = ld64(map + MAP_CR4), efer = ld64(map + MAP_EFER);
    bool paging = cr0 & CR0_PG, lma = efer & EFER_LMA;
    u16 cs = ld16(map + MAP_CS + 2), tr = ld16(map + MAP_TR + 2);
    if (cr0 >> 32 || (paging && !(cr0 & CR0_PE)) || (cr0 & CR0_NW && !(cr0 & CR0_CD)))
        return false;
    if (cr4 & ~c->wires.model->cr4_mask || ld64(map + MAP_CR3) & ~cpu_phys_mask(c))
        return false;
    if (efer & ~(u64)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) || lma != (paging && efer & EFER_LME))
        return false;
    if (lma ? !(cr4 & CR4_PAE) || (cs & SEG_L << 4 && cs & SEG_DB << 4) : (bool)(cr4 & CR4_PCIDE))
        return false;
    if (ld64(map + MAP_DR6) >> 32 || ld64(map + MAP_DR7) >> 32)
        return false;
    /* 16-bit tasks do not exist in IA-32e mode. */
    return cs & SEG_P && cs & SEG_S && (!lma || !(tr & SEG_P) || tr & TYPE_WIDE);
}

static bool load_state(struct cpu *c, const u8 *map)
{
    if (!state_ok(c, map))
        return false;
    c->cr0 = (ld64(map + MAP_CR0) & CR0_ALL) | CR0_ET;
    c->cr3 = ld64(map + MAP_CR3);
    c->cr4 = ld64(map + MAP_CR4);
    c->efer = ld64(map + MAP_EFER);
    c->dr6 = (ld64(map + MAP_DR6) & 0xe00f) | 0xffff0ff0;
    c->dr7 = (ld64(map + MAP_DR7) & 0xffff23ff) | 0x400;
    cpu_set_rflags(c, ld64(map + MAP_RFLAGS));
    c->rip = ld64(map + MAP_RIP);
    for (unsigned s = 0; s < SEG_COUNT; s++)
        load_seg(c, s, map + map_seg[s]);
    c->gdt = (struct dtable){.base = ld64(map + MAP_GDTR + 8), .limit = ld16(map + MAP_GDTR + 4)};
    c->idt = (struct dtable){.base = ld64(map + MAP_IDTR + 8), .limit = ld16(map + MAP_IDTR + 4)};
    for (unsigned r = 0; r < 16; r++)
        c->gpr[r].q = ld64(map + MAP_R15 + 8 * (15 - r));
    c->smbase = ld32(map + MAP_SMBASE);
    bool pae = c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !(c->efer & EFER_LMA);
    return !pae || pdpte_load(c, c->cr3);
}

bool op_rsm(struct cpu *c)
{
    u8 map[MAP_SIZE];
    if (!c->smm)
        return cpu_raise_ud(c);
    map_load(c, c->smbase + MAP_AT, map);
    bool ok = load_state(c, map);
    c->smm = false;
    c->nmi_blocked = c->smm_nmi_blocked;
    c->pending_db = c->smm_pending_db;
    c->shadow_at = c->rep_at = UINT64_MAX;
    views_change(c);
    if (!ok) {
        log_guest(c->wires.log, "RSM: the saved state at %#llx is invalid",
                  (unsigned long long)c->smbase + MAP_AT);
        cpu_shutdown(c);
        return true;
    }
    if (c->pending_db)
        cpu_attend(c, ATTN_TRAP);
    if (map[MAP_HALT] & 1)
        c->activity = ACTIVITY_HALTED;
    return true;
}
