/* Writing a picture to a file. */
#ifndef HOST_PNG_H
#define HOST_PNG_H

#include "base/error.h"
#include "base/types.h"

/* RGB: 3 bytes a pixel, red first. The file appears under its name when it is whole. */
enum status png_write(const char *path, u32 width, u32 height, const u8 *rgb, struct error *e);

#endif
