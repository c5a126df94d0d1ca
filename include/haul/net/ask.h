/* ask.h - questions to the person at the terminal, on /dev/tty, whatever stdin and stdout are.
 *
 * Used by src/net for host keys and secrets only. Secrets never reach a command line, the
 * environment or a log; every buffer that held one is wiped. */
#ifndef HAUL_ASK_H
#define HAUL_ASK_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { ASK_SECRET_BYTES = 1024, ASK_PROMPT_BYTES = 1024, ASK_MEMORY_MAX = 32 };

/* Ask on /dev/tty; the answer without its newline goes to `out`. Without a terminal, or when
 * SSH_ASKPASS_REQUIRE says so, SSH_ASKPASS is run for secrets (echo false). Blocks. -ENOTTY: there
 * is nobody to ask; -EINTR: a signal came; -ECANCELED: end of file, or askpass was cancelled;
 * -E2BIG: a longer answer. err (ERROR_SOCKET, ERROR_INTERRUPTED) says so, and `out` is wiped.
 * `prompt` may come from outside: it is escaped. */
int ask_line(char *out, size_t capacity, const char *prompt, bool echo, struct error *err);

/* Overwrite, in a way that the compiler does not remove. */
void ask_wipe(void *data, size_t length);

/* Answers that worked, of people and of ssh, so that the second lane does not ask again. Keyed by
 * who asks and what. */
struct ask_memory;

struct ask_memory *ask_memory_open(void);         /* NULL: no memory */
void ask_memory_close(struct ask_memory *memory); /* wipes; NULL is legal */

/* The answer goes to `out` (NULL: only whether there is one). False: none, or it is longer. */
bool ask_memory_get(struct ask_memory *memory, const char *key, char *out, size_t capacity);

/* Instead of what was remembered; NULL: forget it. */
void ask_memory_put(struct ask_memory *memory, const char *key, const char *answer);

#endif
