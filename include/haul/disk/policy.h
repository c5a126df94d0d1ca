/* policy.h - how a file's data are kept out of the page cache: a noun, for wishes and receipts.
 * What it means is cache.h's to say. */
#ifndef HAUL_POLICY_H
#define HAUL_POLICY_H

enum policy_kind {
    POLICY_AUTO,
    POLICY_DIRECT,
    POLICY_WINDOW,
    POLICY_PLAIN,
    POLICY_BATCH, /* small files together; nobody asks for it */
};

enum { POLICY_WHY_BYTES = 160 };

/* "direct", "window", "plain", "batch", "auto". */
const char *policy_name(enum policy_kind kind);

#endif
