/* World 64: entering a context by IRETQ and coming back by any vector.
 * A context may be 64-bit or compatibility code (its CS says), in any ring. */

/* struct context */
    .set C_AX, 0
    .set C_CX, 8
    .set C_DX, 16
    .set C_BX, 24
    .set C_SP, 32
    .set C_BP, 40
    .set C_SI, 48
    .set C_DI, 56
    .set C_R8, 64
    .set C_IP, 128
    .set C_FLAGS, 136
    .set C_CS, 144
    .set C_SS, 152
    .set C_DS, 160
    .set C_ES, 168
    .set C_FS, 176
    .set C_GS, 184
    .set C_VECTOR, 192
    .set C_ERROR, 200
    .set C_CR2, 208
    .set SEL_DATA, 0x10
    .set SEL_CODE, 0x08

    .text
    .code64
/* void context_run(struct context *c) */
    .globl context_run
context_run:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rdi, context_current
    mov %rsp, context_rsp
    mov %rsp, %rax
    and $~15, %rax
    mov %rax, tss + 4              /* rsp0 */
    push C_SS(%rdi)
    push C_SP(%rdi)
    push C_FLAGS(%rdi)
    push C_CS(%rdi)
    push C_IP(%rdi)
    mov C_DS(%rdi), %ds
    mov C_ES(%rdi), %es
    mov C_FS(%rdi), %fs
    mov C_GS(%rdi), %gs
    mov C_AX(%rdi), %rax
    mov C_CX(%rdi), %rcx
    mov C_DX(%rdi), %rdx
    mov C_BX(%rdi), %rbx
    mov C_BP(%rdi), %rbp
    mov C_SI(%rdi), %rsi
    mov C_R8(%rdi), %r8
    mov C_R8+8(%rdi), %r9
    mov C_R8+16(%rdi), %r10
    mov C_R8+24(%rdi), %r11
    mov C_R8+32(%rdi), %r12
    mov C_R8+40(%rdi), %r13
    mov C_R8+48(%rdi), %r14
    mov C_R8+56(%rdi), %r15
    mov C_DI(%rdi), %rdi
    iretq

    .balign 16
    .globl stubs
stubs:
    .set n, 0
    .rept 256
    .balign 16
    .if !((n >= 8 && n <= 14 && n != 9) || n == 17 || n == 21)
    pushq $-1
    .endif
    pushq $n
    jmp exit_common
    .set n, n + 1
    .endr

/* RSP -> vector, error, rip, cs, rflags, rsp, ss. Absolute addresses: GS belongs to the test. */
exit_common:
    push %rdi
    mov context_current, %rdi
    test %rdi, %rdi
    jnz 1f
    mov $context_stray, %edi
1:  mov %rax, C_AX(%rdi)
    mov %rcx, C_CX(%rdi)
    mov %rdx, C_DX(%rdi)
    mov %rbx, C_BX(%rdi)
    mov %rbp, C_BP(%rdi)
    mov %rsi, C_SI(%rdi)
    mov %r8, C_R8(%rdi)
    mov %r9, C_R8+8(%rdi)
    mov %r10, C_R8+16(%rdi)
    mov %r11, C_R8+24(%rdi)
    mov %r12, C_R8+32(%rdi)
    mov %r13, C_R8+40(%rdi)
    mov %r14, C_R8+48(%rdi)
    mov %r15, C_R8+56(%rdi)
    popq C_DI(%rdi)
    popq C_VECTOR(%rdi)
    popq C_ERROR(%rdi)
    popq C_IP(%rdi)
    popq C_CS(%rdi)
    popq C_FLAGS(%rdi)
    popq C_SP(%rdi)
    popq C_SS(%rdi)
    xor %eax, %eax
    mov %ds, %ax
    mov %rax, C_DS(%rdi)
    mov %es, %ax
    mov %rax, C_ES(%rdi)
    mov %fs, %ax
    mov %rax, C_FS(%rdi)
    mov %gs, %ax
    mov %rax, C_GS(%rdi)
    mov %cr2, %rax
    mov %rax, C_CR2(%rdi)
    movzwl C_CS(%rdi), %eax
    mov %rax, C_CS(%rdi)
    movzwl C_SS(%rdi), %eax
    mov %rax, C_SS(%rdi)
    cld
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov context_rsp, %rsp
    pushq $SEL_CODE
    pushq $1f
    lretq
1:  pushq $2
    popfq
    cmpq $0, context_current
    je 5f
    movq $0, context_current
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
5:  mov $stray_stack_top, %rsp
    mov $context_stray, %edi
    call exit_stray

    .bss
    .balign 8
    .globl context_current
context_current: .skip 8
context_rsp: .skip 8
context_stray: .skip 216
    .balign 16
    .skip 4096
stray_stack_top:
    .section .note.GNU-stack, "", @progbits
