// SPDX-License-Identifier: GPL-2.0
/* The next kernel: whether it can take over, and loading it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "image.h"
#include "json.h"
#include "luoctl.h"

#define SYSFS_ABI	SYSFS "abi"
#define SYSFS_ROOM	SYSFS "image_room"
#define DEBUGFS_SESSIONS	"/sys/kernel/debug/liveupdate/sessions"

/* Formats of the running kernel's own structures. */
static int add_own_formats(struct context *ctx, struct formats *needed)
{
	FILE *file = fopen(SYSFS_ABI, "re");
	char name[IMAGE_FORMAT_LENGTH];

	if (!file)
		return fail(ctx, SYSFS_ABI, errno == ENOENT ?
			    "this kernel does not tell its formats: name those to look for" :
			    strerror(errno));
	while (fscanf(file, "%47s", name) == 1)
		formats_add(needed, name, strlen(name));
	fclose(file);
	return needed->count ? EXIT_DONE : fail(ctx, SYSFS_ABI, "empty");
}

static unsigned long long read_count(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long long count = 0;

	if (file) {
		if (fscanf(file, "%llu", &count) != 1)
			count = 0;
		fclose(file);
	}
	return count;
}

/* Returns how many files the kernel named a handler of. */
static unsigned long long add_handlers_of(FILE *file, struct formats *needed)
{
	char line[512], name[IMAGE_FORMAT_LENGTH];
	unsigned long long known = 0;

	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " token %*s %*s %47s bytes ", name) == 1)
			known += formats_add(needed, name, strlen(name));
	}
	return known;
}

/* Handlers of the files in sessions, where the kernel tells. */
static void add_handlers(struct context *ctx, struct formats *needed)
{
	unsigned long long held = read_count(SYSFS "outgoing_files") +
				  read_count(SYSFS "incoming_files");
	FILE *file = fopen(DEBUGFS_SESSIONS, "re");
	unsigned long long known = 0;
	const char *why = strerror(errno);
	char text[256];

	if (file) {
		known = add_handlers_of(file, needed);
		fclose(file);
		why = "their sessions were never retrieved";
	}
	if (known >= held)
		return;
	snprintf(text, sizeof(text),
		 "warning: formats of %llu files are not known (%s): %s",
		 held - known, why, file ?
		 "retrieve them, or name the formats to luoctl check" :
		 "mount debugfs, or name the formats to luoctl check");
	warn(ctx, DEBUGFS_SESSIONS, text);
}

/* What a kernel has to read to take over from this one now. */
static int find_held(struct context *ctx, struct formats *needed)
{
	int status = add_own_formats(ctx, needed);

	if (status == EXIT_DONE)
		add_handlers(ctx, needed);
	return status;
}

static int find_needed(struct context *ctx, struct formats *needed)
{
	char **name;

	for (name = ctx->more; *name; name++) {
		if (!formats_add(needed, *name, strlen(*name)))
			return fail(ctx, *name, "not the name of a format");
	}
	return needed->count ? EXIT_DONE : find_held(ctx, needed);
}

static const char *missing_format(const struct formats *known, const struct formats *needed)
{
	int i;

	for (i = 0; i < needed->count; i++) {
		if (!formats_has(known, needed->names[i]))
			return needed->names[i];
	}
	return NULL;
}

static int compare(struct context *ctx, const char *path,
		   const struct formats *known, const struct formats *needed)
{
	char shown[ESCAPED(IMAGE_FORMAT_LENGTH)], reason[256];
	const char *missing;

	if (!known->count)
		return fail(ctx, path, "a kernel that takes nothing over");
	missing = missing_format(known, needed);
	if (!missing)
		return EXIT_DONE;
	snprintf(reason, sizeof(reason), "a kernel that can't read %s",
		 escape(shown, sizeof(shown), missing, IMAGE_FORMAT_LENGTH));
	return fail(ctx, path, reason);
}

