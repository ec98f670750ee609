/* RAM: one memfd, mapped shared and NORESERVE over one reservation, so that hva = base + gpa and untouched
 * pages cost nothing. Address-space layout in the memfd equals gpa (the hole between low and high RAM is
 * never touched and costs nothing). */
#include "mem/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "mem/foreign.h"

static enum status mem_map(struct mem *m, struct error *e)
{
    m->fd = memfd_create("trine-ram", MFD_CLOEXEC);
    if (m->fd < 0)
        return error_errno(e, "guest memory");
    if (ftruncate(m->fd, (off_t)m->span) < 0)
        return error_errno(e, "guest memory: %llu MiB", (unsigned long long)(m->size >> 20));
    void *p = mmap(NULL, m->span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd, 0);
    if (p == MAP_FAILED)
        return error_errno(e, "guest memory: %llu MiB", (unsigned long long)(m->size >> 20));
    m->base = p;
    madvise(p, m->span, MADV_DONTDUMP);
    void *f = mmap(NULL, m->span >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f == MAP_FAILED)
        return error_errno(e, "guest memory: frame flags");
    m->frame_flags = f;
    void *k = mmap(NULL, (m->span >> PAGE_SHIFT) * sizeof *m->code_marks, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (k == MAP_FAILED)
        return error_errno(e, "guest memory: marks of code");
    m->code_marks = k;
    return STATUS_OK;
}

enum status mem_init(struct mem *m, u64 size, struct error *e)
{
    return mem_init_flash(m, size, 0, 0, e);
}

enum status mem_init_flash(struct mem *m, u64 size, u64 flash, u64 video, struct error *e)
{
    memset(m, 0, sizeof *m);
    m->fd = -1;
    if (size < MIB(1) || size > MEM_MAX_BYTES || size & (PAGE_SIZE - 1))
        return error_set(e, STATUS_USAGE, "guest memory: must be 1M to %lluG in whole pages",
                         (unsigned long long)(MEM_MAX_BYTES >> 30));
    if (flash > MEM_FLASH_MAX || flash & (PAGE_SIZE - 1))
        return error_set(e, STATUS_USAGE, "firmware: must be whole pages, and 16M at most");
    m->size = size;
    atomic_init(&m->a20, ~0ull);
    atomic_init(&m->shadow, MEM_SHADOW_ALL);
    m->low_size = size < MEM_LOW_END ? size : MEM_LOW_END;
    m->high_size = size - m->low_size;
    m->flash_base = MEM_HIGH_BASE - flash;
    m->flash_size = flash;
    m->video_base = MEM_VIDEO_HOME;
    m->video_size = video;
    m->span = m->high_size || flash || video ? MEM_HIGH_BASE + m->high_size : m->low_size;
    bus_init(&m->pio, "port", 0x10000);
    bus_init(&m->mmio, "memory", BIT(MEM_PHYS_BITS));
    enum status s = mem_map(m, e);
    if (s != STATUS_OK)
        mem_destroy(m);
    return s;
}

void mem_destroy(struct mem *m)
{
    if (m->base)
        munmap(m->base, m->span);
    if (m->frame_flags)
        munmap(m->frame_flags, m->span >> PAGE_SHIFT);
    if (m->code_marks)
        munmap(m->code_marks, (m->span >> PAGE_SHIFT) * sizeof *m->code_marks);
    mem_foreign_destroy(m);
    if (m->fd >= 0)
        close(m->fd);
    m->base = m->frame_flags = NULL;
    m->code_marks = NULL;
    m->fd = -1;
}

/* Are all blocks of [gpa, gpa + len) below 1 MiB that the host bridge can switch set in BITS? */
static bool shadow_has(u32 bits, u64 gpa, u64 len)
{
    u64 end = gpa + len < MIB(1) ? gpa + len : MIB(1);
    u64 at = gpa > MEM_SHADOW_BASE ? gpa : MEM_SHADOW_BASE;
    for (; at < end; at = align_down(at, MEM_SHADOW_BLOCK) + MEM_SHADOW_BLOCK)
        if (!(bits >> (at - MEM_SHADOW_BASE) / MEM_SHADOW_BLOCK & 1))
            return false;
    return true;
}

static u32 shadow(const struct mem *m)
{
    return atomic_load_explicit(&m->shadow, memory_order_relaxed);
}

static bool is_flash(const struct mem *m, u64 gpa, u64 len)
{
    u64 base = m->flash_base;
    if (UNLIKELY(atomic_load_explicit(&m->flash_answers, memory_order_relaxed)))
        base += m->flash_chip;
    return gpa >= base && gpa < MEM_HIGH_BASE && range_ok(gpa - base, len, MEM_HIGH_BASE - base);
}

static bool is_video(const struct mem *m, u64 gpa, u64 len)
{
    return atomic_load_explicit(&m->video_shown, memory_order_relaxed) && gpa >= m->video_base &&
           range_ok(gpa - m->video_base, len, m->video_size);
}

bool mem_is_ram(const struct mem *m, u64 gpa, u64 len)
{
    if (range_ok(gpa, len, m->low_size))
        return LIKELY(gpa >= MIB(1)) ||
               (!ranges_overlap(gpa, len, MEM_VGA_BASE, MEM_VGA_END - MEM_VGA_BASE) &&
                shadow_has(shadow(m), gpa, len));
    return gpa >= MEM_HIGH_BASE ? range_ok(gpa - MEM_HIGH_BASE, len, m->high_size)
                                : is_flash(m, gpa, len) || is_video(m, gpa, len);
}

bool mem_is_writable(const struct mem *m, u64 gpa, u64 len)
{
    return mem_is_ram(m, gpa, len) &&
           (gpa >= MIB(1) ? !is_flash(m, gpa, len) : shadow_has(shadow(m) >> 16, gpa, len));
}

bool mem_is_smram(const struct mem *m, u64 gpa, u64 len)
{
    return gpa >= MEM_VGA_BASE && range_ok(gpa - MEM_VGA_BASE, len, MEM_VGA_END - MEM_VGA_BASE) &&
           MEM_VGA_END <= m->low_size;
}

bool mem_read(const struct mem *m, u64 gpa, void *buf, u64 len)
{
    if (!mem_is_ram(m, gpa, len))
        return false;
    memcpy(buf, m->base + gpa, len);
    return true;
}

/* The fence stands between the bytes and the look at the flag, as code_mark's callers have the flag before they read the
 * bytes: one of the two sees the other. */
void mem_written(struct mem *m, u64 gpa, u64 len)
{
    if (!len || !m->code_write)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    u64 last = (gpa + len - 1) & PAGE_MASK;
    for (u64 p = gpa & PAGE_MASK; p <= last; p += PAGE_SIZE)
        if (mem_frame_flags(m, p) & FRAME_CODE) {
            u64 from = p > gpa ? p : gpa;
            m->code_write(m->code_opaque, from, gpa + len - from);
            return;
        }
}

bool mem_write(struct mem *m, u64 gpa, const void *buf, u64 len)
{
    if (!mem_is_writable(m, gpa, len))
        return false;
    memcpy(m->base + gpa, buf, len);
    mem_written(m, gpa, len);
    return true;
}

bool mem_fill(struct mem *m, u64 gpa, u8 byte, u64 len)
{
    if (!mem_is_writable(m, gpa, len))
        return false;
    memset(m->base + gpa, byte, len);
    mem_written(m, gpa, len);
    return true;
}

bool mem_flash_answer(struct mem *m, bool answers)
{
    return m->flash_chip && atomic_exchange(&m->flash_answers, answers) != answers;
}

/* --- display memory */

static bool video_fits(const struct mem *m, u64 base)
{
    return base >= m->low_size && !(base & (m->video_size - 1)) && range_ok(base, m->video_size, m->flash_base);
}

void mem_video_clear(struct mem *m)
{
    if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)m->video_base, (off_t)m->video_size) < 0)
        memset(m->base + m->video_base, 0, m->video_size);
    if (m->video_shown)
        mem_written(m, m->video_base, m->video_size);
}

bool mem_video_show(struct mem *m, u64 base)
{
    bool show = m->video_size && base && video_fits(m, base);
    if (!show || base == m->video_base) {
        bool before = atomic_exchange(&m->video_shown, show);
        if (show && !before)
            mem_written(m, base, m->video_size); /* devices may have written to it, and told nobody */
        return before != show;
    }
    atomic_store(&m->video_shown, false);
    off_t data = lseek(m->fd, (off_t)m->video_base, SEEK_DATA);
    if (data >= 0 && (u64)data < m->video_base + m->video_size) { /* else there is nothing to move */
        u8 *from = m->base + m->video_base;
        memcpy(m->base + base, from, m->video_size); /* two multiples of the size: they do not overlap */
        mem_video_clear(m);
    }
    m->video_base = base;
    atomic_store(&m->video_shown, true);
    mem_written(m, base, m->video_size);
    return true;
}
