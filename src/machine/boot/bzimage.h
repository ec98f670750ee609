/* The header of Linux's bzImage (Linux, Documentation/arch/x86/boot.rst): offsets in the file's first sectors and, the same, in struct
 * boot_params. */
#ifndef MACHINE_BOOT_BZIMAGE_H
#define MACHINE_BOOT_BZIMAGE_H

#define HDR_SETUP_SECTS    0x1f1
#define HDR_SYSSIZE        0x1f4
#define HDR_BOOT_FLAG      0x1fe
#define HDR_JUMP_LEN       0x201 /* the header ends at 0x202 + this */
#define HDR_MAGIC          0x202
#define HDR_VERSION        0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS      0x211
#define HDR_RAMDISK_IMAGE  0x218
#define HDR_RAMDISK_SIZE   0x21c
#define HDR_CMD_LINE_PTR   0x228
#define HDR_INITRD_MAX     0x22c
#define HDR_RELOCATABLE    0x234
#define HDR_XLOADFLAGS     0x236
#define HDR_CMDLINE_SIZE   0x238
#define HDR_PREF_ADDRESS   0x258
#define HDR_INIT_SIZE      0x260
#define HDR_END            0x264 /* of what is read here */

#define BOOT_FLAG   0xaa55
#define LOADED_HIGH 0x01

#endif
