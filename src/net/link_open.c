/* link_open.c - a link to the haul that is there, or to one that is brought along. */
#include "haul/net/bootstrap.h"
#include "haul/net/link.h"

int link_open(struct link **out, const struct link_options *options, struct error *err)
{
    return options->bootstrap ? bootstrap_open(out, options, err)
                              : link_open_direct(out, options, err);
}
