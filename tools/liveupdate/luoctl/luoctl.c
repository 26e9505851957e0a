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
#include "json.h"
#include "libliveupdate.h"
#include "luoctl.h"

#define SYSFS_STATE	SYSFS "state"

void warn(const struct context *ctx, const char *culprit, const char *text)
{
	char shown[ESCAPED(PATH_MAX)];

	fprintf(stderr, "luoctl: %s: %s: %s\n", ctx->verb,
		escape(shown, sizeof(shown), culprit, PATH_MAX), text);
}

int fail(const struct context *ctx, const char *culprit, const char *reason)
{
	warn(ctx, culprit, reason);
	return EXIT_FAILED;
}

int fail_errno(const struct context *ctx, const char *culprit, int err)
{
	return fail(ctx, culprit, strerror(-err));
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
	state[strcspn(state, "\n")] = '\0';
	if (ctx->json) {
		json_open(NULL, '{');
		json_text("state", state, sizeof(state));
		json_close('}');
	} else {
		puts(state);
	}
	return EXIT_DONE;
}

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_NEEDED,
	ARGUMENT_NEEDED_AND_MORE,
};

static int show_help(struct context *ctx, const char *name);

static const struct verb {
	const char *name;
	const char *argument_help;
	const char *help;
	enum argument argument;
	bool needs_device;
	bool json;
	bool dry_run;
	int (*run)(struct context *ctx, const char *name);
} verbs[] = {
	{ .name = "info", .argument_help = "",
	  .help = "counts, formats and features of this kernel",
	  .needs_device = true, .json = true, .run = show_info },
	{ .name = "list", .argument_help = "[NAME]",
	  .help = "sessions, or the files of an incoming session",
	  .argument = ARGUMENT_OPTIONAL,
	  .needs_device = true, .json = true, .run = show_list },
	{ .name = "finish", .argument_help = "NAME",
	  .help = "list an incoming session, and end it; its files are freed",
	  .argument = ARGUMENT_NEEDED,
	  .needs_device = true, .json = true, .dry_run = true, .run = finish_session },
	{ .name = "abandon", .argument_help = "NAME",
	  .help = "the same, but for files that this kernel does not know",
	  .argument = ARGUMENT_NEEDED,
	  .needs_device = true, .json = true, .dry_run = true, .run = abandon_session },
	{ .name = "check", .argument_help = "IMAGE",
	  .help = "can that kernel take over from this one?",
	  .argument = ARGUMENT_NEEDED_AND_MORE, .json = true, .run = check_image },
	{ .name = "load", .argument_help = "IMAGE",
	  .help = "load that kernel by kexec if it can",
	  .argument = ARGUMENT_NEEDED_AND_MORE, .run = load_image },
	{ .name = "update", .argument_help = "IMAGE",
	  .help = "check, load, save the guests, jump into that kernel",
	  .argument = ARGUMENT_NEEDED_AND_MORE, .dry_run = true, .run = update_kernel },
	{ .name = "status", .argument_help = "",
	  .help = "after an update: what came back, its cost, what is left to finish",
	  .needs_device = true, .json = true, .run = show_status },
	{ .name = "state", .argument_help = "",
	  .help = "normal, frozen or updated", .json = true, .run = show_state },
	{ .name = "blackout", .argument_help = "",
	  .help = "how long the last live update took, by phases",
	  .json = true, .run = show_blackout },
	{ .name = "help", .argument_help = "[VERB]",
	  .help = "this text, or what is said there of a verb",
	  .argument = ARGUMENT_OPTIONAL, .run = show_help },
};

static void print_verb(const struct verb *verb)
{
	printf("  %-8s %-7s %s\n", verb->name, verb->argument_help, verb->help);
}

static void print_help(void)
{
	size_t i;

	printf("Show and end live update sessions, check the next kernel.\n\n");
	printf("Usage: luoctl [OPTION]... VERB [NAME]\n"
	       "       luoctl check IMAGE [FORMAT]...\n"
	       "       luoctl load|update IMAGE [-- KEXEC-OPTION...]\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		print_verb(&verbs[i]);
	printf("\nOptions:\n"
	       "  --json       output as JSON, times in nanoseconds\n"
	       "  --no-header  no line of column names\n"
	       "  --dry-run    finish, abandon: list only; update: check only\n"
	       "  --version    the version of luoctl\n"
	       "  --help       this text\n"
	       "Exit codes: 0 done, 1 failed, 2 usage. See luoctl(8).\n");
}

static int show_help(struct context *ctx, const char *name)
{
	const struct verb *verb = name ? FIND_ROW(verbs, name) : NULL;

	(void)ctx;
	if (name && !verb)
		return usage("unknown verb", name);
	if (verb)
		print_verb(verb);
	else
		print_help();
	return EXIT_DONE;
}

static int show_version(struct context *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	printf("luoctl %s\n", liveupdate_version());
	return EXIT_DONE;
}

/* Our options have no values: the verb is the first word that is none. */
static bool runs_kexec(char **argv)
{
	while (*++argv && **argv == '-')
		;
	return *argv && (!strcmp(*argv, "load") || !strcmp(*argv, "update"));
}

int fail_device(const struct context *ctx, int err)
{
	char holder[HOLDER_LENGTH], reason[HOLDER_LENGTH + 64];

	if (err != -EBUSY || !find_holder(NULL, holder))
		return fail(ctx, LIVEUPDATE_DEVICE, device_error(err));
	snprintf(reason, sizeof(reason), "%s: held by %s", device_error(err), holder);
	return fail(ctx, LIVEUPDATE_DEVICE, reason);
}

static int run(const struct verb *verb, struct context *ctx, const char *name)
{
	int status;

	ctx->verb = verb->name;
	if (verb->needs_device) {
		ctx->dev = liveupdate_open();
		if (ctx->dev < 0)
			return fail_device(ctx, ctx->dev);
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
	OPTION_JSON,
	OPTION_DRY_RUN,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option options[] = {
	{ "no-header", no_argument, NULL, OPTION_NO_HEADER },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

/* A verb of its own for the options that leave no other. */
static const struct verb version = { .name = "version", .run = show_version };
static const struct verb help = { .name = "help", .run = show_help };

/* Returns EXIT_USAGE if an option is wrong. *verb is set if one takes the place of a verb. */
static int take_options(int argc, char **argv, struct context *ctx, const struct verb **verb)
{
	int option;

	opterr = 0;
	while (!*verb && (option = getopt_long(argc, argv, ":h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_NO_HEADER:
			ctx->header = false;
			break;
		case OPTION_JSON:
			ctx->json = true;
			break;
		case OPTION_DRY_RUN:
			ctx->dry_run = true;
			break;
		case OPTION_VERSION:
			*verb = &version;
			break;
		case OPTION_HELP:
		case 'h':
			*verb = &help;
			break;
		default:
			return option_usage(argv, option, runs_kexec(argv) ?
					    "put options for kexec behind `--'" : NULL);
		}
	}
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct context ctx = { .dev = -1, .header = true };
	const struct verb *verb = NULL;
	const char *name = NULL;

	if (take_options(argc, argv, &ctx, &verb))
		return EXIT_USAGE;
	if (verb)
		return run(verb, &ctx, NULL);
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
	if (ctx.json && !verb->json)
		return usage("no --json for", verb->name);
	if (ctx.dry_run && !verb->dry_run)
		return usage("no --dry-run for", verb->name);
	return run(verb, &ctx, name);
}
