/* 16-bit protected mode. Tables are loaded with a 32-bit operand: 16 bits would cut their bases. */
#include "audit.h"

#define MODE       16
#define CASES      audit_cases_16
#define ASM_MODE   ".code16\n"
#define R_A        "%ax"
#define R_C        "%cx"
#define R_B        "%bx"
#define R_SI       "%si"
#define R_DI       "%di"
#define R_BP       "%bp"
#define R_CR       "%eax"
#define R_WIDE     "%eax"
#define WIDE_TABLE ".byte 0x66; "
#define PUSHED_CS  "mov %sp, %bp; mov 2(%bp), %ax"
#define PUSH_FAR   "push %si; push %bp"
#define LRET       "lret"
#include "cases.h"
