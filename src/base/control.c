/* control.c - the one bucket of bandwidth that all lanes of a run take from, and what their servers
 * want. */
#include "haul/base/control.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"

void control_spend(struct control *control, int64_t bytes)
{
    if (control->bandwidth_bytes == 0 || bytes == 0)
        return;
    int64_t cost_ns =
        (int64_t)((double)bytes / (double)control->bandwidth_bytes * (double)NS_PER_SECOND);
    uint64_t earliest_ns = clock_now_ns() - NS_PER_SECOND / 10;
    uint64_t before_ns = control->allowed_ns;
    while (!atomic_compare_exchange_weak(&control->allowed_ns, &before_ns,
                                         max_u64(before_ns, earliest_ns) + (uint64_t)cost_ns))
        ;
}

uint64_t control_wait_ns(const struct control *control)
{
    if (control->bandwidth_bytes == 0)
        return 0;
    uint64_t now_ns = clock_now_ns(), allowed_ns = control->allowed_ns;
    return allowed_ns > now_ns ? allowed_ns - now_ns : 0;
}

uint64_t control_share(const struct control *control, uint64_t count, uint64_t least)
{
    return max_u64(count >> control->slots_halved, min_u64(count, least));
}

void control_far_halve(struct control *control, uint32_t before, uint32_t now)
{
    if (before == now)
        return;
    if (before > 0)
        control->far_halved[before]--;
    if (now > 0)
        control->far_halved[now]++;
}

uint32_t control_far_halved(const struct control *control)
{
    uint32_t most = CONTROL_HALVED_MAX;
    while (most > 0 && control->far_halved[most] == 0)
        most--;
    return most;
}
