/* Control registers, XCR0, protection keys, time-stamp counter, TLB instructions (SDM vol.
 * 3, 2.5, 5.10.4, 10.8.5; vol. 2 for each instruction). Not modelled: LAM, CET, 5-level paging, performance
 * counters (RDPMC faults), memory types (CD and NW are only kept). Paging-structure caches do not exist, so
 * nothing flushes them. */
#include "base/bits.h"
#include "cpu/model.h"
#include "cpu/tlb.h"
#include "cpu/walk.h"

#define CR3_PCID    0xfffull
#define CR3_NOFLUSH BIT(63)

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* The rules of SDM vol. 3, 10.8.5 for turning paging on and off. False: #GP. */
static bool cr0_paging_ok(const struct cpu *c, u64 v)
{
    bool was = c->cr0 & CR0_PG, is = v & CR0_PG;
    if (is && !(v & CR0_PE))
        return false;
    if (!was && is && c->efer & EFER_LME) {
        /* A 16-bit TSS cannot come along into IA-32e mode. */
        const struct seg *tr = &c->seg[SEG_TR];
        bool tss16 = !(tr->attr & SEG_UNUSABLE) && (tr->attr & (SEG_TYPE & ~2u)) == 1;
        return c->cr4 & CR4_PAE && !(c->seg[SEG_CS].attr & SEG_L) && !tss16;
    }
    return !(was && !is && (cpu_code64(c) || c->cr4 & CR4_PCIDE));
}

static bool cr0_write(struct cpu *c, u64 v)
{
    if (v >> 32)
        return cpu_raise_gp(c, 0);
    v = (v & CR0_ALL) | CR0_ET;
    if ((v & CR0_NW && !(v & CR0_CD)) || !cr0_paging_ok(c, v))
        return cpu_raise_gp(c, 0);
    u64 changed = c->cr0 ^ v;
    u64 efer = c->efer;
    if (changed & CR0_PG)
        efer = v & CR0_PG && efer & EFER_LME ? efer | EFER_LMA : efer & ~(u64)EFER_LMA;
    if (pae_paging(v, c->cr4, efer) && changed & (CR0_CD | CR0_NW | CR0_PG) && !pdpte_load(c, c->cr3))
        return false;
    c->cr0 = v;
    c->efer = efer;
    /* The soft TLB keeps permissions, so WP counts too. */
    if (changed & (CR0_PG | CR0_WP | CR0_PE))
        tlb_flush_all(c);
    cpu_update_mode(c);
    return true;
}

static bool cr3_write(struct cpu *c, u64 v)
{
    bool pcide = c->cr4 & CR4_PCIDE, keep = pcide && v & CR3_NOFLUSH;
    if (pcide)
        v &= ~CR3_NOFLUSH;
    if (v & ~cpu_phys_mask(c))
        return cpu_raise_gp(c, 0);
    if (pae_paging(c->cr0, c->cr4, c->efer) && !pdpte_load(c, v))
        return false;
    c->cr3 = v;
    tlb_load_cr3(c, pcide ? (u16)(v & CR3_PCID) : 0, keep);
    return true;
}

static bool cr4_write(struct cpu *c, u64 v)
{
    u64 changed = c->cr4 ^ v;
    if (v & ~c->wires.model->cr4_mask)
        return cpu_raise_gp(c, 0);
    if (cpu_long_mode(c) && !(v & CR4_PAE))
        return cpu_raise_gp(c, 0);
    if (changed & v & CR4_PCIDE && (!cpu_long_mode(c) || c->cr3 & CR3_PCID))
        return cpu_raise_gp(c, 0);
    if (pae_paging(c->cr0, v, c->efer) && changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) &&
        !pdpte_load(c, c->cr3))
        return false;
    c->cr4 = v;
    /* More than SDM 5.10.4.1 asks for: the soft TLB keeps permissions and page sizes. */
    if (changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE))
        tlb_flush_all(c);
    if (changed & CR4_PCIDE)
        tlb_load_cr3(c, 0, true);
    cpu_update_mode(c);
    return true;
}

bool op_mov_from_cr(struct cpu *c, unsigned cr, u64 *v)
{
    const u64 *reg[] = {&c->cr0, NULL, &c->cr2, &c->cr3, &c->cr4};
    if (cr != 8 && (cr >= ARRAY_LEN(reg) || !reg[cr]))
        return cpu_raise_ud(c);
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    *v = cr == 8 ? c->wires.cr8_read(c->wires.opaque, c) : *reg[cr];
    if (!cpu_code64(c))
        *v = (u32)*v;
    return true;
}

