/* policy.c - the names of the policies. */
#include "haul/disk/policy.h"

const char *policy_name(enum policy_kind kind)
{
    static const char *const names[] = {
        [POLICY_AUTO] = "auto",   [POLICY_DIRECT] = "direct", [POLICY_WINDOW] = "window",
        [POLICY_PLAIN] = "plain", [POLICY_BATCH] = "batch",
    };
    return names[kind];
}
