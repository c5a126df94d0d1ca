/* cache_account.c - whose pages: the sums behind the receipt's figures. It looks at nothing
 * itself. */
#include "haul/base/num.h"
#include "haul/disk/cache.h"

void cache_account_others(struct cache_account *account, uint64_t start, uint64_t end,
                          uint64_t bytes)
{
    if (ranges_hold(&account->counted, start, end))
        return; /* moved for a second time: repaired, verified */
    ranges_add_blurred(&account->counted, start, end);
    account->others_bytes += bytes;
}

void cache_account_ours(struct cache_account *account, uint64_t bytes, uint64_t instead_of_bytes)
{
    assert(account->ours_bytes >= instead_of_bytes);
    account->ours_bytes += bytes - instead_of_bytes;
    account->ours_peak_bytes = max_u64(account->ours_peak_bytes, account->ours_bytes);
}
