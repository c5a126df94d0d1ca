/* serve_notes.c - lines of this process's log, kept until the wire has time for them. The oldest
 * are never dropped for new ones: the first error is the cause. */
#include "serve_state.h"

#include "haul/base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct serve_notes {
    pthread_mutex_t lock;
    struct {
        enum log_level level;
        char line[WIRE_NOTE_BYTES];
    } notes[SERVE_NOTES_MAX]; /* ring */
    uint32_t first, count;
    uint64_t lost_count;
};

/* The log's sink has no argument, so this is the one variable of the program that is neither
 * constant nor the log's. One server a process takes notes; a second one goes without. */
static struct serve_notes *taking;

static void serve_notes_add(struct serve_notes *notes, enum log_level level, const char *line)
{
    if (notes->count == SERVE_NOTES_MAX) {
        notes->lost_count++;
        return;
    }
    uint32_t last = (notes->first + notes->count++) % SERVE_NOTES_MAX;
    notes->notes[last].level = level;
    snprintf(notes->notes[last].line, WIRE_NOTE_BYTES, "%s", line);
}

static void serve_notes_sink(enum log_level level, const char *line)
{
    struct serve_notes *notes = taking;
    pthread_mutex_lock(&notes->lock);
    serve_notes_add(notes, level, line);
    pthread_mutex_unlock(&notes->lock);
}

struct serve_notes *serve_notes_open(enum log_level level)
{
    struct serve_notes *notes = taking ? NULL : calloc(1, sizeof(*notes));
    if (!notes)
        return NULL; /* the session goes on without */
    pthread_mutex_init(&notes->lock, NULL);
    taking = notes;
    log_init(level, serve_notes_sink);
    return notes;
}

bool serve_notes_take(struct serve_notes *notes, enum log_level *level, char line[WIRE_NOTE_BYTES])
{
    if (!notes)
        return false;
    pthread_mutex_lock(&notes->lock);
    bool found = notes->count > 0;
    if (found) {
        *level = notes->notes[notes->first].level;
        memcpy(line, notes->notes[notes->first].line, WIRE_NOTE_BYTES);
        notes->first = (notes->first + 1) % SERVE_NOTES_MAX;
        notes->count--;
    }
    if (notes->count == 0 && notes->lost_count > 0) {
        char words[WIRE_NOTE_BYTES];
        snprintf(words, sizeof(words), "%llu more lines of the log were lost here",
                 (unsigned long long)notes->lost_count);
        notes->lost_count = 0;
        serve_notes_add(notes, LOG_WARNING, words);
    }
    pthread_mutex_unlock(&notes->lock);
    return found;
}

void serve_notes_close(struct serve_notes *notes)
{
    if (!notes)
        return;
    log_init(LOG_ERROR, NULL);
    taking = NULL;
    pthread_mutex_destroy(&notes->lock);
    free(notes);
}
