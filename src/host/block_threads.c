/* Images by threads that wait for the host, where io_uring is refused or the image is no plain file. Requests
 * go to the threads through one list, and come back through another and an eventfd. The lists have a lock of
 * their own, below the big lock; `done` is called without it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/block_image.h"
#include "host/thread.h"

#define THREADS 4u

struct list {
    struct block_request *head, **tail;
};

struct thread_queue {
    struct block_queue queue;
    struct lock lock;
    struct cond work, idle;
    struct list todo, done;
    bool stop;
    unsigned threads;
    struct thread thread[THREADS];
};

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_add(struct list *l, struct block_request *r)
{
    r->next = NULL;
    *l->tail = r;
    l->tail = &r->next;
}

static struct block_request *list_take(struct list *l)
{
    struct block_request *r = l->head;
    if (r && !(l->head = r->next))
        l->tail = &l->head;
    return r;
}

static void *worker(void *arg)
{
    struct thread_queue *t = arg;
    struct image *image = t->queue.image;
    lock_take(&t->lock);
    for (;;) {
        while (!t->todo.head && !t->stop)
            cond_sleep(&t->work, &t->lock);
        struct block_request *r = list_take(&t->todo);
        if (!r)
            break;
        lock_release(&t->lock);
        int error = image->ops->run(image, r);
        lock_take(&t->lock);
        r->progress = (u64)error;
        list_add(&t->done, r);
        cond_wake(&t->idle);
        (void)!write(t->queue.fd, &(u64){1}, sizeof(u64));
    }
    lock_release(&t->lock);
    return NULL;
}

static void threads_submit(struct block_queue *q, struct block_request *r)
{
    struct thread_queue *t = (struct thread_queue *)q;
    lock_take(&t->lock);
    list_add(&t->todo, r);
    cond_wake(&t->work);
    lock_release(&t->lock);
}

static void threads_serve(struct block_queue *q, bool wait)
{
    struct thread_queue *t = (struct thread_queue *)q;
    u64 count;
    struct list done;
    lock_take(&t->lock);
    while (wait && !t->done.head)
        cond_sleep(&t->idle, &t->lock);
    done = t->done;
    list_init(&t->done);
    (void)!read(t->queue.fd, &count, sizeof count);
    lock_release(&t->lock);
    for (struct block_request *r = done.head, *next; r; r = next) {
        next = r->next;
        block_request_done(r, (int)r->progress);
    }
}

static void threads_close(struct block_queue *q)
{
    struct thread_queue *t = (struct thread_queue *)q;
    lock_take(&t->lock);
    t->stop = true;
    for (unsigned i = 0; i < t->threads; i++)
        cond_wake(&t->work);
    lock_release(&t->lock);
    for (unsigned i = 0; i < t->threads; i++)
        thread_join(&t->thread[i]);
    close(t->queue.fd);
    cond_destroy(&t->work);
    cond_destroy(&t->idle);
    lock_destroy(&t->lock);
    free(t);
}

static const struct block_queue_ops thread_ops = {
    .name = "threads", .submit = threads_submit, .serve = threads_serve, .close = threads_close};

struct block_queue *queue_open_threads(struct image *image, const struct confine *c, struct error *e)
{
    struct thread_queue *t = calloc(1, sizeof *t);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!t || fd < 0 || lock_init(&t->lock, e) != STATUS_OK || cond_init(&t->work, e) != STATUS_OK ||
        cond_init(&t->idle, e) != STATUS_OK) {
        error_set(e, STATUS_HOST, "disk: no resources for its threads");
        free(t);
        return NULL;
    }
    t->queue = (struct block_queue){.ops = &thread_ops, .image = image, .fd = fd};
    list_init(&t->todo);
    list_init(&t->done);
    for (unsigned n = image->ops->parallel ? THREADS : 1; t->threads < n; t->threads++)
        if (thread_start_confined(&t->thread[t->threads], "trine-disk", c, CONFINE_DISK, worker, t, e) != STATUS_OK) {
            threads_close(&t->queue);
            return NULL;
        }
    return &t->queue;
}