bool op_mov_to_cr(struct cpu *c, unsigned cr, u64 v)
{
    if (cr == 1 || (cr > 4 && cr != 8))
        return cpu_raise_ud(c);
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    if (!cpu_code64(c))
        v = (u32)v;
    switch (cr) {
    case 0: return cr0_write(c, v);
    case 2: c->cr2 = v; return true;
    case 3: return cr3_write(c, v);
    case 4: return cr4_write(c, v);
    default:
        if (v > 15)
            return cpu_raise_gp(c, 0);
        c->wires.cr8_write(c->wires.opaque, c, (u8)v);
        return true;
    }
}

bool op_lmsw(struct cpu *c, u16 v)
{
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    u64 low = CR0_PE | CR0_MP | CR0_EM | CR0_TS;
    return cr0_write(c, (c->cr0 & ~low) | (v & low) | (c->cr0 & CR0_PE)); /* PE cannot be cleared */
}

bool op_clts(struct cpu *c)
{
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    c->cr0 &= ~(u64)CR0_TS;
    return true;
}

bool op_xsetbv(struct cpu *c)
{
    u64 v = (u64)c->gpr[RDX].d << 32 | c->gpr[RAX].d;
    if (!(c->cr4 & CR4_OSXSAVE))
        return cpu_raise_ud(c);
    if (c->cpl != 0 || c->gpr[RCX].d != 0)
        return cpu_raise_gp(c, 0);
    if (!(v & XFEATURE_X87) || v & ~c->wires.model->xcr0_mask || (v & XFEATURE_AVX && !(v & XFEATURE_SSE)))
        return cpu_raise_gp(c, 0);
    c->xcr0 = v;
    return true;
}

bool op_xgetbv(struct cpu *c)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        return cpu_raise_ud(c);
    u64 v = c->xcr0;
    if (c->gpr[RCX].d == 1)
        v &= xsave_in_use(c);
    else if (c->gpr[RCX].d != 0)
        return cpu_raise_gp(c, 0);
    c->gpr[RAX].q = (u32)v;
    c->gpr[RDX].q = v >> 32;
    return true;
}

bool op_invlpg(struct cpu *c, u64 lin)
{
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    if (!cpu_code64(c) || cpu_canonical(lin)) /* else it does nothing */
        tlb_invlpg(c, lin);
    return true;
}

bool op_invpcid(struct cpu *c, u64 type, u64 desc_lin)
{
    if (!cpu_has(c, FEAT_INVPCID))
        return cpu_raise_ud(c);
    if (c->cpl != 0)
        return cpu_raise_gp(c, 0);
    u64 desc[2]; /* 11..0 of the first: PCID; second: linear address */
    if (!lin_read(c, desc_lin, desc, sizeof desc, ACC_READ))
        return false;
    u16 pcid = (u16)(desc[0] & CR3_PCID);
    if (type > 3 || desc[0] & ~CR3_PCID)
        return cpu_raise_gp(c, 0);
    if (type <= 1 && pcid && !(c->cr4 & CR4_PCIDE))
        return cpu_raise_gp(c, 0);
    if (type == 0 && !cpu_canonical(desc[1]))
        return cpu_raise_gp(c, 0);
    switch (type) {
    case 0: tlb_invpcid_page(c, pcid, desc[1]); break;
    case 1: tlb_flush_pcid(c, pcid); break;
    case 2: tlb_flush_all(c); break;
    default: tlb_flush_nonglobal(c); break;
    }
    return true;
}

bool op_rdpkru(struct cpu *c)
{
    if (!(c->cr4 & CR4_PKE))
        return cpu_raise_ud(c);
    if (c->gpr[RCX].d != 0)
        return cpu_raise_gp(c, 0);
    c->gpr[RAX].q = c->pkru;
    c->gpr[RDX].q = 0;
    return true;
}

void pkru_write(struct cpu *c, u32 v)
{
    if (c->pkru == v)
        return;
    c->pkru = v;
    tlb_flush_pkru(c);
}

bool op_wrpkru(struct cpu *c)
{
    if (!(c->cr4 & CR4_PKE))
        return cpu_raise_ud(c);
    if (c->gpr[RCX].d != 0 || c->gpr[RDX].d != 0)
        return cpu_raise_gp(c, 0);
    pkru_write(c, c->gpr[RAX].d);
    return true;
}

bool op_rdtsc(struct cpu *c, bool with_aux)
{
    if (with_aux && !cpu_has(c, FEAT_RDTSCP))
        return cpu_raise_ud(c);
    if (c->cr4 & CR4_TSD && c->cpl != 0)
        return cpu_raise_gp(c, 0);
    u64 t = cpu_tsc(c);
    c->gpr[RAX].q = (u32)t;
    c->gpr[RDX].q = t >> 32;
    if (with_aux)
        c->gpr[RCX].q = c->tsc_aux;
    return true;
}

bool op_rdpmc(struct cpu *c)
{
    return cpu_raise_gp(c, 0); /* no counter exists: every index is out of range */
}
