/* A debugger's points: see points.h. */
#include "cpu/points.h"

bool points_stop_before(const struct cpu *c, u64 rip)
{
    const struct debug_points *p = c->points;
    u64 lin = c->code_size == 8 ? rip : (u32)(rip + c->seg[SEG_CS].base);
    for (unsigned i = 0; i < p->fetch_n; i++)
        if (p->fetch[i] == lin)
            return true;
    return false;
}

void points_check_data(struct cpu *c, u64 lin, u64 len, bool write)
{
    const struct debug_points *p = c->points;
    for (unsigned i = 0; i < p->data_n && !c->point_hit.kind; i++) {
        const struct data_point *d = &p->data[i];
        bool meets = lin - d->lin < d->len || d->lin - lin < len; /* addresses wrap */
        if (meets && d->kind & (write ? POINT_WRITE : POINT_READ))
            c->point_hit = (struct point_hit){d->lin, d->kind};
    }
}
