/* ssh_line.h - lines of an ssh configuration, put so that libssh takes them for what ssh takes
 * them for. Knows no libssh; what is said of 0.10.6 was seen beside `ssh -G`. No function here
 * fails or blocks; a line may lack its newline. */
#ifndef HAUL_SSH_LINE_H
#define HAUL_SSH_LINE_H

#include <stdio.h>

/* What a line that begins a block is compared with. */
enum ssh_line_name {
    SSH_LINE_EITHER, /* it begins none */
    SSH_LINE_GIVEN,  /* the name on the command line */
    SSH_LINE_SO_FAR  /* HostName, as far as it is known */
};

/* May change `line` in place: `originalhost`, which 0.10.6 takes for false, becomes `host`. */
enum ssh_line_name ssh_line_read(char *line);

/* Write it to `file`: Host with its exclusions in front, ProxyJump with its last hop in front, all
 * else as it is. */
void ssh_line_put(FILE *file, const char *line);

#endif
