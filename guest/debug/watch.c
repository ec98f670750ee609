/* Data and I/O breakpoints on every kind of access: read-modify-write, LOCK, a compare-and-swap that fails,
 * wide moves, what crosses pages, stacks, string instructions both ways, ring 3, accesses that fault. SDM
 * 3B 18.2.4, 18.2.5, 18.3.1.2. */
#include "paging.h"

enum { EXECUTE = 0, WRITE = 1, IO = 2, BOTH = 3, LEN_1 = 0, LEN_2 = 1, LEN_4 = 3 };
static uint8_t cells[8192] ALIGNED(4096);

static void watch(word address, unsigned rw, unsigned length)
{
    write_dr0(address);
    write_dr6(DR6_RESET);
    write_dr7(DR7_RESET | 1 | (word)(rw | length << 2) << 16);
}

static void watch_off(void)
{
    write_dr7(DR7_RESET);
    write_dr0(0);
    write_dr6(DR6_RESET);
}

/* Each instruction accesses 4 bytes or more at BX = SI = DI; BX + 2 is watched. Reads alone are seen by BOTH
 * only. */
TEST(kinds)
{
    struct {
        const char *what;
        const struct snip *s; /* the trap is expected at AT */
        bool writes;
    } table[] = {
        {"MOV load", SNIP("mov (" BX "), %eax\n" AT "nop"), false},
        {"MOV store", SNIP("mov %eax, (" BX ")\n" AT "nop"), true},
        {"ADD to memory", SNIP("add %eax, (" BX ")\n" AT "nop"), true},
        {"ADD from memory", SNIP("add (" BX "), %eax\n" AT "nop"), false},
        {"CMP", SNIP("cmp %eax, (" BX ")\n" AT "nop"), false},
        {"TEST", SNIP("testl $1, (" BX ")\n" AT "nop"), false},
        {"LOCK INC", SNIP("lock incl (" BX ")\n" AT "nop"), true},
        {"XCHG", SNIP("xchg %eax, (" BX ")\n" AT "nop"), true},
        {"LOCK CMPXCHG that does not match: it writes all the same",
         SNIP("lock cmpxchg %ecx, (" BX ")\n" AT "nop"), true},
        {"CMPXCHG8B", SNIP("cmpxchg8b (" BX ")\n" AT "nop"), true},
        {"BTS", SNIP("btsl $3, (" BX ")\n" AT "nop"), true},
        {"BT", SNIP("btl $3, (" BX ")\n" AT "nop"), false},
        {"NOT", SNIP("notl (" BX ")\n" AT "nop"), true},
        {"SHL", SNIP("shll (" BX ")\n" AT "nop"), true},
        {"MOVZX", SNIP("movzwl 2(" BX "), %eax\n" AT "nop"), false},
        {"IMUL", SNIP("imul (" BX "), %eax\n" AT "nop"), false},
        {"PUSH m", SNIP("push" W " (" BX ")\n" AT "nop"), false},
        {"POP m", SNIP("pop" W " (" BX ")\n" AT "nop"), true},
        {"JMP m", SNIP("jmp *(" BX ")\n1:" AT "nop"), false},
        {"MOVSB from it", SNIP("add $2, " SI "; mov " BP ", " DI "; movsb\n" AT "nop"), false},
        {"MOVSL to it", SNIP("mov " BP ", " SI "; movsl\n" AT "nop"), true},
        {"STOSL", SNIP("stosl\n" AT "nop"), true},
        {"LODSL", SNIP("lodsl\n" AT "nop"), false},
        {"SCASL", SNIP("scasl\n" AT "nop"), false},
        {"CMPSL", SNIP("mov " BP ", " SI "; cmpsl\n" AT "nop"), false},
        {"FILD", SNIP("fildl (" BX ")\n" AT "nop"), false},
        {"FSTP", SNIP("fldz; fstpt (" BX ")\n" AT "nop"), true},
        {"FNSTENV", SNIP("fnstenv (" BX ")\n" AT "nop"), true},
        {"MOVUPS load", SNIP("movups (" BX "), %xmm0\n" AT "nop"), false},
        {"MOVUPS store", SNIP("movups %xmm0, (" BX ")\n" AT "nop"), true},
        {"MOVNTI", SNIP("movnti %eax, (" BX ")\n" AT "nop"), true},
        {"PADDB from memory", SNIP("paddb (" BX "), %mm0\n" AT "nop"), false},
        {"SGDT", SNIP("sgdt (" BX ")\n" AT "nop"), true},
        {"STMXCSR", SNIP("stmxcsr (" BX ")\n" AT "nop"), true},
    };
    write_cr0(read_cr0() & ~(word)(CR0_TS | CR0_EM));
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < COUNT(table); i++) {
        for (unsigned n = 0; n < 8; n++) {
            bool write_only = n & 1, crossing = n & 2, user = n & 4;
            word at = ADDR(cells) + (crossing ? 4096 - 2 : 512);
            if (user && (table[i].what[0] == 'S' && table[i].what[1] == 'G'))
                continue; /* UMIP is a matter of `segments` */
            struct context c;
            memory_set(cells, 0, sizeof(cells));
            *(word *)(void *)(uint8_t *)at = table[i].s->at; /* for the JMP */
            __asm__ volatile("fninit");
            (user ? context_set_user : context_set)(&c, table[i].s);
            c.bx = c.si = c.di = at;
            c.bp = ADDR(cells) + 1024;
            c.cx = 1;
            c.dx = 1;
            c.ax = 7;
            watch(at + 2, write_only ? WRITE : BOTH, LEN_1);
            context_run(&c);
            bool hit = table[i].writes || !write_only;
            if (!hit)
                CHECK_EXIT(table[i].what, &c, EXIT, NO_ERROR, table[i].s->end + 2);
            else if (CHECK_EXIT(table[i].what, &c, DB, NO_ERROR, table[i].s->at))
                CHECK_EQUAL("B0", 1, read_dr6() & 0xf);
            watch_off();
        }
    }
    __asm__ volatile("fninit");
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
}

