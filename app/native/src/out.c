/* The scratch buffer that atoms are written to. */
#include "out.h"

#include <stdlib.h>

/* A list of small items grows by less than 20 times; what needs more than this is the reference's. */
static const int64_t MOST_BYTES = 64 << 20;

/* Room for `more` bytes behind those that are there. No overflow: both are bounded by MOST_BYTES and the buffer's size. */
int grown_larger(struct work *work, int64_t more)
{
    if (more > MOST_BYTES - work->size)
        return TOO_MUCH;
    int64_t room = 2 * (work->size + more);
    uint8_t *out = realloc(work->out, (size_t)room);
    if (out == NULL)
        return TOO_MUCH;
    work->out = out;
    work->room = room;
    return DECODED;
}

/* For qsort, of `struct part`: by the keys' bytes, which is by code point for UTF-8. */
int by_key(const void *one, const void *other)
{
    const struct part *a = one, *b = other;
    int64_t shorter = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = shorter == 0 ? 0 : memcmp(a->key, b->key, (size_t)shorter);
    if (order != 0)
        return order;
    return (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

/* Whatever stands from `from` to the end comes to `start`, over what stood there. */
void moved_back(struct work *work, int64_t start, int64_t from)
{
    memmove(work->out + start, work->out + from, (size_t)(work->size - from));
    work->size -= from - start;
}
