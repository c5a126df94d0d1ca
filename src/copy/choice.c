/* choice.c - what is left out of a run by its facts alone. */
#include "haul/copy/choice.h"

#include "haul/base/clock.h"

#include <stddef.h>

/* More than a window's whole seconds, as --modify-window counts them. */
static bool is_newer(const struct facts *a, const struct facts *b, uint64_t window_ns)
{
    if (a->mtime_seconds != b->mtime_seconds) {
        uint64_t apart = (uint64_t)a->mtime_seconds - (uint64_t)b->mtime_seconds;
        return a->mtime_seconds > b->mtime_seconds && apart > window_ns / NS_PER_SECOND;
    }
    return a->mtime_ns > b->mtime_ns && window_ns == 0;
}

const char *choice_skip(const struct copy_wish *run, const struct facts *source,
                        const struct facts *target, bool unfinished)
{
    const struct choice_wish *wish = &run->choice;
    bool folders = source->kind == FILE_FOLDER && target->kind == FILE_FOLDER;
    bool regular = source->kind == FILE_REGULAR;
    if (wish->existing && target->kind == FILE_NONE)
        return "there is no such target (--existing)";
    if (wish->ignore_existing && target->kind != FILE_NONE && !folders && !unfinished)
        return "the target exists (--ignore-existing)";
    if (regular && wish->max_size_set && source->size_bytes > wish->max_size_bytes)
        return "it is larger than --max-size";
    if (regular && source->size_bytes < wish->min_size_bytes)
        return "it is smaller than --min-size";
    if (wish->update && regular && target->kind == FILE_REGULAR && !unfinished &&
        is_newer(target, source, run->modify_window_ns))
        return "the target is newer (--update)";
    return NULL;
}

bool choice_goes_by_target(const struct choice_wish *wish)
{
    return wish->update || wish->existing || wish->ignore_existing || wish->size_only;
}

bool choice_any(const struct choice_wish *wish)
{
    return choice_goes_by_target(wish) || wish->max_size_set || wish->min_size_bytes > 0;
}
