/* The gdb stub's packets without a socket: what is answered, what is done, and what is refused. */
#include "gdb_rig.h"

#include "check.h"
#include "mon/gdb_regs.h"

static struct gdb_rig rig;

/* Sends one packet; returns the reply's body (the acknowledgement and the frame are checked), or "" for none.
 */
static const char *ask(const char *body)
{
    static u8 frame[GDB_FRAME_MAX], out[4 * GDB_FRAME_MAX];
    static struct gdb_input in;
    gdb_input(rig.gdb, frame, gdb_frame(frame, (const u8 *)body, strlen(body)));
    size_t n = gdb_output(rig.gdb, out, sizeof out);
    memset(&in, 0, sizeof in);
    in.body[0] = 0;
    CHECK(n && out[0] == '+');
    enum gdb_event last = GDB_NOTHING;
    for (size_t i = 1; i < n; i++)
        last = gdb_input_byte(&in, out[i]);
    CHECK(n == 1 || last == GDB_PACKET);
    return (const char *)in.body;
}

static void test_registers(void)
{
    struct cpu *c = &rig.cpus[0];
    c->gpr[RAX].q = 0x1122334455667788;
    c->rip = 0xfff0;
    CHECK_STR(ask("p0"), "8877665544332211");
    CHECK_STR(ask("p10"), "f0ff000000000000");
    CHECK_STR(ask("P3=0100000000000000"), "OK");
    CHECK_EQ(c->gpr[RDX].q, 1);
    CHECK_STR(ask("P12=00100000"), "OK"); /* CS, real mode: the base follows */
    CHECK_EQ(c->seg[SEG_CS].base, 0x10000);
    c->cr0 |= CR0_PE;
    CHECK_STR(ask("P12=08000000"), "E16");
    c->cr0 &= ~(u64)CR0_PE;
    CHECK_STR(ask("P12=00000100"), "E16");
    CHECK_STR(ask("P0=01"), "E16");
    CHECK_STR(ask("P0=01000000000000000"), "E16");
    CHECK_STR(ask("pffff"), "E16");
    CHECK_STR(ask("p"), "E16");
    size_t bytes = 0;
    for (unsigned n = 0; n < gdb_regs_count(); n++)
        bytes += gdb_reg_size(n);
    char all[2 * GDB_PACKET_MAX];
    strcpy(all, ask("g"));
    CHECK_EQ(strlen(all), 2 * bytes);
    memmove(all + 1, all, strlen(all) + 1);
    all[0] = 'G';
    memcpy(all + 1, "ff", 2);
    CHECK_STR(ask(all), "OK");
    CHECK_EQ(c->gpr[RAX].q, 0x11223344556677ff);
    CHECK_STR(ask("Gxx"), "E16");
}

