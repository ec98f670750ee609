/* A Multiboot guest that goes to real mode at once and lives on what a BIOS would have left there: interrupt vectors that tick, acknowledge and
 * return, the BIOS data area, the PICs and the PIT running. Debug exit 0x10 (status 33): all as it should be; else the number of the failure.
 * With -DRESET it ends by a jump to the reset vector. */
	.section .text, "ax"
	.code32
	.globl _start
base:                           /* at 0x10000 = 1000:0000 */
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
_start:
	lgdt gdt_pointer
	ljmp $0x08, $(protected - base)
	.code16
protected:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl %cr0, %eax
	andb $0xfe, %al
	movl %eax, %cr0
	ljmp $0x1000, $(real - base)
real:
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7c00, %sp
	lidtl %cs:(idt_pointer - base)
#ifdef RESET
	ljmp $0xffff, $0
#endif
	sti
	movb $1, %bl            /* 1: three ticks of the timer, with HLT between: IRQ 0 comes, is counted and acknowledged */
	movl 0x46c, %edi
	addl $3, %edi
	movl $2000, %ecx
1:	hlt
	cmpl %edi, 0x46c
	jae 2f
	decl %ecx
	jnz 1b
	jmp fail
2:	incb %bl                /* 2: equipment */
	int $0x11
	cmpw 0x410, %ax
	jne fail
	testw $0x0e00, %ax      /* a serial port */
	jz fail
	incb %bl                /* 3: conventional memory */
	int $0x12
	cmpw $639, %ax
	jne fail
	incb %bl                /* 4: a service that is not there */
	movw $0xe820, %ax
	clc
	int $0x15
	jnc fail
	cmpb $0x86, %ah
	jne fail
	incb %bl                /* 5: any other vector returns, registers as they were */
	movw $0x1234, %ax
	int $0x10
	cmpw $0x1234, %ax
	jne fail
	incb %bl                /* 6: the RTC's update interrupt, IRQ 8, comes again after it was acknowledged; the BIOS masked it */
	movb $0x0b, %al
	outb %al, $0x70
	movb $0x42, %al         /* periodic, 1024 Hz */
	outb %al, $0x71
	movw $0x70 * 4, %si
	movw (%si), %dx         /* count it on the way to the BIOS's handler */
	movw %dx, %cs:(chain - base)
	movw 2(%si), %dx
	movw %dx, %cs:(chain + 2 - base)
	movw $(count_rtc - base), (%si)
	movw %cs, 2(%si)
	movb $0xfe, %al
	outb %al, $0xa1
	movl $2000, %ecx
3:	hlt
	cmpw $3, %cs:(rtc_count - base)
	jae 4f
	decl %ecx
	jnz 3b
	jmp fail
4:	incb %bl                /* 7: the tables' marks */
	movw $0xf000, %ax
	movw %ax, %es
	cmpl $0x5f504d5f, %es:0 /* _MP_ */
	jne fail
	cmpl $0x20445352, %es:0x20 /* RSD  */
	jne fail
	cmpw $0x9fc0, 0x40e
	jne fail
	movb $0x10, %bl
fail:
	movb %bl, %al
	movw $0xf4, %dx
	outb %al, %dx
	hlt
count_rtc:
	incw %cs:(rtc_count - base)
	ljmp *%cs:(chain - base)
chain:
	.long 0
rtc_count:
	.word 0
	.balign 8
gdt:
	.quad 0
	.quad 0x00009b010000ffff /* code, base 0x10000 */
	.quad 0x000093000000ffff
gdt_pointer:
	.word 23
	.long gdt
idt_pointer:
	.word 0x3ff
	.long 0
	.section .note.GNU-stack, "", @progbits
