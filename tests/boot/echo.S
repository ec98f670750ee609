/* A Multiboot guest that sends back what COM1 receives, polled. `Q` ends it (debug exit 0x10: status 33), `F` makes it send 200,000 `x` and a
 * newline, `S` makes it deaf for about a hundred million turns of a loop. */
	.section .text, "ax"
	.code32
	.globl _start
	.balign 4
	.long 0x1badb002, 0, -0x1badb002
_start:
	movl $stack_top, %esp
	movb $'!', %al
	call put
next:
	movw $0x3fd, %dx        /* LSR: data ready */
	inb %dx, %al
	testb $1, %al
	jz next
	movw $0x3f8, %dx
	inb %dx, %al
	cmpb $'Q', %al
	je quit
	cmpb $'F', %al
	je flood
	cmpb $'S', %al
	je sleep
	call put
	jmp next
flood:
	movl $200000, %ecx
	movb $'x', %al
1:	call put
	loop 1b
	movb $'\n', %al
	call put
	jmp next
sleep:
	movl $100000000, %ecx
1:	loop 1b
	jmp next
quit:
	movb $0x40, %cl
1:	movw $0x3fd, %dx        /* LSR: transmitter empty */
	inb %dx, %al
	testb %cl, %al
	jz 1b
	movw $0xf4, %dx
	movb $0x10, %al
	outb %al, %dx
	hlt
#include "com1_put.inc"
	.bss
	.skip 64
stack_top:
	.section .note.GNU-stack, "", @progbits
