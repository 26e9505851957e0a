// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"

#define PROGRAM		"qemu-system-x86_64"

struct options {
	const char *directory;
	const char *program;
	bool all;
	char **arguments;
	int argument_count;
};

/* ---- verbs: they return 0, or -1 and keep a message ---- */

static int guest_init(struct guest *guest, const struct options *options, const char *name)
{
	*guest = (struct guest){
		.name = name,
		.directory = options->directory,
		.program = options->program,
		.manifest = -1, .state = -1, .session = -1, .qemu = -1,
		.keeper_pipe = -1, .control = -1, .client = -1, .ready = -1,
	};
	snprintf(guest->session_name, sizeof(guest->session_name), SESSION_PREFIX "%s", name);
	guest->shared = mmap(NULL, sizeof(*guest->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return guest->shared == MAP_FAILED ? fail_errno(errno, "mmap") : 0;
}

static int run(const struct options *options, const char *name)
{
	struct guest guest;
	struct qmp *qmp;

	if (guest_init(&guest, options, name))
		return -1;
	guest.program = options->program ?: PROGRAM;
	guest.arguments = options->arguments;
	guest.argument_count = options->argument_count;
	if (arguments_parse(&guest) ||
	    qemu_version(guest.program, guest.version, sizeof(guest.version)))
		return -1;
	guest.manifest = memfd_make("manifest", 0);
	guest.state = memfd_make("state", 0);
	if (guest.manifest < 0 || guest.state < 0 || ram_make(&guest) ||
	    control_listen(&guest) || qmp_end_stale(&guest, false))
		return -1;
	guest.shared->ran = true;
	if (qemu_start(&guest, false))
		return -1;
	qmp = qmp_open(&guest);
	if (!qmp)
		return -1;
	qmp_close(qmp);
	return lead(&guest);
}

static int resume_one(const struct options *options, const char *name, int ready)
{
	struct guest guest;

	if (guest_init(&guest, options, name))
		return -1;
	guest.ready = ready;
	if (guest_claim(&guest) || control_listen(&guest) || qmp_end_stale(&guest, true))
		return -1;
	guest.shared->phase = PHASE_LOADING;
	return lead(&guest);
}

static void report(const char *verb, const char *name)
{
	char shown[ESCAPED(512)];

	fprintf(stderr, "luo-qemu: %s: %s%s%s\n", verb, name ?: "", name ? ": " : "",
		escape(shown, sizeof(shown), fail_message(), 512));
}

/* In a process of its own, which serves the guest; returns once that runs. */
static int resume_apart(const struct options *options, const char *name)
{
	int ends[2];
	ssize_t len;
	pid_t pid;
	char byte;

	if (pipe2(ends, O_CLOEXEC))
		return fail_errno(errno, "pipe");
	pid = fork();
	if (pid < 0)
		return fail_errno(errno, "fork");
	if (!pid) {
		setsid();
		close(ends[0]);
		if (!resume_one(options, name, ends[1]))
			_exit(EXIT_DONE);
		report("resume", name);
		_exit(EXIT_FAILED);
	}
	close(ends[1]);
	len = read(ends[0], &byte, 1);
	close(ends[0]);
	return len == 1 ? 0 : fail("not resumed");
}

static void free_names(char **names)
{
	char **name;

	for (name = names; *name; name++)
		free(*name);
	free(names);
}

static int resume_all(const struct options *options)
{
	char **names = names_of_sessions(), **name;
	int err = 0;

	if (!names)
		return -1;
	for (name = names; *name; name++) {
		if (resume_apart(options, *name))
			err = fail("not all guests were resumed");
	}
	free_names(names);
	return err;
}

static int resume(const struct options *options, const char *name)
{
	return options->all ? resume_all(options) : resume_one(options, name, -1);
}

/* Ask every guest, and say of each that can't what is wrong with it. */
static int ask_all(const struct options *options, const char *verb)
{
	char **names = names_of_sockets(options->directory), **name;
	int err = 0;

	if (!names)
		return -1;
	for (name = names; *name; name++) {
		if (!control_ask(options->directory, *name, verb))
			continue;
		report(verb, *name);
		err = fail("not all guests could");
	}
	free_names(names);
	return err;
}

static int ask(const struct options *options, const char *name, const char *verb)
{
	return options->all ? ask_all(options, verb) : control_ask(options->directory, name, verb);
}

static int check(const struct options *options, const char *name)
{
	return ask(options, name, "check");
}

static int cancel(const struct options *options, const char *name)
{
	return ask(options, name, "cancel");
}

/* All guests or none: those that were saved before go on if one can't be. */
static int save_all(const struct options *options)
{
	char **names = names_of_sockets(options->directory), **name;
	int err = 0;

	if (!names)
		return -1;
	for (name = names; *name && !err; name++)
		err = control_ask(options->directory, *name, "save");
	if (err) {
		report("save", *--name);
		while (name-- != names) {
			if (control_ask(options->directory, *name, "cancel"))
				report("cancel", *name);
		}
		err = fail("no guest is saved");
	}
	free_names(names);
	return err;
}

static int save(const struct options *options, const char *name)
{
	return options->all ? save_all(options) : control_ask(options->directory, name, "save");
}

static int status(const struct options *options, const char *name)
{
	return ask(options, name, "status");
}

static const struct verb {
	const char *name;
	const char *help;
	int (*run)(const struct options *options, const char *name);
} verbs[] = {
	{ "run", "start QEMU with these arguments, and serve the guest until it ends", run },
	{ "check", "can the guest be saved? It does not stop", check },
	{ "save", "stop the guest and put it into a session, for the next kernel", save },
	{ "cancel", "no update after all: a saved guest goes on", cancel },
	{ "resume", "in the next kernel: the guest goes on, and is served", resume },
	{ "status", "how the guest is, as lines of KEY VALUE", status },
};

static int print_help(void)
{
	size_t i;

	printf("Keep guests of QEMU across an update of the host's kernel.\n\n"
	       "Usage: luo-qemu [OPTION]... run NAME -- QEMU-ARGUMENT...\n"
	       "       luo-qemu [OPTION]... check|save|cancel|resume|status NAME|--all\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-7s %s\n", verbs[i].name, verbs[i].help);
	printf("\nOptions:\n"
	       "  --qemu PROGRAM    " PROGRAM ", or what the guest was started with\n"
	       "  --directory DIR   where sockets are (" DIRECTORY ")\n"
	       "  --all             every guest that runs; resume: that waits\n"
	       "  --version         the version of luo-qemu\n"
	       "  --help            this text\n"
	       "Exit codes: 0 done, 1 failed, 2 usage. See luo-qemu(8).\n");
	return flush_output() ? EXIT_DONE : EXIT_FAILED;
}

enum {
	OPTION_QEMU = UCHAR_MAX + 1,
	OPTION_DIRECTORY,
	OPTION_ALL,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{ "qemu", required_argument, NULL, OPTION_QEMU },
	{ "directory", required_argument, NULL, OPTION_DIRECTORY },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

/* A part of a path and of a session's name. */
static bool is_name(const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.@", name[i]))
			return false;
	}
	return len && len <= NAME_MAX_BYTES && *name != '.';
}

/* Options end at `--': what is behind it is QEMU's. */
static int find_separator(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		;
	return i;
}

static int finish(const struct verb *verb, const struct options *options, const char *name)
{
	if (!verb->run(options, name) && flush_output())
		return EXIT_DONE;
	report(verb->name, name);
	return EXIT_FAILED;
}

static int take_verb(int argc, char **argv, struct options *options)
{
	const struct verb *verb;
	const char *name = NULL;

	if (optind == argc)
		return usage("missing", "VERB");
	verb = FIND_ROW(verbs, argv[optind]);
	if (!verb)
		return usage("unknown verb", argv[optind]);
	if (++optind < argc)
		name = argv[optind++];
	if (optind < argc)
		return usage("unexpected argument", argv[optind]);
	if (options->all && (verb->run == run || name))
		return usage("no --all with", name ?: verb->name);
	if (!name && !options->all)
		return usage("no guest named to", verb->name);
	if (name && !is_name(name))
		return usage("not 1 to 48 letters, digits, - _ . or @", name);
	if (options->arguments && verb->run != run)
		return usage("no arguments for QEMU with", verb->name);
	return finish(verb, options, name);
}

int main(int argc, char **argv)
{
	struct options options = { .directory = DIRECTORY };
	int separator = find_separator(argc, argv), option;

	if (separator < argc) {
		options.arguments = argv + separator + 1;
		options.argument_count = argc - separator - 1;
		argv[separator] = NULL;
	}
	opterr = 0;
	while ((option = getopt_long(separator, argv, ":h", long_options, NULL)) >= 0) {
		if (option == OPTION_QEMU) {
			options.program = optarg;
		} else if (option == OPTION_DIRECTORY) {
			options.directory = optarg;
		} else if (option == OPTION_ALL) {
			options.all = true;
		} else if (option == OPTION_VERSION) {
			printf("luo-qemu %s\n", liveupdate_version());
			return flush_output() ? EXIT_DONE : EXIT_FAILED;
		} else if (option == OPTION_HELP || option == 'h') {
			return print_help();
		} else {
			return option_usage(argv, option, NULL);
		}
	}
	return take_verb(separator, argv, &options);
}
