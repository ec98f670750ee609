/* A picture of a group's memory over time. See memory_svg.c. */
#ifndef CLI_MEMORY_SVG_H
#define CLI_MEMORY_SVG_H

#include <stdbool.h>
#include <stdio.h>

#define PICTURE_LOOKS 3600

enum picture_line { LINE_GUEST, LINE_RESIDENT, LINE_SHARED, LINE_BALLOONED, LINE_PAGED, LINE_WORKING, PICTURE_LINES };

/* One look: bytes, of all VMs together. */
struct picture_look {
    double value[PICTURE_LINES];
    unsigned members;
};

/* N looks, a second apart. False: the file cannot be written. */
bool memory_svg(FILE *f, const struct picture_look *looks, unsigned n, const char *group);

#endif
