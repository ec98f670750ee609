/* A guest of ten lines: a Multiboot kernel that prints a line on the serial port and ends the VM with status (21 << 1) | 1. */
        .align 4
        .long 0x1badb002, 0, -0x1badb002
        .globl _start
_start: mov $message, %esi
        mov $0x3f8, %dx
1:      lodsb
        out %al, (%dx)
        cmp $'\n', %al
        jne 1b
        mov $21, %al
        out %al, $0xf4
2:      jmp 2b
message: .ascii "hello from the guest\n"
