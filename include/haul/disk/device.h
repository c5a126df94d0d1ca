/* device.h - who else uses a block device. */
#ifndef HAUL_DEVICE_H
#define HAUL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* By what the device, its disk or one of its partitions is in use: "mounted on /mnt", "swap", "part
 * of dm-0"; into out. false: nobody that could be found. Only for words: what decides is O_EXCL.
 * Reads /proc and /sys. */
bool device_use(dev_t device, char *out, size_t capacity);

#endif
