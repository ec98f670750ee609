/* Is a page of RAM in use? The process's mapping of it is taken away, without its contents; who accesses it next, a vCPU on whatever engine or the kernel for a
 * device, brings it back by a fault that only the host sees. */
#ifndef MEM_SAMPLE_H
#define MEM_SAMPLE_H

#include "mem/mem.h"

/* Hides the page with GPA. False: the host has no frame for it, or it shows the pool or the file, where a private copy would be lost. Not while another
 * thread may make it show those. */
bool mem_sample_hide(const struct mem *m, u64 gpa) MUST_CHECK;
/* Is it back? Also the host brings it sometimes, with a neighbour that is read (fault_around_bytes). */
bool mem_sample_back(const struct mem *m, u64 gpa);

#endif
