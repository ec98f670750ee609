/* libnbd, loaded when the first image needs it: with what it pulls in (GnuTLS, libxml2, ICU) it would
 * otherwise be an eighth of every monitor's resident memory. The members are libnbd's functions of the same
 * names (libnbd(3)). */
#ifndef HOST_NBD_LIBRARY_H
#define HOST_NBD_LIBRARY_H

#include <libnbd.h>

#include "base/error.h"

#define NBD_FUNCTIONS(X)                                                                                     \
    X(aio_connect_socket)                                                                                    \
    X(aio_connect_uri)                                                                                       \
    X(aio_get_fd)                                                                                            \
    X(aio_is_connecting)                                                                                     \
    X(aio_is_ready)                                                                                          \
    X(can_flush)                                                                                             \
    X(can_trim)                                                                                              \
    X(can_zero)                                                                                              \
    X(close)                                                                                                 \
    X(create)                                                                                                \
    X(flush)                                                                                                 \
    X(get_errno)                                                                                             \
    X(get_error)                                                                                             \
    X(get_size)                                                                                              \
    X(is_read_only)                                                                                          \
    X(poll)                                                                                                  \
    X(pread)                                                                                                 \
    X(pwrite)                                                                                                \
    X(set_request_structured_replies)                                                                        \
    X(shutdown)                                                                                              \
    X(trim)                                                                                                  \
    X(zero)

struct nbd_library {
#define MEMBER(name) __typeof__(&nbd_##name) name;
    NBD_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Fails with STATUS_HOST when the library, or a function of it, is not there. It stays loaded. */
enum status nbd_library_load(struct nbd_library *l, struct error *e);

#endif
