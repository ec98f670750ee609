/* A difference between two machines, in words. */
#ifndef LOCKSTEP_DIFFERENCE_H
#define LOCKSTEP_DIFFERENCE_H

#include "lockstep/pair.h"

/* One formatted line to the check's taker. */
void check_say(const struct trine_check *k, const char *fmt, ...) PRINTF(2, 3);
/* The instruction at which the first machine's current vCPU stands. */
void say_instruction(const struct pair *p);
/* The same in one line behind HEAD. */
void say_code(const struct pair *p, const char *head);
/* What differs now: the bits and buffers of the last pair_differs. */
void say_difference(const struct pair *p, u32 differ);

#endif
