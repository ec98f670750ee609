/* Where a processor starts: real mode at START, whose page smp_start copies this to. From there to long mode on the boot
 * processor's tables and page map, a stack by ticket, and ap_main. */

    .set START, 0x8000

    .section .text
    .globl ap_start, ap_start_end, ap_cr3
    .code16
ap_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl (START + ap_gdtr - ap_start)
    mov $0x20, %eax
    mov %eax, %cr4
    mov (START + ap_cr3 - ap_start), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    and $0x9fffffff, %eax          /* CD and NW: off */
    or $0x80000001, %eax
    mov %eax, %cr0
    ljmpl $0x08, $ap_long
    .balign 8
ap_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
ap_gdtr:
    .word ap_gdtr - ap_gdt - 1
    .long START + ap_gdt - ap_start
ap_cr3: .long 0
ap_start_end:

    .code64
ap_long:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %eax
    lock xadd %eax, ap_ticket(%rip)
    and $63, %eax
    inc %eax
    shl $13, %rax
    lea ap_stacks(%rip), %rsp
    add %rax, %rsp
    call ap_main
1:  hlt
    jmp 1b

    .bss
    .balign 4096
ap_stacks: .skip 64 * 8192
ap_ticket: .skip 4
    .section .note.GNU-stack, "", @progbits
