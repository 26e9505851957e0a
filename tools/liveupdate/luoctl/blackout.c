// SPDX-License-Identifier: GPL-2.0
/* How long the last live update took, by the phases that the kernel tells. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "luoctl.h"

#define BLACKOUT	SYSFS "blackout/"
#define PHASES		32
#define PHASE_LENGTH	32

#define NO_TIMES	"no times: this kernel was not started by a live update, " \
			"or the counter was reset"

struct phase {
	char name[PHASE_LENGTH];
	bool known;
	unsigned long long ns;
};

struct blackout {
	struct phase phases[PHASES];
	int count;
	bool known;
	unsigned long long total;
};

/* In the order of time; others that a kernel may have stand behind these. */
static const char * const order[] = {
	"freeze", "jump", "setup", "map", "boot", "luo", "open",
};

static size_t place_of(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		if (!strcmp(order[i], name))
			break;
	}
	return i;
}

static int compare_phases(const void *a, const void *b)
{
	const struct phase *first = a, *second = b;
	size_t places[] = { place_of(first->name), place_of(second->name) };

	if (places[0] != places[1])
		return places[0] < places[1] ? -1 : 1;
	return strcmp(first->name, second->name);
}

static void read_phase(struct phase *phase)
{
	char path[sizeof(BLACKOUT "_ns") + PHASE_LENGTH];
	FILE *file;

	snprintf(path, sizeof(path), BLACKOUT "%s_ns", phase->name);
	file = fopen(path, "re");
	if (!file)
		return;
	phase->known = fscanf(file, "%llu", &phase->ns) == 1;
	fclose(file);
}

/* Returns how many there are, or -errno. */
static int read_phases(struct phase phases[PHASES])
{
	DIR *dir = opendir(BLACKOUT);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -errno;
	while (count < PHASES && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len <= 3 || len - 3 >= PHASE_LENGTH || strcmp(entry->d_name + len - 3, "_ns"))
			continue;
		phases[count] = (struct phase){};
		memcpy(phases[count].name, entry->d_name, len - 3);
		read_phase(&phases[count++]);
	}
	closedir(dir);
	qsort(phases, count, sizeof(phases[0]), compare_phases);
	return count;
}

static int read_blackout(struct blackout *blackout)
{
	int count = read_phases(blackout->phases), i;

	blackout->known = false;
	blackout->total = 0;
	if (count < 0)
		return count;
	blackout->count = count;
	for (i = 0; i < count; i++) {
		blackout->known |= blackout->phases[i].known;
		blackout->total += blackout->phases[i].ns;
	}
	return 0;
}

static void put_json(const struct blackout *blackout)
{
	int i;

	json_open("phases", '[');
	for (i = 0; i < blackout->count; i++) {
		json_open(NULL, '{');
		json_text("name", blackout->phases[i].name, PHASE_LENGTH);
		if (blackout->phases[i].known)
			json_number("ns", blackout->phases[i].ns);
		else
			json_null("ns");
		json_close('}');
	}
	json_close(']');
	json_number("total_ns", blackout->total);
}

static void print_ms(const char *name, unsigned long long ns)
{
	printf("%-10s %12llu.%03llu\n", name, ns / 1000000, ns / 1000 % 1000);
}

static void print_table(const struct context *ctx, const struct blackout *blackout)
{
	int i;

	if (ctx->header)
		printf("%-10s %16s\n", "PHASE", "MS");
	for (i = 0; i < blackout->count; i++) {
		if (blackout->phases[i].known)
			print_ms(blackout->phases[i].name, blackout->phases[i].ns);
		else
			printf("%-10s %16s\n", blackout->phases[i].name, "-");
	}
	print_ms("total", blackout->total);
}

static void put(const struct context *ctx, const struct blackout *blackout)
{
	if (ctx->json)
		put_json(blackout);
	else
		print_table(ctx, blackout);
}

void put_blackout(const struct context *ctx)
{
	struct blackout blackout;

	if (!read_blackout(&blackout) && blackout.known)
		put(ctx, &blackout);
}

int show_blackout(struct context *ctx, const char *name)
{
	struct blackout blackout;
	int err = read_blackout(&blackout);

	(void)name;
	if (err)
		return fail_errno(ctx, BLACKOUT, err);
	if (!blackout.known)
		return fail(ctx, BLACKOUT, NO_TIMES);
	if (ctx->json)
		json_open(NULL, '{');
	put(ctx, &blackout);
	if (ctx->json)
		json_close('}');
	return EXIT_DONE;
}
