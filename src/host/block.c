/* Opening disks: which file may be a disk, whose lock it takes, which image and which queue serve it.
 *
 * Locks are open file description locks over the whole file: a writer excludes everybody, readers exclude
 * writers, in any process that asks for such a lock (QEMU does), and in ours.
 *
 * A format that was told by the file's contents is a promise to the next start too: a guest could write
 * another format's header into its raw disk, and have the host open whatever file that header names. So a
 * write to the first sector that would change the answer is refused, unless the user said format=raw. */
#include "host/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/block_image.h"

#define SECTOR 512u

struct host_block {
    struct block disk;
    struct image *image;
    struct block_queue *queue; /* null: synchronous */
    bool guarded;              /* raw by probing */
    bool flush_failed;
    unsigned in_flight;
};

const char *block_probe(const u8 *head, size_t len)
{
    static const struct {
        const char *format;
        u16 at, n;
        const char *magic;
    } magics[] = {
        {"qcow2", 0, 4, "QFI\xfb"},
        {"vmdk", 0, 4, "KDMV"},
        {"vmdk", 0, 4, "COWD"},
        {"vmdk", 0, 21, "# Disk DescriptorFile"},
        {"vdi", 64, 4, "\x7f\x10\xda\xbe"},
        {"vhdx", 0, 8, "vhdxfile"},
        {"vpc", 0, 8, "conectix"},
        {"qed", 0, 4, "QED\0"},
        {"parallels", 0, 16, "WithoutFreeSpace"},
        {"parallels", 0, 16, "WithouFreSpacExt"},
        {"luks", 0, 6, "LUKS\xba\xbe"},
        {"dmg", 0, 4, "koly"},
    };
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (range_ok(magics[i].at, magics[i].n, len) &&
            !memcmp(head + magics[i].at, magics[i].magic, magics[i].n))
            return magics[i].format;
    return NULL;
}

/* --- requests */

static void finished(struct host_block *b, struct block_request *r, int error)
{
    /* After a failed fdatasync the kernel forgets which pages were lost, and the next one succeeds: no later
     * flush may promise anything. */
    if (r->op == BLOCK_FLUSH && error)
        b->flush_failed = true;
    r->error = error;
    r->done(r);
}

static bool refused(const struct host_block *b, const struct block_request *r, int *error)
{
    *error = 0;
    if (!range_ok(r->off, r->len, b->disk.size))
        *error = EINVAL;
    else if (b->disk.readonly && r->op != BLOCK_READ && r->op != BLOCK_FLUSH)
        *error = EROFS;
    else if (r->op == BLOCK_FLUSH && b->flush_failed)
        *error = EIO;
    else if (b->guarded && r->op == BLOCK_WRITE && r->off == 0 && block_probe(r->data, r->len))
        *error = EPERM;
    return *error;
}

static void submit(struct block *disk, struct block_request *r)
{
    struct host_block *b = (struct host_block *)disk;
    int error;
    if (refused(b, r, &error)) {
        r->error = error;
        r->done(r);
    } else if (b->disk.readonly && r->op == BLOCK_FLUSH) {
        finished(b, r, 0);
    } else if (b->queue) {
        b->in_flight++;
        r->owner = b;
        b->queue->ops->submit(b->queue, r);
    } else {
        finished(b, r, b->image->ops->run(b->image, r));
    }
}

void block_request_done(struct block_request *r, int error)
{
    struct host_block *b = r->owner;
    b->in_flight--;
    finished(b, r, error);
}

static const struct block_ops host_ops = {.submit = submit};

/* --- opening */

static enum status lock_file(int fd, const char *path, bool readonly, struct error *e)
{
    struct flock l = {.l_type = (short)(readonly ? F_RDLCK : F_WRLCK), .l_whence = SEEK_SET};
    if (!fcntl(fd, F_OFD_SETLK, &l))
        return STATUS_OK;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(e, STATUS_HOST, "%s: is in use by another virtual machine", path);
    return error_errno(e, "%s: locking", path);
}

static enum status check_file(int fd, const char *path, u64 *size, struct error *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(e, "%s", path);
    if (S_ISDIR(st.st_mode))
        return error_set(e, STATUS_HOST, "%s: is a directory", path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(e, STATUS_HOST, "%s: is neither a file nor a block device", path);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        return error_errno(e, "%s", path);
    *size = (u64)end;
    return end ? STATUS_OK : error_set(e, STATUS_HOST, "%s: is empty", path);
}

/* What the file holds: null for raw. */
static enum status find_format(int fd, const struct block_config *cfg, const char **format, struct error *e)
{
    u8 head[BLOCK_PROBE_LEN] = {0};
    *format = cfg->format && strcmp(cfg->format, "raw") ? cfg->format : NULL;
    if (cfg->format)
        return STATUS_OK;
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n < 0)
        return error_errno(e, "%s", cfg->path);
    *format = block_probe(head, (size_t)n);
    return STATUS_OK;
}

