/* Firmware of 64 KiB that tests where firmware stands: the reset vector, its copy below 1 MiB, the PAM registers of the i440FX
 * (datasheet 290549, 3.2.18), and that nothing writes to the flash. Ends by port 0xf4: 0x10 all is well, else the check that failed. */
	.set DEBUG_EXIT, 0xf4
	.set PAM, 0x80000058		/* register 0x59 is byte 1 */
	.set FLASH, 0xffff0000

	.macro check n
	je 1f
	mov $\n, %eax
	jmp end
1:
	.endm

	.macro pam value		/* PAM0..PAM2 */
	mov $PAM, %eax
	mov $0xcf8, %dx
	outl %eax, %dx
	mov $0xcfc, %dx
	mov $\value << 8, %eax
	outl %eax, %dx
	.endm

	.code32
	.globl _start
_start:
	.org 0x100
rom_code:				/* 0xf0100: what the flash answers */
	mov $2, %eax
	ret

	.org 0x200
flat:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x8000, %esp
	mov 0xffff0, %eax		/* the low copy is the flash's end */
	cmp 0xfffffff0, %eax
	check 1
	cmpl $-1, 0xe0000		/* the image has 64 KiB: nothing in front of it */
	check 2
	cmpl $-1, 0xc0000
	check 3
	movl $0, FLASH + 0x100		/* nothing writes to the flash, */
	movl $0, 0xf0100		/* nor to its copy */
	mov rom_code, %eax
	cmp 0xf0100, %eax
	check 4
	mov $0xf0100, %ebx
	call *%ebx			/* what is executed there is the flash */
	cmp $2, %eax
	check 5

	pam 0x000020			/* writes go to RAM, reads do not */
	movb $0xb8, 0xf0100		/* mov $1, %eax; ret */
	movl $1, 0xf0101
	movb $0xc3, 0xf0105
	mov rom_code, %eax
	cmp 0xf0100, %eax
	check 6
	call *%ebx
	cmp $2, %eax
	check 7

	pam 0x000010			/* reads come from RAM, writes go nowhere */
	call *%ebx
	cmp $1, %eax
	check 8
	movl $3, 0xf0101
	cmpl $1, 0xf0101
	check 9

	pam 0x000030			/* RAM */
	movl $3, 0xf0101
	call *%ebx
	cmp $3, %eax
	check 10
	pam 0x000000
	call *%ebx
	cmp $2, %eax
	check 11
	pam 0x000030
	call *%ebx
	cmp $3, %eax
	check 12

	pam 0x003330			/* PAM1: 32 KiB from 0xc0000 */
	movl $0x11223344, 0xc0000
	movl $0x55667788, 0xc7ffc
	movl $0x99aabbcc, 0xc8000
	cmpl $0x11223344, 0xc0000
	check 13
	cmpl $0x55667788, 0xc7ffc
	check 14
	cmpl $-1, 0xc8000
	check 15
	mov 0xc7ffe, %eax		/* half RAM, half nothing */
	cmp $0xffff5566, %eax
	check 16
	pam 0x033030			/* the halves of one register */
	movl $0, 0xc0000
	movl $0x12121212, 0xc4000
	cmpl $-1, 0xc0000
	check 17
	cmpl $0x12121212, 0xc4000
	check 18
	pam 0x003330
	cmpl $0x11223344, 0xc0000
	check 19

	/* fw_cfg's DMA into the flash: refused. Control: select the signature, read four bytes. */
	movl $0x0a000000, 0x9000
	movl $0x04000000, 0x9004
	movl $0, 0x9008
	movl $0x0000ffff, 0x900c	/* 0xffff0000 */
	mov $0x514, %dx
	xor %eax, %eax
	outl %eax, %dx
	mov $0x518, %dx
	mov $0x00900000, %eax		/* 0x9000 */
	outl %eax, %dx
	cmpl $0x01000000, 0x9000
	check 20
	movl $0x0a000000, 0x9000
	movl $0x00a00000, 0x900c	/* and into RAM: done */
	outl %eax, %dx
	cmpl $0, 0x9000
	check 21
	cmpl $0x554d4551, 0xa000	/* QEMU */
	check 22
	mov $0x10, %eax
end:
	mov $DEBUG_EXIT, %dx
	outl %eax, %dx
	hlt

	.p2align 3
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
	.word 23
	.long gdt

	.code16
	.org 0xff00
start16:
	cli
	lgdtl %cs:(gdtr - _start)
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $8, $flat
	.org 0xfff0
	jmp start16
	.org 0x10000
