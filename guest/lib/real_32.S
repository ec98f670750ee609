/* Real mode, entered from world 32 and left by any vector. SDM 3A 10.9 (mode switching), 20.1.
 * The code below real_start is copied to LOW and runs there; its own data lie behind it. */

    .set LOW, 0x6000
    .set C_AX, 0
    .set C_VECTOR, 64

    .text
    .code32
/* void real_switch(void): real_area holds the context; the exit writes it back. */
    .globl real_switch
real_switch:
    push %ebx
    push %esi
    push %edi
    push %ebp
    pushf
    mov %esp, LOW + (saved_esp - real_start)
    sidt LOW + (saved_idtr - real_start)
    lidt LOW + (real_idtr - real_start)
    ljmp $0x40, $LOW + (real_from16 - real_start)    /* SEL_CODE16 */

    .globl real_start, real_end, real_area
    .globl real_stubs
    .balign 16
real_start:
    .code16
real_from16:
    mov $0x48, %ax                 /* SEL_DATA16: limits of 64 KiB */
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0, $LOW + (1f - real_start)
1:  xor %ax, %ax
    mov %ax, %ds
    mov LOW + (real_area - real_start) + 44, %ss
    mov LOW + (real_area - real_start) + 16, %esp
    pushw LOW + (real_area - real_start) + 36
    pushw LOW + (real_area - real_start) + 40
    pushw LOW + (real_area - real_start) + 32
    mov LOW + (real_area - real_start) + 52, %es
    mov LOW + (real_area - real_start) + 56, %fs
    mov LOW + (real_area - real_start) + 60, %gs
    mov LOW + (real_area - real_start) + 0, %eax
    mov LOW + (real_area - real_start) + 4, %ecx
    mov LOW + (real_area - real_start) + 8, %edx
    mov LOW + (real_area - real_start) + 12, %ebx
    mov LOW + (real_area - real_start) + 20, %ebp
    mov LOW + (real_area - real_start) + 24, %esi
    mov LOW + (real_area - real_start) + 28, %edi
    mov LOW + (real_area - real_start) + 48, %ds
    iretw

real_stubs:
    .set n, 0
    .rept 256
    .byte 0x68                     /* pushw imm16 */
    .word n
    .byte 0xe9                     /* jmp rel16 */
    .word real_exit - (. + 2)
    .set n, n + 1
    .endr

real_exit:
    pushw %ds
    pushl %eax
    xor %ax, %ax
    mov %ax, %ds
    popl LOW + (real_area - real_start) + 0
    popw LOW + (real_area - real_start) + 48
    popw LOW + (real_area - real_start) + 64
    popw LOW + (real_area - real_start) + 32
    popw LOW + (real_area - real_start) + 40
    popw LOW + (real_area - real_start) + 36
    mov %ecx, LOW + (real_area - real_start) + 4
    mov %edx, LOW + (real_area - real_start) + 8
    mov %ebx, LOW + (real_area - real_start) + 12
    mov %esp, LOW + (real_area - real_start) + 16
    mov %ebp, LOW + (real_area - real_start) + 20
    mov %esi, LOW + (real_area - real_start) + 24
    mov %edi, LOW + (real_area - real_start) + 28
    mov %ss, LOW + (real_area - real_start) + 44
    mov %es, LOW + (real_area - real_start) + 52
    mov %fs, LOW + (real_area - real_start) + 56
    mov %gs, LOW + (real_area - real_start) + 60
    cli
    cld
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x08, $LOW + (1f - real_start)
    .code32
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov LOW + (saved_esp - real_start), %esp
    lidt LOW + (saved_idtr - real_start)
    popf
    pop %ebp
    pop %edi
    pop %esi
    pop %ebx
    ret
    .balign 4
saved_esp: .long 0
saved_idtr: .skip 8
real_idtr: .word 0x3ff
    .long 0
    .balign 4
real_area: .skip 80
real_end:
    .section .note.GNU-stack, "", @progbits
