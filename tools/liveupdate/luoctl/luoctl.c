// SPDX-License-Identifier: GPL-2.0
/*
 * luoctl: look at live update sessions, end those nobody claims, tell whether a
 * kernel can take them over, and load it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "image.h"
#include "libliveupdate.h"

#define ARRAY_SIZE(_array)	(sizeof(_array) / sizeof((_array)[0]))

#define SYSFS		"/sys/kernel/liveupdate/"
#define SYSFS_STATE	SYSFS "state"
#define SYSFS_ABI	SYSFS "abi"
#define DEBUGFS_SESSIONS	"/sys/kernel/debug/liveupdate/sessions"
#define ENTRIES		64

struct context {
	const char *verb;
	int dev;
	bool header;
	/* What stands behind the name on the command line. */
	char **more;
};

static void warn(const struct context *ctx, const char *culprit,
		 const char *text)
{
	char shown[ESCAPED(PATH_MAX)];

	fprintf(stderr, "luoctl: %s: %s: %s\n", ctx->verb,
		escape(shown, sizeof(shown), culprit, PATH_MAX), text);
}

static int fail(const struct context *ctx, const char *culprit,
		const char *reason)
{
	warn(ctx, culprit, reason);
	return EXIT_FAILED;
}

static int fail_errno(const struct context *ctx, const char *culprit, int err)
{
	return fail(ctx, culprit, strerror(-err));
}

