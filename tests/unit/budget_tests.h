/* budget_tests.h - trees of files that look like many machines: what the tests of budgets share. */
#ifndef HAUL_TESTS_BUDGET_TESTS_H
#define HAUL_TESTS_BUDGET_TESTS_H

#include "in_child.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/budget.h"
#include "haul/disk/cgroup.h"
#include "haul/disk/residency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#endif
