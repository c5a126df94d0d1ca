/* engine_execute.c - one request by plain system calls, for every engine that has nothing better.
 */
#include "haul/disk/engine.h"

#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Most bytes of one system call. Linux itself stops at 2 GiB less a page (read(2)), which is not a
 * multiple of larger blocks; the short-transfer rules then go on behind this. */
#define TRANSFER_BYTES_MAX GIB

static ssize_t transfer(const struct request *request)
{
    uint8_t *buffer = (uint8_t *)request->buffer + request->done;
    size_t length = (size_t)min_u64(request->length - request->done, TRANSFER_BYTES_MAX);
    off_t offset = num_off(request->offset + request->done);
    if (request->kind == REQUEST_READ)
        return pread(request->fd, buffer, length, offset);
    return pwrite(request->fd, buffer, length, offset);
}

/* Only calls that Linux 3.2 has. sync_file_range and posix_fadvise through libc: their 64-bit
 * arguments are passed differently on each 32-bit architecture. */
int64_t engine_execute(const struct request *request)
{
    off_t offset = num_off(request->offset);
    off_t length = num_off(request->length);
    int64_t status = -1;
    switch (request->kind) {
    case REQUEST_READ:
    case REQUEST_WRITE:
        status = transfer(request);
        break;
    case REQUEST_DATASYNC:
        status = fdatasync(request->fd);
        break;
    case REQUEST_WRITEBACK_START:
        status = sync_file_range(request->fd, offset, length, SYNC_FILE_RANGE_WRITE);
        break;
    case REQUEST_WRITEBACK_WAIT:
        status = sync_file_range(request->fd, offset, length,
                                 SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                     SYNC_FILE_RANGE_WAIT_AFTER);
        break;
    case REQUEST_SYNC:
        status = fsync(request->fd);
        break;
    case REQUEST_CALL:
        return request->call(request->argument);
    case REQUEST_DROP: /* returns the error and leaves errno alone (posix_fadvise(2)) */
        return -posix_fadvise(request->fd, offset, length, POSIX_FADV_DONTNEED);
    }
    return status < 0 ? -errno : status;
}