static void put_formats(const char *key, const struct formats *formats)
{
	int i;

	json_open(key, '[');
	for (i = 0; i < formats->count; i++)
		json_text(NULL, formats->names[i], IMAGE_FORMAT_LENGTH);
	json_close(']');
}

static void print_image_json(const struct image *image, const struct formats *needed)
{
	json_open(NULL, '{');
	put_formats("formats", &image->formats);
	put_formats("needed", needed);
	json_number("memory", image->memory);
	json_close('}');
}

static void print_formats(const struct formats *known)
{
	char shown[ESCAPED(IMAGE_FORMAT_LENGTH)];
	int i;

	for (i = 0; i < known->count; i++)
		printf("%s\n", escape(shown, sizeof(shown), known->names[i],
				      IMAGE_FORMAT_LENGTH));
}

int check_image(struct context *ctx, const char *path)
{
	struct formats needed = {};
	struct image image = {};
	const char *error = image_read(path, &image);
	int status;

	if (error)
		return fail(ctx, path, error);
	if (!ctx->json)
		print_formats(&image.formats);
	/* Ahead of what is said on stderr. */
	if (!flush_output())
		return fail_errno(ctx, "stdout", -errno);
	status = find_needed(ctx, &needed);
	if (status != EXIT_DONE)
		return status;
	if (ctx->json)
		print_image_json(&image, &needed);
	if (!flush_output())
		return fail_errno(ctx, "stdout", -errno);
	return compare(ctx, path, &image.formats, &needed);
}

#define KEXEC_OPTIONS	60

int run_kexec(const struct context *ctx, const char *path)
{
	const char *argv[KEXEC_OPTIONS + 5] = { "kexec", "-s", "-l", path };
	int options = 0;

	while (ctx->more[options])
		options++;
	if (options > KEXEC_OPTIONS)
		return fail(ctx, path, "too many options for kexec");
	memcpy(argv + 4, ctx->more, options * sizeof(argv[0]));
	return run_program(ctx, path, argv, "kexec-tools");
}

const char *option_value(char **option, const char * const *names, size_t count)
{
	size_t i, len;

	for (i = 0; i < count; i++) {
		len = strlen(names[i]);
		if (strncmp(*option, names[i], len))
			continue;
		if ((*option)[len] == '=')
			return *option + len + 1;
		if (!(*option)[len])
			return option[1];
	}
	return NULL;
}

static uint64_t initrd_bytes(char **option)
{
	static const char * const names[] = { "--initrd", "--ramdisk" };
	const char *path;
	struct stat st;

	for (; *option; option++) {
		path = option_value(option, names, ARRAY_SIZE(names));
		/* One that is not there is for kexec to name. */
		if (path && !stat(path, &st))
			return st.st_size;
	}
	return 0;
}

/* What does not fit is found out by the kernel that can't start, when it is too late. */
static int check_room(struct context *ctx, const char *path, const struct image *image)
{
	uint64_t needed = image->memory + initrd_bytes(ctx->more), room;
	char reason[160];

	if (access(SYSFS_ROOM, F_OK))
		return EXIT_DONE;
	room = read_count(SYSFS_ROOM);
	if (needed <= room)
		return EXIT_DONE;
	snprintf(reason, sizeof(reason),
		 "needs %llu KiB with its initrd, there are %llu: boot with a larger kho_scratch=",
		 (unsigned long long)(needed + 1023) >> 10, (unsigned long long)room >> 10);
	return fail(ctx, path, reason);
}

int check_load(struct context *ctx, const char *path)
{
	struct formats needed = {};
	struct image image = {};
	const char *error = image_read(path, &image);
	int status;

	if (error)
		return fail(ctx, path, error);
	status = find_held(ctx, &needed);
	if (status == EXIT_DONE)
		status = compare(ctx, path, &image.formats, &needed);
	return status == EXIT_DONE ? check_room(ctx, path, &image) : status;
}

int load_image(struct context *ctx, const char *path)
{
	int status = check_load(ctx, path);

	return status == EXIT_DONE ? run_kexec(ctx, path) : status;
}
