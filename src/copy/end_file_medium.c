/* end_file_medium.c - reads that compare with the medium, whatever the cache holds.
 *
 * Direct I/O does that on a file that is copied through the cache as well: the kernel writes back
 * what is dirty in the range, reads below the cache, and drops nothing of anybody. Where it does
 * not, what is ours is dropped first (end_file_io.c); what is in the cache then is counted, so that
 * the receipt does not call it the medium. */
#include "end_file.h"

#include "haul/num.h"

#include <fcntl.h>

enum { MEDIUM_BLOCK_BYTES = 4096, MEDIUM_BLOCK_BYTES_MAX = 65536 };

bool end_file_wants_medium(const struct work *work)
{
    const struct slot *slot = work->slot;
    return (slot->op == END_EXAMINE && slot->from_medium) ||
           (slot->op != END_STORE && slot->job->wish.compare_only);
}

static uint32_t medium_block(const struct file *file)
{
    uint64_t wanted = max_u64(file->dio_offset_bytes, file->dio_memory_bytes);
    return (uint32_t)max_u64(MEDIUM_BLOCK_BYTES, wanted);
}

/* Only where statx vouches for it: other filesystems take the flag and buffer all the same. */
static enum medium medium_open(struct file *file)
{
    bool vouched = file->dio_known && file->dio_memory_bytes > 0 && file->readable;
    if (!vouched || !is_power_of_two(medium_block(file)) ||
        medium_block(file) > MEDIUM_BLOCK_BYTES_MAX)
        return MEDIUM_BUFFERED;
    if (file->fd_direct >= 0) /* it was tried, and given up for windows */
        return MEDIUM_BUFFERED;
    file->fd_direct = file_reopen(file, O_RDONLY | O_DIRECT);
    return file->fd_direct >= 0 ? MEDIUM_DIRECT : MEDIUM_BUFFERED;
}

bool end_file_medium_direct(struct open_file *open, uint32_t *block)
{
    if (open->medium == MEDIUM_UNKNOWN)
        open->medium = medium_open(&open->file);
    *block = medium_block(&open->file);
    return open->medium == MEDIUM_DIRECT;
}

void end_file_medium_cached(struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    uint64_t bytes = slot->length;
    if (residency_measure(&open->residency, open->file.fd, slot->offset, slot->length, &bytes) != 0)
        bytes = slot->length; /* nobody knows */
    open->reread_cached_bytes += min_u64(bytes, slot->length);
}
