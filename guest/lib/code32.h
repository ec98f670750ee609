/* First in every C file of world 32: gcc -m32 does not say .code32, and its output is assembled
 * as an ELF64 object. */
__asm__(".code32");
