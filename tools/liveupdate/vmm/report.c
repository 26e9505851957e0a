// SPDX-License-Identifier: GPL-2.0
/* Where the time of a stand-still went. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "vmm.h"

#define BLACKOUT_DIR	"/sys/kernel/liveupdate/blackout/"

/* A phase ends at its moment and starts at the moment of the row before. */
static const struct phase {
	const char *name;
	enum moment end;
} phases[] = {
	{ "pause", MOMENT_PAUSED },
	{ "save", MOMENT_SAVED },
	{ "digest_before", MOMENT_REBOOT },
	{ "jump", MOMENT_KERNEL },
	{ "kernel", MOMENT_USERSPACE },
	{ "userspace", MOMENT_AGENT },
	{ "retrieve", MOMENT_RETRIEVED },
	{ "digest_after", MOMENT_DIGESTED },
	{ "restore", MOMENT_RUN },
};

/* What the new kernel says about its own part of it. */
static const char * const blackout_phases[] = {
	"freeze", "jump", "setup", "map", "boot", "luo", "open",
};

uint64_t ticks_to_us(uint64_t ticks, uint32_t tsc_khz)
{
	return ticks / tsc_khz * 1000 + ticks % tsc_khz * 1000 / tsc_khz;
}

static void report_blackout(FILE *out)
{
	char path[128];
	uint64_t ns;
	FILE *file;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(blackout_phases); i++) {
		snprintf(path, sizeof(path), BLACKOUT_DIR "%s_ns",
			 blackout_phases[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%" SCNu64, &ns) == 1)
			fprintf(out, "blackout_%s_us %" PRIu64 "\n",
				blackout_phases[i], ns / 1000);
		fclose(file);
	}
}

void report_standstill(FILE *out, const uint64_t moments[MOMENT_COUNT],
		       uint32_t tsc_khz)
{
	uint64_t start = moments[MOMENT_PAUSE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(phases); i++) {
		fprintf(out, "still_%s_us %" PRIu64 "\n", phases[i].name,
			ticks_to_us(moments[phases[i].end] - start, tsc_khz));
		start = moments[phases[i].end];
	}
	fprintf(out, "still_us %" PRIu64 "\n",
		ticks_to_us(moments[MOMENT_RUN] - moments[MOMENT_PAUSE],
			    tsc_khz));
	report_blackout(out);
}
