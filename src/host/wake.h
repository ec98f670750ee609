/* Waking the event loop: one eventfd. */
#ifndef HOST_WAKE_H
#define HOST_WAKE_H

#include "base/error.h"

struct wake {
    int fd;
};

enum status wake_init(struct wake *w, struct error *e);
void wake_destroy(struct wake *w);
/* Any thread, any signal handler (errno is kept). */
void wake_post(const struct wake *w);
/* Forgets what was posted. */
void wake_drain(const struct wake *w);

#endif