/* An access that faults is none; what was written before in the same instruction, REP's, counts at once. */
TEST(faulting)
{
    struct context c;
    const struct snip *store = SNIP("mov %eax, (" BX ")\n" AT "nop"), *stos = SNIP("rep stosb\n" AT "nop");
    paging_on(PAGES_NATIVE, 0);
    entry_set(1, 0, FRAME(0) | PTE_P | PTE_W);
    entry_set(1, 1, 0);
    flush();
    watch(WINDOW_PAGE(1) - 1, WRITE, LEN_1);
    context_set(&c, store);
    c.bx = WINDOW_PAGE(1) - 2;
    context_run(&c);
    CHECK_EXIT("a store over two pages whose second is missing", &c, PF, PF_W, store->start);
    CHECK_EQUAL("no breakpoint", 0, read_dr6() & 0xf);
    entry_set(1, 1, FRAME(1) | PTE_P | PTE_W);
    context_run(&c);
    CHECK_EXIT("retried: the breakpoint", &c, DB, NO_ERROR, store->at);
    CHECK_EQUAL("B0", 1, read_dr6() & 0xf);
    entry_set(1, 1, 0);
    flush();
    watch(WINDOW_PAGE(1) - 1, WRITE, LEN_1);
    context_set(&c, stos);
    c.di = WINDOW_PAGE(1) - 3;
    c.cx = 5;
    context_run(&c);
    CHECK_EXIT("[qemu] REP STOS: the breakpoint behind its iteration", &c, DB, NO_ERROR, stos->start);
    CHECK_EQUAL("[qemu] CX", 2, c.cx);
    context_run(&c);
    CHECK_EXIT("then the fault of the next", &c, PF, PF_W, stos->start);
    watch_off();
    paging_off();
}

TEST(string_directions)
{
    struct context c;
    const struct snip *movs = SNIP("rep movsb\n" AT "nop"), *cmps = SNIP("repe cmpsb\n" AT "nop");
    for (unsigned down = 0; down <= 1; down++) {
        for (unsigned source = 0; source <= 1; source++) {
            memory_set(cells, 0, 256);
            watch(ADDR(cells) + (source ? 16 : 80), source ? BOTH : WRITE, LEN_1);
            context_set(&c, movs);
            c.si = ADDR(cells) + (down ? 20 : 12);
            c.di = ADDR(cells) + (down ? 84 : 76);
            c.cx = 9;
            c.flags |= down ? FLAG_DF : 0;
            context_run(&c);
            CHECK_EXIT("[qemu] REP MOVS, in the middle", &c, DB, NO_ERROR, movs->start);
            CHECK_EQUAL("[qemu] after the fifth iteration", 4, c.cx);
            CHECK_EQUAL("[qemu] SI", ADDR(cells) + (down ? 15 : 17), c.si);
            CHECK_EQUAL("[qemu bochs] RF in the saved flags: more iterations follow", FLAG_RF,
                        c.flags & FLAG_RF);
            write_dr6(DR6_RESET);
            RUN_THROUGH("the rest", movs, &c);
            watch_off();
        }
    }
    memory_set(cells, 0, 256);
    watch(ADDR(cells) + 16, BOTH, LEN_1);
    context_set(&c, cmps);
    c.si = ADDR(cells) + 16;
    c.di = ADDR(cells) + 100;
    c.cx = 1;
    context_run(&c);
    CHECK_EXIT("[qemu] REPE CMPS, last iteration: behind the instruction", &c, DB, NO_ERROR, cmps->at);
    CHECK_EQUAL("CX", 0, c.cx);
    watch_off();
}

