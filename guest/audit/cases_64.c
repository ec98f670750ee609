/* 64-bit code. */
#include "audit.h"

#define MODE       64
#define CASES      audit_cases_64
#define ASM_MODE   ".code64\n"
#define R_A        "%rax"
#define R_C        "%rcx"
#define R_B        "%rbx"
#define R_SI       "%rsi"
#define R_DI       "%rdi"
#define R_BP       "%rbp"
#define R_CR       "%rax"
#define R_WIDE     "%rax"
#define WIDE_TABLE ""
#define PUSHED_CS  "mov 4(%rsp), %eax"
#define PUSH_FAR   "sub $8, %rsp; mov %ebp, (%rsp); mov %esi, 4(%rsp)"
#define LRET       "lretl"
#include "cases.h"
