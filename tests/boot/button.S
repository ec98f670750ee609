/* A Multiboot guest that waits for the power button: polls PWRBTN_STS of the PIIX4 (ACPI 6.5, 4.8.4.1) at port 0x600, sends `B`, clears the
 * bit, sees it clear, and powers off. A tick on COM1 tells that it runs. Status 0; 35 when the bit would not clear.
 * With RESET it resets instead (port 0xcf9): status 1. */
	.section .text, "ax"
	.code32
	.globl _start
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
_start:
	movw $0x604, %dx	/* SCI off: bare polling */
	movw $0, %ax
	outw %ax, %dx
	movb $'!', %al
	call put
wait:
	movl $2000000, %ecx
1:	loop 1b
	movb $'.', %al
	call put
	movw $0x600, %dx
	inw %dx, %ax
	testw $0x100, %ax
	jz wait
	movb $'B', %al
	call put
	movw $0x600, %dx
	movw $0x100, %ax
	outw %ax, %dx
	inw %dx, %ax
	testw $0x100, %ax
	jnz stuck
#ifdef RESET
	movw $0xcf9, %dx
	movb $0x06, %al
	outb %al, %dx
	hlt
#endif
	movw $0x604, %dx	/* S5 */
	movw $0x2000, %ax
	outw %ax, %dx
	hlt
stuck:
	movw $0xf4, %dx
	movb $0x11, %al
	outb %al, %dx
	hlt
#include "com1_put.inc"
