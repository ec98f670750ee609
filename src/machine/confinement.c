#include "machine/confinement.h"

#include <string.h>

/* The loop's rights beyond descriptors that are open: what was asked for on the command line, and nothing that a guest could ask for. */
static unsigned rights(const struct trine_config *c)
{
    unsigned may = 0;
    if (c->qmp) /* pictures and snapshots, wherever its clients want them; media, each with threads of its own */
        may |= CONFINE_READ | CONFINE_WRITE | CONFINE_SERVE | CONFINE_THREADS;
    if (c->gdb || c->serial == TRINE_SERIAL_UNIX || (c->console && c->console_to == TRINE_SERIAL_UNIX))
        may |= CONFINE_SERVE;
    if (c->net.kind == TRINE_NET_USER) /* it looks into /etc/resolv.conf now and then */
        may |= CONFINE_CONNECT | CONFINE_READ;
    if (c->balloon_auto) /* /proc/meminfo */
        may |= CONFINE_READ;
    if (c->screenshot || c->saves_n)
        may |= CONFINE_WRITE;
    if (c->switches_n)
        may |= CONFINE_ENGINE;
    for (unsigned i = 0; i < c->disks_n; i++)
        if (!c->disks[i].format || strcmp(c->disks[i].format, "raw") != 0)
            may |= CONFINE_CHILD;
    return may;
}

enum status confinement_create(struct confine **c, const struct trine_config *cfg, struct error *e)
{
    unsigned kinds = cfg->time == TRINE_TIME_VIRTUAL ? 1u << CONFINE_SOLE : 1u << CONFINE_LOOP | 1u << CONFINE_VCPU;
    return confine_create(c, kinds | 1u << CONFINE_DISK | 1u << CONFINE_SHARE, rights(cfg), e);
}