static void test_x87(void)
{
    struct cpu *c = &rig.cpus[0];
    c->fpu.fsw = 7 << 11; /* TOP = 7: ST(0) is register 7 */
    c->fpu.ftw = 0x80;
    memcpy(c->fpu.st[7], "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
    CHECK_STR(ask("p18"), "0000000000000080ff3f"); /* st0: 1.0 */
    CHECK_STR(ask("p22"), "ff3f0000");             /* ftag: register 7 valid, others empty */
    CHECK_STR(ask("P22=ffff0000"), "OK");
    CHECK_EQ(c->fpu.ftw, 0);
}

static void test_memory(void)
{
    memcpy(rig.ram + 0x100, "\x01\x02\x03\x04", 4);
    CHECK_STR(ask("m100,4"), "01020304");
    CHECK_STR(ask("mfffe,4"), "0000"); /* as far as there is memory */
    CHECK_STR(ask("m10000,1"), "E0e");
    CHECK_STR(ask("mffffffffffffffff,2"), "E0e");
    CHECK_STR(ask("m100"), "E16");
    CHECK_STR(ask("m100,4x"), "E16");
    CHECK_STR(ask("M100,2:aabb"), "OK");
    CHECK_EQ(rig.ram[0x101], 0xbb);
    CHECK_STR(ask("M100,2:aa"), "E16");
    CHECK_STR(ask("M100,ffffffffffffffff:aa"), "E16");
    CHECK_STR(ask("X100,3:}#$"), "OK"); /* what has to be escaped */
    CHECK_EQ(rig.ram[0x102], '$');
    CHECK_STR(ask("X100,2:ab"), "OK");
    CHECK_EQ(rig.ram[0x100], 'a');
    CHECK_STR(ask("X100,0:"), "OK");
    CHECK_STR(ask("M10000,1:00"), "E0e");
    CHECK(strlen(ask("m0,ffffffff")) <= GDB_PACKET_MAX);
    CHECK_STR(ask("Qqemu.PhyMemMode:1"), "OK");
    CHECK_STR(ask("qqemu.PhyMemMode"), "1");
    CHECK_STR(ask("Qqemu.PhyMemMode:0"), "OK");
}

static void test_points(void)
{
    CHECK_STR(ask("Z0,1000,1"), "OK");
    CHECK_STR(ask("Z1,1000,1"), "OK"); /* the same place once */
    CHECK_EQ(rig.points.fetch_n, 1);
    CHECK_STR(ask("Z2,2000,4"), "OK");
    CHECK_EQ(rig.points.data_n, 1);
    CHECK_EQ(rig.cpus[1].view, TLB_VIEW_NONE);
    CHECK_STR(ask("Z2,2000,0"), "E16");
    CHECK_STR(ask("Z9,2000,1"), "");
    CHECK_STR(ask("Z0,2000"), "E16");
    points_check_data(&rig.cpus[0], 0x1ffd, 4, false);
    CHECK_EQ(rig.cpus[0].point_hit.kind, 0);
    points_check_data(&rig.cpus[0], 0x1ffd, 3, true);
    CHECK_EQ(rig.cpus[0].point_hit.kind, 0);
    points_check_data(&rig.cpus[0], 0x1ffd, 4, true);
    CHECK_EQ(rig.cpus[0].point_hit.kind, POINT_WRITE);
    rig.cpus[0].point_hit.kind = 0;
    CHECK_STR(ask("z2,2000,4"), "OK");
    CHECK_STR(ask("z0,1000,1"), "OK");
    CHECK_STR(ask("z0,1000,1"), "OK");
    CHECK_EQ(rig.points.fetch_n + rig.points.data_n, 0);
    char text[32];
    for (unsigned i = 0; i < POINTS_MAX; i++) {
        snprintf(text, sizeof text, "Z0,%x,1", i);
        CHECK_STR(ask(text), "OK");
    }
    CHECK_STR(ask("Z0,9999,1"), "E16");
    rig.points.fetch_n = 0;
}

static void test_threads(void)
{
    CHECK_STR(ask("qfThreadInfo"), "m1,2");
    CHECK_STR(ask("qsThreadInfo"), "l");
    CHECK_STR(ask("Hg2"), "OK");
    CHECK_STR(ask("qC"), "QC2");
    CHECK_STR(ask("Hg0"), "OK");
    CHECK_STR(ask("qC"), "QC2");
    CHECK_STR(ask("Hg3"), "E16");
    CHECK_STR(ask("Hg1"), "OK");
    CHECK_STR(ask("T2"), "OK");
    CHECK_STR(ask("T3"), "E16");
    CHECK_STR(ask("T0"), "E16");
}

static void test_running(void)
{
    rig.stop_at_once = true;
    unsigned resumes = rig.resumes, steps = rig.steps;
    ask("c");
    ask("s");
    ask("vCont;s:2;c");
    ask("C05");
    ask("vCont;S05:1");
    CHECK_EQ(rig.resumes - resumes, 5);
    CHECK_EQ(rig.steps - steps, 3);
    CHECK_STR(ask("vCont"), "E16");
    CHECK_STR(ask("vCont;"), "E16");
    CHECK_STR(ask("vCont;x"), "E16");
    CHECK_STR(ask("vCont;c:3"), "E16");
    CHECK_STR(ask("vCont;C"), "E16");
    CHECK_STR(ask("cxyz"), "E16");
    CHECK_EQ(rig.resumes - resumes, 5);
    CHECK_STR(ask("?"), "T05thread:1;");
    rig.stop_at_once = false;
    static u8 frame[64];
    gdb_input(rig.gdb, frame, gdb_frame(frame, (const u8 *)"c", 1));
    gdb_input(rig.gdb, frame, gdb_frame(frame, (const u8 *)"g", 1)); /* the guest runs: no answer */
    CHECK_EQ(gdb_output(rig.gdb, frame, sizeof frame), 1);
    gdb_input(rig.gdb, (const u8 *)"\3", 1);
    CHECK_EQ(rig.interrupts, 1);
    CHECK_STR(ask("?"), "T02thread:2;");
    ask("k");
    CHECK_EQ(rig.kills, 1);
    ask("D");
    CHECK_EQ(rig.releases, 1);
    gdb_stopped(rig.gdb, 0, 5, (struct point_hit){0});
}

static void test_features(void)
{
    CHECK(strstr(ask("qSupported:multiprocess+"), "PacketSize=4000;"));
    const char *first = ask("qXfer:features:read:target.xml:0,ff");
    CHECK_EQ(first[0], 'm');
    CHECK(strstr(first, "<architecture>i386:x86-64</architecture>"));
    CHECK_STR(ask("qXfer:features:read:target.xml:ffffff,1"), "E16");
    CHECK_STR(ask("qXfer:features:read:other.xml:0,1"), "E00");
    CHECK_STR(ask("vMustReplyEmpty"), "");
    CHECK_STR(ask(""), "");
}

static void test_frames(void)
{
    static u8 big[3 * GDB_PACKET_MAX], out[64];
    gdb_output(rig.gdb, out, sizeof out);
    gdb_input(rig.gdb, (const u8 *)"$g#00", 5);
    CHECK_EQ(gdb_output(rig.gdb, out, sizeof out), 1);
    CHECK_EQ(out[0], '-');
    gdb_input(rig.gdb, (const u8 *)"$g#zz", 5);
    CHECK_EQ(gdb_output(rig.gdb, out, sizeof out), 1);
    big[0] = '$';
    memset(big + 1, 'm', sizeof big - 1);
    gdb_input(rig.gdb, big, sizeof big); /* longer than any packet */
    gdb_input(rig.gdb, (const u8 *)"#00", 3);
    CHECK_EQ(gdb_output(rig.gdb, out, sizeof out), 1);
    CHECK_EQ(out[0], '-');
    CHECK_STR(ask("T1"), "OK"); /* and it goes on */
}

int main(void)
{
    gdb_rig_init(&rig);
    test_registers();
    test_x87();
    test_memory();
    test_points();
    test_threads();
    test_running();
    test_features();
    test_frames();
    gdb_rig_free(&rig);
    return check_done();
}
