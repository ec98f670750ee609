/* A machine's state as bytes: saved, reset, restored and saved again it is the same; a vCPU's image loses
 * nothing; hostile images are refused or taken, and never crash. */
#include "check.h"
#include "fake_engine.h"
#include "machine/cpu_image.h"
#include "machine/pc_map.h"

static enum fake_step busy(struct fake_guest *g, struct cpu *c, u64 n)
{
    static const u16 script[][2] = {
        {0x20, 0x11},
        {0x21, 0x20},
        {0x21, 4},
        {0x21, 1},
        {0x21, 0xee},
        {0x43, 0x34},
        {0x40, 0xa9},
        {0x40, 0x04},
        {PC_PORT_COM1 + 1, 3},
        {PC_PORT_COM1 + 2, 0xc1},
        {PC_PORT_COM1 + 3, 3},
        {0x70, 0x8b},
        {0x71, 0x42},
        {0x64, 0x60},
        {0x60, 0x47},
        {0x61, 3},
        {0x43, 0xb6},
        {0x42, 0x12},
        {0x42, 0x34},
        {0x80, 0x55},
        {0x602, 0x21},
        {0x510, 0x19},
    };
    (void)g;
    if (n < ARRAY_LEN(script))
        fake_out(c, script[n][0], 1, script[n][1]);
    if (n == 3000000)
        fake_out(c, PC_PORT_DEBUG_EXIT, 1, 0);
    return FAKE_NEXT;
}

static void save(struct vm *vm, struct buffer *b)
{
    struct error e = {0};
    buffer_free(b);
    *b = (struct buffer){0};
    if (pc_save(&vm->pc, b, &e) != STATUS_OK)
        CHECK_STR(e.text, "");
}

/* The 40 bytes before AT, for a person: field names are among them. */
static const char *printable(u8 *data, size_t at)
{
    u8 *from = data + (at > 40 ? at - 40 : 0);
    for (u8 *p = from; p < data + at; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '.';
    return (const char *)from;
}

static void test_chips(struct vm *vm)
{
    struct buffer first = {0}, cold = {0}, second = {0};
    struct error e = {0};
    save(vm, &first);
    CHECK_EQ(pc_restore(&vm->pc, &first, &e),
             STATUS_OK); /* chips that count lazily catch up with the clock */
    save(vm, &first);
    pc_reset(&vm->pc);
    save(vm, &cold);
    CHECK(cold.len != first.len || memcmp(cold.data, first.data, first.len));
    CHECK_EQ(pc_restore(&vm->pc, &first, &e), STATUS_OK);
    CHECK_STR(e.text, "");
    CHECK_EQ(first.pos, first.len);
    save(vm, &second);
    CHECK_EQ(second.len, first.len);
    for (size_t i = 0; i < first.len && i < second.len; i++)
        if (first.data[i] != second.data[i]) {
            fprintf(stderr, "the restored state differs at byte %zu of %zu, behind \"%.40s\"\n", i, first.len,
                    printable(first.data, i));
            CHECK_EQ(second.data[i], first.data[i]);
            break;
        }
    buffer_free(&cold);
    buffer_free(&second);

    /* Mutated images, from a fixed seed: whatever restore says, the machine must survive it, and time going
     * on. */
    struct random r;
    random_seed(&r, 1);
    u8 *good = malloc(first.len);
    memcpy(good, first.data, first.len);
    unsigned taken = 0;
    for (unsigned i = 0; i < 3000; i++) {
        memcpy(first.data, good, first.len);
        first.pos = 0;
        size_t len = first.len;
        for (u64 k = random_next(&r) % 4; k < 4; k++)
            first.data[random_next(&r) % (k == 3 ? first.len : 3000)] = (u8)random_next(&r);
        if (i % 8 == 0)
            first.len = random_next(&r) % len;
        taken += pc_restore(&vm->pc, &first, &e) == STATUS_OK;
        first.len = len;
        vm->base += 1000000;
        clock_run(&vm->clock);
        vm->mem.pio.holes += bus_read(&vm->mem.pio, random_next(&r) & 0x7ff, 1);
        pc_reset(&vm->pc);
    }
    CHECK(taken > 0 && taken < 3000);
    free(good);
    buffer_free(&first);
}

static void test_cpu(struct vm *vm)
{
    struct cpu *c = &vm->vcpus[0].cpu;
    struct cpu_image a, b;
    struct buffer image = {0};
    struct error e = {0};
    struct random r;
    random_seed(&r, 2);
    cpu_image_take(&a, c);
    for (unsigned i = 0; i < 16; i++)
        a.gpr[i] = random_next(&r);
    for (size_t i = 0; i < sizeof a.ymm; i++)
        a.ymm[i] = (u8)random_next(&r);
    a.rflags = 0x202 | (random_next(&r) & 0x8d5);
    a.lstar = random_next(&r);
    a.events = ATTN_NMI;
    a.shadow = a.shadow_ss = a.nmi_blocked = true;
    a.activity = ACTIVITY_HALTED;
    a.mc_bank[15] = 5;
    CHECK_EQ(fields_save(&cpu_image_table, &a, &image, &e), STATUS_OK);
    memset(&b, 0xee, sizeof b);
    CHECK_EQ(fields_restore(&cpu_image_table, &b, &image, &e), STATUS_OK);
    cpu_image_put(&b, c);
    memset(&b, 0, sizeof b);
    cpu_image_take(&b, c);
    struct buffer again = {0};
    CHECK_EQ(fields_save(&cpu_image_table, &b, &again, &e), STATUS_OK);
    CHECK_EQ(again.len, image.len);
    CHECK(!memcmp(again.data, image.data, image.len));
    buffer_free(&again);
    buffer_free(&image);
}

/* Every state counts: what differs in one place only gives another hash. */
static void test_hash(struct vm *vm)
{
    struct cpu *c = &vm->vcpus[0].cpu;
    u64 h = vm_state_hash(vm);
    CHECK_EQ(vm_state_hash(vm), h);
    c->fpu.ymm[15][31] ^= 1;
    CHECK(vm_state_hash(vm) != h);
    c->fpu.ymm[15][31] ^= 1;
    vm->pc.post.value ^= 1;
    CHECK(vm_state_hash(vm) != h);
    vm->pc.post.value ^= 1;
    u8 one = 1, zero = 0;
    CHECK(mem_write(&vm->mem, 0x123456, &one, 1));
    CHECK(vm_state_hash(vm) != h);
    CHECK(mem_write(&vm->mem, 0x123456, &zero, 1));
    CHECK_EQ(vm_state_hash(vm), h);
    /* Lazy flags: another form of the same RFLAGS is the same state. */
    c->fl = (struct flags){.res = 0x4000, .cv = 0};
    h = vm_state_hash(vm);
    c->fl = (struct flags){.res = 0x7700, .cv = 1};
    CHECK_EQ(vm_state_hash(vm), h);
}

int main(void)
{
    struct fake_guest g = {.instruction = busy};
    struct trine_config cfg = fake_config(&g, TRINE_TIME_VIRTUAL);
    struct trine_result r;
    cfg.testdev = true;
    struct vm *vm = fake_run(&cfg, NULL, &r);
    CHECK_EQ(r.end, TRINE_END_DEBUG_EXIT);
    test_hash(vm);
    test_cpu(vm);
    test_chips(vm);
    vm_destroy(vm);
    return check_done();
}