/* I/O: widths, lengths, strings; ring 3 by IOPL; an IN that the permission map refuses is no access. */
TEST(ports)
{
    struct context c;
    enum { PORT = 0x3f8 + 7 }; /* COM1's scratch register */
    const struct snip *outs = SNIP("rep outsb\n" AT "nop"), *ins = SNIP("rep insb\n" AT "nop"),
                      *in = SNIP("in %dx, %al\n" AT "nop"), *word_in = SNIP("in %dx, %ax\n" AT "nop");
    write_cr4(read_cr4() | CR4_DE);
    watch(PORT, IO, LEN_1);
    context_set(&c, outs);
    c.si = ADDR(cells);
    c.cx = 3;
    c.dx = PORT;
    context_run(&c);
    CHECK_EXIT("[qemu] REP OUTS: behind the first iteration", &c, DB, NO_ERROR, outs->start);
    CHECK_EQUAL("[qemu] CX", 2, c.cx);
    context_set(&c, ins);
    c.di = ADDR(cells);
    c.cx = 1;
    c.dx = PORT;
    write_dr6(DR6_RESET);
    context_run(&c);
    CHECK_EXIT("REP INS, one iteration: behind it", &c, DB, NO_ERROR, ins->at);
    CHECK_EQUAL("B0", 1, read_dr6() & 0xf);
    context_set_user(&c, in);
    c.dx = PORT;
    c.flags |= FLAG_IOPL(3);
    write_dr6(DR6_RESET);
    context_run(&c);
    CHECK_EXIT("IN in ring 3 with IOPL 3", &c, DB, NO_ERROR, in->at);
    context_set_user(&c, in);
    c.dx = PORT;
    write_dr6(DR6_RESET);
    context_run(&c);
    CHECK_EXIT("IN in ring 3 with IOPL 0", &c, GP, 0, in->start);
    CHECK_EQUAL("no breakpoint", 0, read_dr6() & 0xf);
    watch(PORT, IO, LEN_1);
    context_set(&c, word_in);
    c.dx = PORT - 1;
    context_run(&c);
    CHECK_EXIT("a word whose second byte is watched", &c, DB, NO_ERROR, word_in->at);
    watch(PORT - 1, IO, LEN_2);
    context_set(&c, in);
    c.dx = PORT;
    context_run(&c);
    CHECK_EXIT("a byte in a watched word", &c, DB, NO_ERROR, in->at);
    watch_off();
    write_cr4(read_cr4() & ~(word)CR4_DE);
}

/* Several at once: all that match are reported; an instruction breakpoint is a fault and comes by itself. */
TEST(several)
{
    struct context c;
    const struct snip *s = SNIP("mov %eax, (" BX ")\n" AT "nop; nop");
    write_dr0(ADDR(cells) + 16);
    write_dr1(ADDR(cells) + 18);
    write_dr2(ADDR(cells) + 20);
    write_dr3(s->at);
    write_dr6(DR6_RESET);
    write_dr7(DR7_RESET | 0x55 | 1u << 16 | 3u << 20 | 1u << 24);
    context_set(&c, s);
    c.bx = ADDR(cells) + 16;
    context_run(&c);
    CHECK_EXIT("the data breakpoints' trap", &c, DB, NO_ERROR, s->at);
    CHECK_EQUAL("[qemu] B0 and B1, not B2", 3, read_dr6() & 7);
    write_dr6(DR6_RESET);
    c.flags &= ~(word)FLAG_RF;
    context_run(&c);
    CHECK_EXIT("then the instruction breakpoint", &c, DB, NO_ERROR, s->at);
    CHECK_EQUAL("B3", 8, read_dr6() & 0xf);
    write_dr6(DR6_RESET);
    c.flags |= FLAG_RF;
    RUN_THROUGH("RF", s, &c);
    write_dr7(DR7_RESET);
    write_dr1(0);
    write_dr2(0);
    write_dr3(0);
    watch_off();
}
