/* version.h - what this build is and can do, for -V and -VV. */
#ifndef HAUL_VERSION_H
#define HAUL_VERSION_H

#include <stdio.h>

/* Version, engines (and whether the kernel lets us use them here), digests, libraries. */
void version_words(FILE *out);
void version_json(FILE *out);

#endif
