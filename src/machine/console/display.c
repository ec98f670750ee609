/* Pictures of the screen: --screenshot, QMP's screendump. */
#include "machine/console/display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/png.h"
#include "machine/vm.h"

enum status display_check(const char *path, struct error *e)
{
    char folder[4096] = ".";
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash > path ? slash - path : 1), path);
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return error_set(e, STATUS_HOST, "%s: is a directory", path);
    return access(folder, W_OK | X_OK) ? error_errno(e, "%s", path) : STATUS_OK;
}

enum status display_save(const struct vm *vm, const char *path, struct error *e)
{
    const struct vga *v = vm->devices.vga;
    if (!v)
        return error_set(e, STATUS_USAGE, "%s: this machine has no display", path);
    struct vga_size size = vga_size(v);
    u8 *rgb = malloc(3ull * size.width * size.height);
    if (!rgb)
        return error_set(e, STATUS_HOST, "%s: out of memory", path);
    vga_draw(v, size, rgb);
    enum status s = png_write(path, size.width, size.height, rgb, e);
    free(rgb);
    return s;
}