static enum status refuse_server(const char *path, struct error *e)
{
    return error_set(e, STATUS_USAGE, "%s: its format takes a server, which a virtual machine that runs may not start (--sandbox off lets it)", path);
}

/* A lock belongs to a file, and a block device can have many: who writes claims the device itself, which a mounted file system
 * and swap do too (open(2): O_EXCL without O_CREAT is for block devices only). */
static int open_flags(const char *path, bool readonly)
{
    struct stat st;
    bool claims = !readonly && !stat(path, &st) && S_ISBLK(st.st_mode);
    return (readonly ? O_RDONLY : O_RDWR) | (claims ? O_EXCL : 0) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

static enum status open_file(struct image **image, const struct block_config *cfg, struct error *e)
{
    bool readonly = cfg->readonly || cfg->snapshot;
    const char *format;
    u64 size;
    int fd = open(cfg->path, open_flags(cfg->path, readonly));
    if (fd < 0 && errno == EISDIR)
        return error_set(e, STATUS_HOST, "%s: is a directory", cfg->path);
    if (fd < 0 && errno == EBUSY)
        return error_set(e, STATUS_HOST, "%s: is in use: mounted, or another virtual machine's", cfg->path);
    if (fd < 0)
        return error_errno(e, "%s", cfg->path);
    enum status s = check_file(fd, cfg->path, &size, e);
    if (s == STATUS_OK)
        s = find_format(fd, cfg, &format, e);
    if (s == STATUS_OK && format) {
        close(fd); /* its server locks it */
        if (cfg->late)
            return refuse_server(cfg->path, e);
        return image_open_nbd(image, cfg->path, format, readonly, e);
    }
    if (s == STATUS_OK && size % SECTOR)
        s = error_set(e, STATUS_HOST, "%s: its size, %llu bytes, is no multiple of 512", cfg->path,
                      (unsigned long long)size);
    if (s == STATUS_OK)
        s = lock_file(fd, cfg->path, readonly, e);
    if (s == STATUS_OK)
        s = image_open_raw(image, cfg->path, fd, size, readonly, e);
    if (s != STATUS_OK)
        close(fd);
    return s;
}

void image_close(struct image *i)
{
    if (i)
        i->ops->close(i);
}

enum status block_over(struct host_block **out, struct image *image, const struct block_config *how, struct error *e)
{
    struct host_block *b = calloc(1, sizeof *b);
    if (!b) {
        image_close(image);
        return error_set(e, STATUS_HOST, "disk: out of memory");
    }
    b->image = image;
    b->disk = (struct block){.ops = &host_ops, .size = image->size, .readonly = image->readonly};
    if (!how->synchronous && image->is_raw && !how->no_io_uring && !how->late)
        b->queue = queue_open_uring(image);
    if (!how->synchronous && !b->queue && !(b->queue = queue_open_threads(image, how->confine, e))) {
        image_close(image);
        free(b);
        return e->status;
    }
    *out = b;
    return STATUS_OK;
}

enum status block_open(struct host_block **b, const struct block_config *cfg, struct error *e)
{
    struct image *image = NULL;
    bool remote = !strncmp(cfg->path, "nbd", 3) && strstr(cfg->path, "://");
    enum status s = remote && cfg->late ? refuse_server(cfg->path, e) : remote ? image_open_nbd(&image, cfg->path, NULL, cfg->readonly || cfg->snapshot, e)
                           : open_file(&image, cfg, e);
    if (s == STATUS_OK && image->size % SECTOR)
        s = error_set(e, STATUS_HOST, "%s: its size, %llu bytes, is no multiple of 512", cfg->path,
                      (unsigned long long)image->size);
    if (s == STATUS_OK && cfg->snapshot && !cfg->readonly) {
        struct image *base = image;
        s = image_open_overlay(&image, base, e);
        if (s != STATUS_OK)
            image = base;
    }
    if (s != STATUS_OK) {
        image_close(image);
        return s;
    }
    s = block_over(b, image, cfg, e);
    if (s == STATUS_OK)
        (*b)->guarded = image->is_raw && !cfg->format;
    return s;
}

void block_close(struct host_block *b)
{
    if (!b)
        return;
    if (b->image->ops->abandon)
        b->image->ops->abandon(b->image);
    while (b->queue && b->in_flight)
        b->queue->ops->serve(b->queue, true);
    if (b->queue)
        b->queue->ops->close(b->queue);
    if (!b->disk.readonly)
        (void)b->image->ops->run(b->image, &(struct block_request){.op = BLOCK_FLUSH});
    image_close(b->image);
    free(b);
}

struct block *block_disk(struct host_block *b)
{
    return &b->disk;
}

int block_fd(const struct host_block *b)
{
    return b->queue && b->in_flight ? b->queue->fd : -1;
}

void block_serve(struct host_block *b)
{
    if (b->queue && b->in_flight)
        b->queue->ops->serve(b->queue, false);
}

bool block_quiet(const struct host_block *b)
{
    return !b->in_flight;
}

const char *block_way(const struct host_block *b)
{
    return b->queue ? b->queue->ops->name : "direct";
}
