/* link_watch.c - what the links of pipes wait for: descriptors that come and go in one epoll. */
#include "haul/net/link.h"

#include <errno.h>
#include <sys/epoll.h>

int link_watch(int epoll_fd, int fd, uint32_t events, bool wanted, bool *watched)
{
    struct epoll_event item = {.events = events};

    if (fd < 0 || wanted == *watched)
        return 0;
    if (epoll_ctl(epoll_fd, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &item) < 0)
        return -errno;
    *watched = wanted;
    return 0;
}