static const char *session_state(uint32_t state)
{
	static const char * const names[] = {
		[LIVEUPDATE_SESSION_STATE_OUTGOING] = "outgoing",
		[LIVEUPDATE_SESSION_STATE_INCOMING] = "incoming",
		[LIVEUPDATE_SESSION_STATE_RETRIEVED] = "retrieved",
		[LIVEUPDATE_SESSION_STATE_DAMAGED] = "damaged",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static const char *file_state(uint32_t state)
{
	static const char * const names[] = {
		[LIVEUPDATE_FILE_STATE_PRESERVED] = "preserved",
		[LIVEUPDATE_FILE_STATE_INCOMING] = "incoming",
		[LIVEUPDATE_FILE_STATE_RETRIEVED] = "retrieved",
		[LIVEUPDATE_FILE_STATE_DAMAGED] = "damaged",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static int show_info(struct context *ctx, const char *name)
{
	struct liveupdate_ioctl_get_info info;
	int err = liveupdate_get_info(ctx->dev, &info);

	(void)name;
	if (err)
		return fail_errno(ctx, LIVEUPDATE_DEVICE, err);
	printf("number %llu\n", (unsigned long long)info.number);
	printf("outgoing-sessions %llu\n",
	       (unsigned long long)info.outgoing_sessions);
	printf("outgoing-files %llu\n", (unsigned long long)info.outgoing_files);
	printf("incoming-sessions %llu\n",
	       (unsigned long long)info.incoming_sessions);
	printf("incoming-files %llu\n", (unsigned long long)info.incoming_files);
	printf("kho-format %.*s\n", LIVEUPDATE_FORMAT_NAME_LENGTH,
	       (const char *)info.kho_format);
	printf("luo-format %.*s\n", LIVEUPDATE_FORMAT_NAME_LENGTH,
	       (const char *)info.luo_format);
	printf("features 0x%llx\n", (unsigned long long)info.features);
	return EXIT_DONE;
}

static int list_sessions(struct context *ctx)
{
	char shown[ESCAPED(LIVEUPDATE_SESSION_NAME_LENGTH)];
	struct liveupdate_session_entry entries[ENTRIES];
	uint64_t cursor = 0;
	int count, i;

	if (ctx->header)
		printf("%-10s %8s  %s\n", "STATE", "FILES", "SESSION");
	for (;;) {
		count = liveupdate_list_sessions(ctx->dev, &cursor, entries,
						 ENTRIES);
		if (count <= 0)
			break;
		for (i = 0; i < count; i++)
			printf("%-10s %8llu  %s\n",
			       session_state(entries[i].state),
			       (unsigned long long)entries[i].files,
			       escape(shown, sizeof(shown),
				      (const char *)entries[i].name,
				      LIVEUPDATE_SESSION_NAME_LENGTH));
	}
	return count ? fail_errno(ctx, LIVEUPDATE_DEVICE, count) : EXIT_DONE;
}

/*
 * Returns the state, or -errno. A name may stand once for an outgoing and once
 * for an incoming session: the verbs are about the incoming one.
 */
static int find_session(struct context *ctx, const char *name)
{
	struct liveupdate_session_entry entries[ENTRIES];
	int count, i, state = -ENOENT;
	uint64_t cursor = 0;

	for (;;) {
		count = liveupdate_list_sessions(ctx->dev, &cursor, entries,
						 ENTRIES);
		if (count <= 0)
			return count ? count : state;
		for (i = 0; i < count; i++) {
			if (strncmp((const char *)entries[i].name, name,
				    LIVEUPDATE_SESSION_NAME_LENGTH))
				continue;
			if (entries[i].state != LIVEUPDATE_SESSION_STATE_OUTGOING)
				return entries[i].state;
			state = entries[i].state;
		}
	}
}

/* Returns the session's fd, or -1 once it has said why there is none. */
static int claim_session(struct context *ctx, const char *name)
{
	int session = liveupdate_claim_session(ctx->dev, name);
	int state;

	if (session >= 0)
		return session;
	state = find_session(ctx, name);
	if (state == LIVEUPDATE_SESSION_STATE_OUTGOING)
		fail(ctx, name, "outgoing, it is for its owner to list and to end");
	else if (state == LIVEUPDATE_SESSION_STATE_RETRIEVED)
		fail(ctx, name, "held by its agent, end that one first");
	else
		fail_errno(ctx, name, session);
	return -1;
}

static int list_files_of(struct context *ctx, const char *name, int session)
{
	char shown[ESCAPED(LIVEUPDATE_HANDLER_NAME_LENGTH)];
	struct liveupdate_file_entry entries[ENTRIES];
	uint64_t cursor = 0;
	int count, i;

	if (ctx->header)
		printf("%-10s %20s  %s\n", "STATE", "TOKEN", "HANDLER");
	for (;;) {
		count = liveupdate_list_files(session, &cursor, entries,
					      ENTRIES);
		if (count <= 0)
			break;
		for (i = 0; i < count; i++)
			printf("%-10s %20llu  %s\n",
			       file_state(entries[i].state),
			       (unsigned long long)entries[i].token,
			       escape(shown, sizeof(shown),
				      (const char *)entries[i].handler,
				      LIVEUPDATE_HANDLER_NAME_LENGTH));
	}
	return count ? fail_errno(ctx, name, count) : EXIT_DONE;
}

/*
 * Looking at a session means retrieving it, so it must be certain
 * beforehand that it goes back when we close it.
 */
static int list_files(struct context *ctx, const char *name)
{
	struct liveupdate_ioctl_get_info info;
	int session, status, err;

	err = liveupdate_get_info(ctx->dev, &info);
	if (!err && !(info.features & LIVEUPDATE_FEATURE_KEEP_ON_CLOSE))
		err = -EOPNOTSUPP;
	if (err)
		return fail_errno(ctx, LIVEUPDATE_DEVICE, err);

	session = claim_session(ctx, name);
	if (session < 0)
		return EXIT_FAILED;
	status = list_files_of(ctx, name, session);
	close(session);
	return status;
}

static int show_list(struct context *ctx, const char *name)
{
	return name ? list_files(ctx, name) : list_sessions(ctx);
}

static int finish_session(struct context *ctx, const char *name)
{
	int session = claim_session(ctx, name);
	int err;

	if (session < 0)
		return EXIT_FAILED;
	err = liveupdate_finish(session);
	close(session);
	return err ? fail_errno(ctx, name, err) : EXIT_DONE;
}

static int show_state(struct context *ctx, const char *name)
{
	FILE *file = fopen(SYSFS_STATE, "re");
	char state[64];
	bool read;

	(void)name;
	if (!file)
		return fail_errno(ctx, SYSFS_STATE, -errno);
	read = fgets(state, sizeof(state), file);
	fclose(file);
	if (!read)
		return fail(ctx, SYSFS_STATE, "empty");
	fputs(state, stdout);
	return EXIT_DONE;
}

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

static int compare(struct context *ctx, const char *path,
		   const struct formats *known, const struct formats *needed)
{
	char shown[ESCAPED(IMAGE_FORMAT_LENGTH)], reason[256];
	int i;

	if (!known->count)
		return fail(ctx, path, "a kernel that takes nothing over");
	for (i = 0; i < needed->count; i++) {
		if (formats_has(known, needed->names[i]))
			continue;
		snprintf(reason, sizeof(reason), "a kernel that can't read %s",
			 escape(shown, sizeof(shown), needed->names[i],
				IMAGE_FORMAT_LENGTH));
		return fail(ctx, path, reason);
	}
	return EXIT_DONE;
}

static int check_image(struct context *ctx, const char *path)
{
	char shown[ESCAPED(IMAGE_FORMAT_LENGTH)];
	struct formats needed = {}, known = {};
	const char *error = image_formats(path, &known);
	int i, status;

	if (error)
		return fail(ctx, path, error);
	for (i = 0; i < known.count; i++)
		printf("%s\n", escape(shown, sizeof(shown), known.names[i],
				      IMAGE_FORMAT_LENGTH));
	/* Ahead of the verdict on stderr. */
	if (!flush_output())
		return fail_errno(ctx, "stdout", -errno);
	status = find_needed(ctx, &needed);
	return status == EXIT_DONE ? compare(ctx, path, &known, &needed) : status;
}

#define KEXEC_OPTIONS	60

/* Returns only if it was not done. */
static int run_kexec(struct context *ctx, const char *path)
{
	char *argv[KEXEC_OPTIONS + 5] = { "kexec", "-s", "-l", (char *)path };
	int count = 0;

	while (ctx->more[count])
		count++;
	if (count > KEXEC_OPTIONS)
		return fail(ctx, path, "too many options for kexec");
	memcpy(argv + 4, ctx->more, count * sizeof(argv[0]));
	execvp(argv[0], argv);
	return fail(ctx, "kexec", errno == ENOENT ?
		    "not found: install kexec-tools" : strerror(errno));
}

static int load_image(struct context *ctx, const char *path)
{
	struct formats needed = {}, known = {};
	const char *error = image_formats(path, &known);
	int status;

	if (error)
		return fail(ctx, path, error);
	status = find_held(ctx, &needed);
	if (status == EXIT_DONE)
		status = compare(ctx, path, &known, &needed);
	return status == EXIT_DONE ? run_kexec(ctx, path) : status;
}

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_NEEDED,
	ARGUMENT_NEEDED_AND_MORE,
};

static const struct verb {
	const char *name;
	const char *argument_help;
	const char *help;
	enum argument argument;
	bool needs_device;
	int (*run)(struct context *ctx, const char *name);
} verbs[] = {
	{ "info", "", "counts, formats and features of this kernel",
	  ARGUMENT_NONE, true, show_info },
	{ "list", "[NAME]", "sessions, or the files of an incoming session",
	  ARGUMENT_OPTIONAL, true, show_list },
	{ "finish", "NAME", "end an incoming session; its files are freed",
	  ARGUMENT_NEEDED, true, finish_session },
	{ "check", "IMAGE", "can that kernel take over from this one?",
	  ARGUMENT_NEEDED_AND_MORE, false, check_image },
	{ "load", "IMAGE", "load that kernel by kexec if it can",
	  ARGUMENT_NEEDED_AND_MORE, false, load_image },
	{ "state", "", "normal, frozen or updated",
	  ARGUMENT_NONE, false, show_state },
};

static int print_help(void)
{
	size_t i;

	printf("Show and end live update sessions, check the next kernel.\n\n");
	printf("Usage: luoctl [--no-header] VERB [NAME]\n"
	       "       luoctl check IMAGE [FORMAT]...\n"
	       "       luoctl load IMAGE [-- KEXEC-OPTION...]\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-7s %-7s %s\n", verbs[i].name,
		       verbs[i].argument_help, verbs[i].help);
	printf("\nOptions:\n"
	       "  --no-header  list: no line of column names\n"
	       "  --help       this text\n"
	       "Exit codes: 0 done, 1 failed, 2 usage. See luoctl(8).\n");
	if (flush_output())
		return EXIT_DONE;
	return fail_errno(&(struct context){ .verb = "help" }, "stdout", -errno);
}

/* Our options have no values: the verb is the first word that is none. */
static bool is_load(char **argv)
{
	while (*++argv && **argv == '-')
		;
	return *argv && !strcmp(*argv, "load");
}

static int run(const struct verb *verb, struct context *ctx, const char *name)
{
	int status;

	ctx->verb = verb->name;
	if (verb->needs_device) {
		ctx->dev = liveupdate_open();
		if (ctx->dev < 0)
			return fail(ctx, LIVEUPDATE_DEVICE,
				    device_error(ctx->dev));
	}
	status = verb->run(ctx, name);
	if (verb->needs_device)
		close(ctx->dev);
	if (status == EXIT_DONE && !flush_output())
		return fail_errno(ctx, "stdout", -errno);
	return status;
}

enum {
	OPTION_NO_HEADER = UCHAR_MAX + 1,
	OPTION_HELP,
};

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "no-header", no_argument, NULL, OPTION_NO_HEADER },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ 0 },
	};
	struct context ctx = { .dev = -1, .header = true };
	const struct verb *verb;
	const char *name = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
		if (option == OPTION_NO_HEADER)
			ctx.header = false;
		else if (option == OPTION_HELP || option == 'h')
			return print_help();
		else
			return option_usage(argv, option, is_load(argv) ?
					    "put options for kexec behind `--'" : NULL);
	}
	if (optind == argc)
		return usage("missing", "VERB");
	verb = FIND_ROW(verbs, argv[optind]);
	if (!verb)
		return usage("unknown verb", argv[optind]);
	optind++;
	if (optind < argc && verb->argument != ARGUMENT_NONE)
		name = argv[optind++];
	ctx.more = argv + optind;
	if (optind < argc && verb->argument != ARGUMENT_NEEDED_AND_MORE)
		return usage("unexpected argument", argv[optind]);
	if (!name && verb->argument >= ARGUMENT_NEEDED)
		return usage("nothing named to", verb->name);
	return run(verb, &ctx, name);
}
