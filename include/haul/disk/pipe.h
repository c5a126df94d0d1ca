/* pipe.h - what has no places, only an order: fifos, sockets, terminals and other character
 * devices, and our own standard input and output. Its bytes come once, or go once.
 *
 * Whoever waits at one does so for a moment only and is told that nothing has come, so that it can
 * be asked to stop. All calls may block that long. */
#ifndef HAUL_PIPE_H
#define HAUL_PIPE_H

#include "haul/disk/file.h"

/* Read and written in order only. */
static inline bool pipe_is_kind(enum file_kind kind)
{
    return kind == FILE_FIFO || kind == FILE_SOCKET || kind == FILE_CHARACTER;
}

/* Open for reading. ERROR_USAGE: a device that never ends (/dev/zero, /dev/urandom), where
 * size_bytes, what is expected, is 0. Else facts.size_bytes is what is expected. A pipe of somebody
 * else's that was handed to us is shared, and what else uses it notices nothing. */
int pipe_open_source(struct file *file, const char *path, uint64_t size_bytes, struct error *err);

/* Open for writing. Waits half a minute for somebody who reads a fifo. Other character devices than
 * terminals and /dev/null, /dev/zero, /dev/full need `write_devices`. */
int pipe_open_target(struct file *file, const char *path, bool write_devices, struct error *err);

/* The number of the descriptor of our own that the path is a name of, or -1. */
int pipe_descriptor(const char *path);

/* For messages: what a path that the command line made of "-" is called; any other as it is, NULL
 * included. */
const char *pipe_shown(const char *path);

/* It never ends by itself: what is taken of it is what was asked for. */
bool pipe_is_endless(const struct file *file);

/* Fill `buffer` from *moved on; *moved is kept up to date, whatever is returned. 1: it is full; 0:
 * the end has come; -EAGAIN: nothing has for a moment; -errno. */
int pipe_read(const struct file *file, uint8_t *buffer, uint32_t length, uint32_t *moved);

/* The same for writing; 1: all of it has gone. -EPIPE: nobody reads it any more. */
int pipe_write(const struct file *file, const uint8_t *buffer, uint32_t length, uint32_t *moved);

#endif
