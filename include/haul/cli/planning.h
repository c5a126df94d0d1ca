/* planning.h - the commands `haul plan SOURCE TARGET`, `haul run PLAN --unit=N` and
 * `haul finish PLAN`: a copy in units, which any scheduler runs, on as many machines as there are.
 */
#ifndef HAUL_PLANNING_H
#define HAUL_PLANNING_H

#include "haul/cli/options.h"

/* Each runs the whole command, prints what there is to say, and returns the exit code of the
 * process. Blocks until done. */
int planning_plan(const struct options *options);
int planning_run(const struct options *options);
int planning_finish(const struct options *options);

#endif
