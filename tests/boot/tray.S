/* A Multiboot guest with a CD-ROM at the second IDE channel: locks its tray (PREVENT ALLOW MEDIUM REMOVAL, MMC-6 6.13), says `L`, and asks
 * the drive again and again (GET EVENT STATUS NOTIFICATION, 6.6): `?` when the user wants the medium. Never ends. */
	.section .text, "ax"
	.code32
	.globl _start
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
_start:
	movw $0x376, %dx	/* nIEN: bare polling */
	movb $2, %al
	outb %al, %dx
	movl $prevent, %esi
	call packet
	movb $'L', %al
	call put
again:
	movl $get_event, %esi
	call packet
	movw $0x170, %dx
	inw %dx, %ax
	inw %dx, %ax
	inw %dx, %ax		/* the event, the state of the tray */
	movb %al, %cl
	inw %dx, %ax
	cmpb $1, %cl
	jne 1f
	movb $'?', %al
	call put
1:	movl $200000, %ecx
	loop .
	jmp again
packet:				/* the 12 bytes at ESI; until its data or its end */
	movw $0x176, %dx	/* the master */
	movb $0xa0, %al
	outb %al, %dx
	call ready
	movw $0x171, %dx	/* no DMA */
	movb $0, %al
	outb %al, %dx
	movw $0x174, %dx	/* at most 8 bytes at once */
	movb $8, %al
	outb %al, %dx
	incw %dx
	movb $0, %al
	outb %al, %dx
	movw $0x177, %dx
	movb $0xa0, %al
	outb %al, %dx
	call ready
	movw $0x170, %dx
	movl $6, %ecx
	cld
	rep outsw
ready:				/* not BSY */
	movw $0x177, %dx
1:	inb %dx, %al
	testb $0x80, %al
	jnz 1b
	ret
#include "com1_put.inc"
prevent:
	.byte 0x1e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
get_event:
	.byte 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0, 0, 0
