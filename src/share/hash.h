/* The hash of a page's contents: XXH3, 64 bits. Pages with one hash are compared before they are shared. */
#ifndef SHARE_HASH_H
#define SHARE_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/types.h"

static inline u64 page_hash(const u8 *page)
{
    return XXH3_64bits(page, PAGE_SIZE);
}

#endif
