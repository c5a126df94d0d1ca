/* tracing.h - what the kernel tells of each page that enters or leaves the page cache: the events
 * filemap:mm_filemap_add_to_page_cache and _delete_from_page_cache, by an instance of tracefs that
 * is ours alone, instances/haul-PID.
 *
 * Needs a mounted tracefs and the right to use it (root). Knows nothing of copies. */
#ifndef HAUL_TRACING_H
#define HAUL_TRACING_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACING_BUFFER_BYTES = 64 * 1024 };

struct tracing {
    int instances_fd, instance_fd;
    int pipe_fd;           /* trace_pipe: lines, which reading takes out; does not block */
    char name[32];         /* of the instance; "": there is none */
    uint64_t unread_count; /* lines that are no event as we know them */
    size_t start, end;
    char buffer[TRACING_BUFFER_BYTES];
};

/* Pages, in the kernel's own terms: a folio of 2^order of them is one event. */
struct tracing_event {
    bool added; /* else: deleted */
    uint32_t thread;
    uint64_t device; /* of the file's superblock: major << 20 | minor */
    uint64_t inode;
    uint64_t page; /* number of the first one in the file */
    uint64_t pages_count;
};

/* Begin to record. `root`: "/" in production, below which sys/kernel/tracing is looked for. What
 * haul processes that were killed have left there is removed. -errno with words: not mounted, not
 * allowed, no such event. tracing_close() follows either. */
int tracing_open(struct tracing *tracing, const char *root, struct error *err);

/* The next event. false: there is none now. */
bool tracing_next(struct tracing *tracing, struct tracing_event *event);

/* One line of trace_pipe. 1: an event; 0: says nothing of pages; -EPROTO: cannot be read. */
int tracing_parse(const char *line, struct tracing_event *event);

/* Record no more; what is recorded can still be read. */
void tracing_stop(struct tracing *tracing);

/* Events that nobody can read any more, because the buffer was full, or that were not understood;
 * NUM_UNKNOWN: the kernel does not tell. */
uint64_t tracing_lost(const struct tracing *tracing);

/* Remove the instance. */
void tracing_close(struct tracing *tracing);

/* Remove that of a process that has been killed. */
void tracing_remove(const char *root, uint32_t pid);

#endif
