/* gdb's memory and breakpoint packets. Memory is RAM alone: reading a device would change it. */
#include <string.h>

#include "base/bits.h"
#include "cpu/walk.h"
#include "mon/gdb_session.h"

#define ERROR_FAULT 0x0e /* EFAULT */
#define ERROR_INVAL 0x16 /* EINVAL */

/* Moves up to LEN bytes between BUF and guest memory at ADDR, page by page; returns how many could be. */
static size_t move(struct gdb *g, u64 addr, u8 *buf, size_t len, bool write)
{
    const struct gdb_target *t = &g->target;
    const struct cpu *c = t->cpu(t->opaque, g->cpu);
    size_t done = 0;
    while (done < len) {
        u64 lin = addr + done, gpa = lin;
        size_t n = PAGE_SIZE - (lin & ~PAGE_MASK);
        n = n < len - done ? n : len - done;
        if (!g->physical) {
            struct walk w;
            if (!page_peek(c, lin, &w))
                break;
            gpa = w.gpa;
        }
        if (!(write ? t->write(t->opaque, gpa, buf + done, n) : t->read(t->opaque, gpa, buf + done, n)))
            break;
        done += n;
    }
    return done;
}

/* ADDR,LEN; TAIL is left behind the length. */
static bool range(const char **arg, u64 *addr, u64 *len)
{
    return gdb_hex_number(arg, addr) && *(*arg)++ == ',' && gdb_hex_number(arg, len);
}

void gdb_read_memory(struct gdb *g, const char *arg)
{
    u8 buf[GDB_PACKET_MAX / 2];
    u64 addr, len;
    if (!range(&arg, &addr, &len) || *arg) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    size_t n = move(g, addr, buf, len < sizeof buf ? (size_t)len : sizeof buf, false);
    if (!n && len)
        gdb_reply_error(g, ERROR_FAULT);
    else
        gdb_reply_bytes(g, buf, n);
}

void gdb_write_memory(struct gdb *g, const char *arg, bool binary)
{
    static const u8 none[1];
    u8 buf[GDB_PACKET_MAX];
    u64 addr, len;
    bool ok = range(&arg, &addr, &len) && *arg++ == ':' && len <= sizeof buf;
    size_t have = ok ? g->in.len - (size_t)(arg - (const char *)g->in.body) : 0;
    if (ok && binary && have == len)
        memcpy(buf, have ? (const u8 *)arg : none, have);
    else if (!ok || binary || have != 2 * len || !gdb_hex_bytes(arg, buf, (size_t)len)) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    if (move(g, addr, buf, (size_t)len, true) == len)
        gdb_reply_ok(g);
    else
        gdb_reply_error(g, ERROR_FAULT);
}

static bool fetch_point(struct debug_points *p, u64 addr, bool insert)
{
    unsigned i = 0;
    while (i < p->fetch_n && p->fetch[i] != addr)
        i++;
    if (insert && i == p->fetch_n) {
        if (i == POINTS_MAX)
            return false;
        p->fetch[p->fetch_n++] = addr;
    } else if (!insert && i < p->fetch_n) {
        p->fetch[i] = p->fetch[--p->fetch_n];
    }
    p->generation++;
    return true;
}

static bool data_point(struct debug_points *p, struct data_point d, bool insert)
{
    unsigned i = 0;
    while (i < p->data_n && (p->data[i].lin != d.lin || p->data[i].len != d.len || p->data[i].kind != d.kind))
        i++;
    if (insert && i == p->data_n) {
        if (i == POINTS_MAX)
            return false;
        p->data[p->data_n++] = d;
    } else if (!insert && i < p->data_n) {
        p->data[i] = p->data[--p->data_n];
    }
    return true;
}

/* TYPE,ADDR,KIND: 0 and 1 stop before an instruction, 2 to 4 after a write, a read, either. */
void gdb_point(struct gdb *g, const char *arg, bool insert)
{
    static const u8 kinds[] = {[2] = POINT_WRITE, [3] = POINT_READ, [4] = POINT_ACCESS};
    struct debug_points *p = g->target.points(g->target.opaque);
    u64 type, addr, len;
    if (!gdb_hex_number(&arg, &type) || *arg++ != ',' || !range(&arg, &addr, &len) || (*arg && *arg != ';')) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    if (type > 4) {
        gdb_reply_text(g, ""); /* not known here */
        return;
    }
    bool ok = type < 2 ? fetch_point(p, addr, insert)
                       : len && data_point(p, (struct data_point){addr, len, kinds[type]}, insert);
    if (!ok) {
        gdb_reply_error(g, ERROR_INVAL);
        return;
    }
    g->target.points_changed(g->target.opaque);
    gdb_reply_ok(g);
}
