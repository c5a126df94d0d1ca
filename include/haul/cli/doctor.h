/* doctor.h - `haul doctor [PATH|HOST:]...`: what haul would do there, and why. Changes nothing. */
#ifndef HAUL_DOCTOR_H
#define HAUL_DOCTOR_H

struct options;

/* Print, as words or with --json an event a line, for each operand: of a file, or a new one in a
 * folder, the cache's policy, the engine, the evidence; of a host what haul is there, and what the
 * link does. Of this machine always. The exit code of the first that cannot be looked at. */
int doctor_command(const struct options *options);

#endif
