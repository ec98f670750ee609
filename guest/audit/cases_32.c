/* 32-bit protected mode. */
#include "audit.h"

#define MODE       32
#define CASES      audit_cases_32
#define ASM_MODE   ".code32\n"
#define R_A        "%eax"
#define R_C        "%ecx"
#define R_B        "%ebx"
#define R_SI       "%esi"
#define R_DI       "%edi"
#define R_BP       "%ebp"
#define R_CR       "%eax"
#define R_WIDE     "%eax"
#define WIDE_TABLE ""
#define PUSHED_CS  "mov 4(%esp), %eax"
#define PUSH_FAR   "push %esi; push %ebp"
#define LRET       "lret"
#include "cases.h"
