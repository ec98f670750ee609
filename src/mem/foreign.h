/* Pages of RAM that show a frame of the group's pool instead of RAM's own memfd: at the same host address, privately mapped and writable. So the first
 * write, by whomever (a vCPU through its soft TLB, KVM, a device, the kernel for one of them), makes the host copy the page for this
 * process, and no engine has to know. mem_foreign_copies finds those copies; mem_foreign_home brings a page back into the memfd. */
#ifndef MEM_FOREIGN_H
#define MEM_FOREIGN_H

#include "mem/mem.h"

#define FOREIGN_PAGED 0x40000000u /* shows the file at its own place, and not a frame */
#define FOREIGN_LEFT 0x80000000u /* shows RAM's own again; whoever counts the frame's holders has not been told */
#define FOREIGN_BLOCK 512u       /* pages that one look at the copies takes, at most */

/* FD: the pool, which the caller keeps open. */
enum status mem_foreign_init(struct mem *m, int fd, struct error *e);
void mem_foreign_destroy(struct mem *m);
/* Pages may go to the file FD, empty and writable, which is taken over. */
enum status mem_foreign_paging(struct mem *m, int fd, struct error *e);

/* What the record says of the page with GPA; bits as above. */
static inline u32 mem_foreign_record(const struct mem *m, u64 gpa)
{
    return m->foreign.frame ? __atomic_load_n(&m->foreign.frame[gpa >> PAGE_SHIFT], __ATOMIC_RELAXED) : 0;
}
/* The first address at or behind AT in a block of FOREIGN_BLOCK pages with a record that is not 0, or the end of RAM. */
u64 mem_foreign_next(const struct mem *m, u64 at);
static inline bool mem_foreign_at(const struct mem *m, u64 gpa)
{
    u32 r = mem_foreign_record(m, gpa);
    return r && !(r & FOREIGN_LEFT);
}
/* The frame of a record that is not 0. */
static inline u32 mem_foreign_frame(u32 record)
{
    return (record & ~FOREIGN_LEFT) - 1;
}

/* The N pages from GPA on, RAM's own and without FOREIGN_LEFT, show the N frames from FRAME on, which hold the same bytes. No vCPU runs, no request writes to guest
 * memory, the big lock is held. What the memfd has there is not given back yet: mem_foreign_settle does that, under the same lock. */
bool mem_foreign_map(struct mem *m, u64 gpa, u32 frame, u32 n) MUST_CHECK;
void mem_foreign_settle(struct mem *m, u64 gpa, u32 n);
/* Writes the N pages from GPA on to the file, all the way to the disk; the vCPUs may run. False: it cannot. */
bool mem_foreign_save(const struct mem *m, u64 gpa, u32 n) MUST_CHECK;
/* They show the file, which holds the same bytes; as mem_foreign_map. */
bool mem_foreign_page(struct mem *m, u64 gpa, u32 n) MUST_CHECK;
/* The host's cache of the file needs them no more. */
void mem_foreign_forget(const struct mem *m, u64 gpa, u32 n);
/* N pages that show frames or the file get memory of RAM's own with the same contents, and FOREIGN_LEFT; as above. False: nothing has changed. */
bool mem_foreign_home(struct mem *m, u64 gpa, u32 n) MUST_CHECK;
/* What the file has of N pages that have left it does not stay on the disk. A file system may take its time: the vCPUs run. */
void mem_foreign_clear(const struct mem *m, u64 gpa, u64 n);
/* mem_foreign_home without contents, for what is thrown away. Vcpus may run. */
void mem_foreign_drop(struct mem *m, u64 gpa, u64 len);
/* The holders' count is right again. */
void mem_foreign_told(struct mem *m, u64 gpa);

/* Which of the N pages from GPA on are private copies: written since they were mapped. */
void mem_foreign_written(const struct mem *m, u64 gpa, u32 n, bool *written);
/* How many of all. */
u64 mem_foreign_copies(const struct mem *m);

/* Bytes of the host behind guest RAM: its own frames, private copies of shared pages among them; pages that show the pool, or the file. Reads
 * /proc/self/pagemap for all that is shared: one look for all of it. Does not allocate. */
struct mem_use {
    u64 resident, copies, shared, paged;
};
struct mem_use mem_use(const struct mem *m);

#endif
