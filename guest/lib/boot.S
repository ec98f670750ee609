/* The image's entry, and the way between the two worlds.
 * Multiboot 0.6.96, sections 3.1 (header) and 3.2 (machine state); SDM 3A 10.8.5 (IA-32e mode).
 * Assembled as ELF64; the linked image is then rewritten as ELF32. */

    .set MAGIC, 0x1badb002
    .set FLAGS, 3                  /* page-align modules, memory sizes wanted */

    .section .multiboot, "a", @progbits
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $stack32_top, %esp
    pushl $0
    popfl
    pushl %ebx
    pushl %eax
    call world32_main
1:  hlt
    jmp 1b

/* void world64_enter(void), called from world 32 with paging off. */
    .globl world64_enter
world64_enter:
    push %ebx
    push %esi
    push %edi
    push %ebp
    mov %esp, saved_esp
    lgdt boot_gdtr
    call build_map
    mov %cr4, %eax
    or $0x20, %eax                 /* PAE */
    mov %eax, %cr4
    mov $map_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx          /* EFER */
    rdmsr
    or $0x100, %eax                /* LME */
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $0x08, $1f
    .code64
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $stack64_top, %esp
    call world64_main
    lgdt boot_gdtr
    pushq $0x18
    pushq $1f
    lretq
    .code32
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x100, %eax
    wrmsr
    xor %eax, %eax
    mov %eax, %cr4
    mov saved_esp, %esp
    pop %ebp
    pop %edi
    pop %esi
    pop %ebx
    ret

/* 4 GiB identity-mapped by 2 MiB pages, present, writable, user. */
build_map:
    movl $map_pdpt + 7, map_pml4
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $12, %eax
    add $map_pd + 7, %eax
    mov %eax, map_pdpt(,%ecx,8)
    inc %ecx
    cmp $4, %ecx
    jb 1b
    xor %ecx, %ecx
2:  mov %ecx, %eax
    shl $21, %eax
    or $0x87, %eax
    mov %eax, map_pd(,%ecx,8)
    inc %ecx
    cmp $2048, %ecx
    jb 2b
    ret

    .section .rodata
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff       /* 0x08 code, 64 bit */
    .quad 0x00cf93000000ffff       /* 0x10 data */
    .quad 0x00cf9b000000ffff       /* 0x18 code, 32 bit */
boot_gdtr:
    .word . - boot_gdt - 1
    .quad boot_gdt

    .bss
    .balign 4096
    .globl map_pml4
map_pml4: .skip 4096
map_pdpt: .skip 4096
map_pd:   .skip 4 * 4096
    .skip 32768
stack32_top:
    .skip 32768
stack64_top:
saved_esp: .skip 4
    .balign 8
    .globl shared
shared: .skip 1024
    .section .note.GNU-stack, "", @progbits
