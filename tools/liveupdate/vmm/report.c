// SPDX-License-Identifier: GPL-2.0
/* Where the time of a stand-still went. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#include "vmm.h"

#define BLACKOUT_DIR	"/sys/kernel/liveupdate/blackout/"

/*
 * A phase ends at its moment and starts where the row before ended. One whose
 * end is not known is part of the next.
 */
static const struct phase {
	const char *name;
	enum moment end;
} phases[] = {
	{ "pause", MOMENT_PAUSED },
	{ "save", MOMENT_SAVED },
	{ "digest_before", MOMENT_REBOOT },
	{ "freeze", MOMENT_FROZEN },
	{ "jump", MOMENT_ENTRY },
	{ "kernel", MOMENT_USERSPACE },
	{ "userspace", MOMENT_AGENT },
	{ "retrieve", MOMENT_RETRIEVED },
	{ "digest_after", MOMENT_DIGESTED },
	{ "restore", MOMENT_RUN },
};

uint64_t ticks_to_us(uint64_t ticks, uint32_t tsc_khz)
{
	return ticks / tsc_khz * 1000 + ticks % tsc_khz * 1000 / tsc_khz;
}

/* What the new kernel says of a phase, 0 if nothing. */
static uint64_t blackout_us(const char *name)
{
	char path[128];
	uint64_t ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), BLACKOUT_DIR "%s_ns", name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64, &ns) != 1)
		ns = 0;
	fclose(file);
	return ns / 1000;
}

static uint64_t timespec_us(const struct timespec *time)
{
	return time->tv_sec * 1000000ULL + time->tv_nsec / 1000;
}

/* The first program of a system mounts /proc before it does anything else. */
static uint64_t userspace_age_us(void)
{
	struct timespec now;
	struct stat st;

	if (stat("/proc", &st) < 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	if (timespec_us(&st.st_ctim) > timespec_us(&now))
		return 0;
	return timespec_us(&now) - timespec_us(&st.st_ctim);
}

static uint64_t us_to_ticks(uint64_t us, uint32_t tsc_khz)
{
	return us * tsc_khz / 1000;
}

/* Without the new kernel's word for it, it runs since its clock does. */
void add_moments(uint64_t moments[MOMENT_COUNT], uint32_t tsc_khz)
{
	uint64_t jump = blackout_us("jump");
	struct timespec uptime;
	uint64_t now, userspace;

	clock_gettime(CLOCK_BOOTTIME, &uptime);
	now = tsc_now();
	moments[MOMENT_ENTRY] = now - us_to_ticks(timespec_us(&uptime), tsc_khz);
	if (jump) {
		moments[MOMENT_FROZEN] = moments[MOMENT_REBOOT] +
			us_to_ticks(blackout_us("freeze"), tsc_khz);
		moments[MOMENT_ENTRY] = moments[MOMENT_FROZEN] +
			us_to_ticks(jump, tsc_khz);
	}
	userspace = now - us_to_ticks(userspace_age_us(), tsc_khz);
	if (userspace > moments[MOMENT_ENTRY] &&
	    userspace < moments[MOMENT_AGENT])
		moments[MOMENT_USERSPACE] = userspace;
}

static void report_blackout(FILE *out)
{
	static const char * const names[] = {
		"freeze", "jump", "setup", "map", "boot", "luo", "open",
	};
	uint64_t us;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		us = blackout_us(names[i]);
		if (us)
			fprintf(out, "blackout_%s_us %" PRIu64 "\n", names[i],
				us);
	}
}

void report_standstill(FILE *out, const uint64_t moments[MOMENT_COUNT],
		       uint32_t tsc_khz)
{
	uint64_t start = moments[MOMENT_PAUSE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(phases); i++) {
		if (!moments[phases[i].end])
			continue;
		fprintf(out, "still_%s_us %" PRIu64 "\n", phases[i].name,
			ticks_to_us(moments[phases[i].end] - start, tsc_khz));
		start = moments[phases[i].end];
	}
	fprintf(out, "still_us %" PRIu64 "\n",
		ticks_to_us(moments[MOMENT_RUN] - moments[MOMENT_PAUSE],
			    tsc_khz));
	report_blackout(out);
}
