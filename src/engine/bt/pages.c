/* What was looked up for code is kept by RIP and by page, under a key that a flush of one small page does not change (tlb_code_epoch). So it is known here
 * which frame each page of code was found in, and such a flush takes out what leads into that page, and nothing else: a program that makes code as it runs
 * flushes the pages of it all the time.
 *
 * Whatever is kept by a page's address, beyond the entries of the jump table and the tags of links, must go in forget_block too. */
#include <string.h>

#include "engine/bt/bt.h"

#define PAGE_USED 1ull /* beside the page's address */

/* Block N, by its first frame or its SECOND, was found at PAGE: nothing leads there from now on without a look at the page. */
static void forget_block(struct bt *b, u32 n, unsigned second, u64 page)
{
    const struct bt_block *t = &b->blocks[n];
    if (second) { /* it is entered in the page before */
        for (u32 k = 0; k < t->link_count; k++)
            b->tags[t->link_first + k] = 0;
        return;
    }
    u64 rip = page | (t->gpa & ~PAGE_MASK);
    for (unsigned way = 0; way < 2; way++)
        if (bt_jump_entry(b, rip, way)->rip == rip)
            bt_jump_entry(b, rip, way)->key = 0;
    for (u32 l = t->links_in; l; l = b->links[l].next)
        b->tags[l] = 0;
}

static void forget_page(struct bt *b, u64 page, u64 frame)
{
    for (u32 ref = *bt_frame_list(b, frame), next; ref; ref = next) {
        const struct bt_block *t = &b->blocks[ref / 2];
        next = t->frame_next[ref & 1];
        if (bt_frame_of(t, ref & 1) == frame)
            forget_block(b, ref / 2, ref & 1, page);
    }
}

static struct bt_page *set_of(struct bt *b, u64 page)
{
    return b->pages[(page >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 54 & (BT_PAGE_SETS - 1)];
}

void bt_page_note(struct bt *b, u64 lin, u64 gpa)
{
    u64 page = (lin & PAGE_MASK) | PAGE_USED, frame = gpa & PAGE_MASK;
    struct bt_page *set = set_of(b, lin), *free = NULL;
    for (unsigned k = 0; k < BT_PAGE_WAYS; k++) {
        if (set[k].page == page && set[k].frame == frame)
            return;
        if (!set[k].page)
            free = &set[k];
    }
    if (!free) {
        free = &set[b->page_turn++ % BT_PAGE_WAYS];
        forget_page(b, free->page & PAGE_MASK, free->frame);
    }
    *free = (struct bt_page){page, frame};
}

static void drop(struct bt *b, u64 lin)
{
    u64 page = (lin & PAGE_MASK) | PAGE_USED;
    struct bt_page *set = set_of(b, lin);
    for (unsigned k = 0; k < BT_PAGE_WAYS; k++)
        if (set[k].page == page) {
            forget_page(b, lin & PAGE_MASK, set[k].frame);
            set[k].page = 0;
        }
}

void bt_pages_follow(struct bt *b)
{
    const struct tlb *t = b->cpu->tlb;
    if (LIKELY(b->pages_seen == t->dropped_n))
        return;
    if (t->dropped_n - b->pages_seen > TLB_DROPPED) {
        memset(b->key_cache, 0, sizeof b->key_cache); /* nothing is found under any of these keys again */
        b->pages_seen = t->dropped_n;
    }
    while (b->pages_seen != t->dropped_n)
        drop(b, t->dropped[b->pages_seen++ % TLB_DROPPED]);
}
