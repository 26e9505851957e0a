// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"

#define PROGRAM		"qemu-system-x86_64"

struct options {
	const char *directory;
	const char *marks;
	const char *program;
	bool all;
	/* Seconds that a save may take, NULL for as long as it takes. */
	const char *within;
	char **arguments;
	int argument_count;
};

/* ---- verbs: they return 0, or -1 and keep a message ---- */

static int guest_init(struct guest *guest, const struct options *options, const char *name)
{
	*guest = (struct guest){
		.name = name,
		.directory = options->directory,
		.marks = options->marks,
		.program = options->program,
		.manifest = -1, .state = -1, .session = -1, .qemu = -1,
		.signals = -1, .keeper_pipe = -1, .control = -1, .client = -1, .ready = -1,
	};
	snprintf(guest->session_name, sizeof(guest->session_name), SESSION_PREFIX "%s", name);
	guest->shared = mmap(NULL, sizeof(*guest->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (guest->shared == MAP_FAILED)
		return fail_errno(errno, "mmap");
	return signals_take(guest);
}

/* Returns 1 if the guest came with an update, 0 if not, or -1. */
static int waits(const char *name)
{
	char session[LIVEUPDATE_SESSION_NAME_LENGTH];

	snprintf(session, sizeof(session), SESSION_PREFIX "%s", name);
	return device_has_session(session);
}

static int look_at(struct guest *guest)
{
	struct qmp *qmp = qmp_open(guest);
	int err = qmp ? shape_take(guest, qmp) ?: mounts_take(guest) : -1;

	if (qmp)
		qmp_close(qmp);
	return err;
}

static int run_anew(const struct options *options, const char *name)
{
	struct guest guest;

	if (guest_init(&guest, options, name))
		return -1;
	guest.program = options->program ?: PROGRAM;
	guest.arguments = options->arguments;
	guest.argument_count = options->argument_count;
	if (arguments_parse(&guest) || arguments_check(&guest) ||
	    qemu_version(guest.program, guest.version, sizeof(guest.version)))
		return -1;
	guest.manifest = memfd_make("manifest", 0);
	guest.state = memfd_make("state", 0);
	if (guest.manifest < 0 || guest.state < 0 || ram_make(&guest) ||
	    manifest_check(&guest) || control_listen(&guest) || qmp_end_stale(&guest, false) ||
	    mark_make(&guest))
		return -1;
	guest.shared->ran = true;
	if (qemu_start(&guest, false))
		return -1;
	if (!qmp_wait(&guest) && !look_at(&guest))
		return lead(&guest);
	qemu_end_soon(&guest);
	control_end(&guest);
	return -1;
}

/* Its disks would go on without its memory. */
static int run(const struct options *options, const char *name)
{
	int found = waits(name);

	if (found > 0)
		return fail("it came with an update: resume it, or luoctl finish %s%s",
			    SESSION_PREFIX, name);
	return found ?: run_anew(options, name);
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

/* In a process of its own, which serves the guest. Returns what tells when that runs. */
static int resume_apart(const struct options *options, const char *name)
{
	int ends[2];
	pid_t pid;

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
		complain("resume", name);
		_exit(EXIT_FAILED);
	}
	close(ends[1]);
	return ends[0];
}

static int wait_until_runs(int from)
{
	ssize_t len = 0;
	char byte;

	if (from >= 0) {
		len = read(from, &byte, 1);
		close(from);
	}
	return len == 1 ? 0 : fail("not all guests were resumed");
}

/*
 * For a service, which does not know whether the guest came with an update. One
 * that did is not started anew even if it can't be resumed; one whose agent was
 * ended has a keeper by now, which the manager is told of.
 */
static int start(const struct options *options, const char *name)
{
	pid_t leader = control_leader(options->directory, name);
	int found;

	if (leader) {
		notify_ready(leader);
		return 0;
	}
	found = waits(name);
	if (found < 0)
		return -1;
	if (found)
		return resume_one(options, name, -1);
	if (!options->argument_count)
		return fail("no session of it waits, and there are no arguments for QEMU");
	return run_anew(options, name);
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
	char **names = names_of_sessions();
	int count = 0, err = 0, i, *guests;

	if (!names)
		return -1;
	while (names[count])
		count++;
	guests = calloc(count + 1, sizeof(*guests));
	if (!guests)
		return fail_errno(ENOMEM, "names of guests");
	/* All at a time: one that takes long is in nobody's way. */
	for (i = 0; i < count; i++)
		guests[i] = resume_apart(options, names[i]);
	for (i = 0; i < count; i++)
		err |= wait_until_runs(guests[i]);
	free(guests);
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
		complain(verb, *name);
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

static int save_one(const struct options *options, const char *name)
{
	char request[32];

	snprintf(request, sizeof(request), "save %s", options->within);
	return control_ask(options->directory, name, options->within ? request : "save");
}

/* All guests or none: those that were saved before go on if one can't be. */
static int save_all(const struct options *options)
{
	char **names = names_of_sockets(options->directory), **name;
	int err = 0;

	if (!names)
		return -1;
	for (name = names; *name && !err; name++)
		err = save_one(options, *name);
	if (err) {
		complain("save", *--name);
		while (name-- != names) {
			if (control_ask(options->directory, *name, "cancel"))
				complain("cancel", *name);
		}
		err = fail("no guest is saved");
	}
	free_names(names);
	return err;
}

static int save(const struct options *options, const char *name)
{
	return options->all ? save_all(options) : save_one(options, name);
}

static int shut_down(const struct options *options, const char *name)
{
	if (control_ask(options->directory, name, "shutdown"))
		return -1;
	control_wait_end(options->directory, name);
	return 0;
}

/* Guests that wait to be resumed. */
static int list(const struct options *options, const char *name)
{
	char **names = names_of_sessions(), **one;

	(void)options;
	(void)name;
	if (!names)
		return -1;
	for (one = names; *one; one++)
		puts(*one);
	free_names(names);
	return 0;
}

static int status(const struct options *options, const char *name)
{
	return ask(options, name, "status");
}

static const struct verb {
	const char *name;
	const char *help;
	int (*run)(const struct options *options, const char *name);
	bool starts_qemu;
	bool takes_all;
	bool takes_none;
} verbs[] = {
	{ .name = "run", .run = run, .starts_qemu = true,
	  .help = "start QEMU with these arguments, and serve the guest until it ends" },
	{ .name = "start", .run = start, .starts_qemu = true,
	  .help = "resume the guest if it waits for that, or else run it" },
	{ .name = "check", .run = check, .takes_all = true,
	  .help = "can the guest be saved? It does not stop" },
	{ .name = "save", .run = save, .takes_all = true,
	  .help = "stop the guest and put it into a session, for the next kernel" },
	{ .name = "cancel", .run = cancel, .takes_all = true,
	  .help = "no update after all: a saved guest goes on" },
	{ .name = "resume", .run = resume, .takes_all = true,
	  .help = "in the next kernel: the guest goes on, and is served" },
	{ .name = "list", .run = list, .takes_none = true,
	  .help = "guests that wait to be resumed, a line for each" },
	{ .name = "shutdown", .run = shut_down,
	  .help = "press the guest's power button, and wait until it is off" },
	{ .name = "status", .run = status, .takes_all = true,
	  .help = "how the guest is, as lines of KEY VALUE" },
};

static int print_help(void)
{
	size_t i;

	printf("Keep guests of QEMU across an update of the host's kernel.\n\n"
	       "Usage: luo-qemu [OPTION]... run|start NAME -- QEMU-ARGUMENT...\n"
	       "       luo-qemu [OPTION]... check|save|cancel|resume|status NAME|--all\n"
	       "       luo-qemu [OPTION]... shutdown NAME\n"
	       "       luo-qemu [OPTION]... list\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
	printf("\nOptions:\n"
	       "  --qemu PROGRAM    " PROGRAM ", or what the guest was started with\n"
	       "  --directory DIR   where sockets are (" DIRECTORY ")\n"
	       "  --marks DIR       where marks of guests are (" MARKS ")\n"
	       "  --all             every guest that runs; resume: that waits\n"
	       "  --within SECONDS  save: a guest that takes longer goes on\n"
	       "  --version         the version of luo-qemu\n"
	       "  --help            this text\n"
	       "Exit codes: 0 done, 1 failed, 2 usage. See luo-qemu(8).\n");
	return flush_output() ? EXIT_DONE : EXIT_FAILED;
}

enum {
	OPTION_QEMU = UCHAR_MAX + 1,
	OPTION_DIRECTORY,
	OPTION_MARKS,
	OPTION_ALL,
	OPTION_WITHIN,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{ "qemu", required_argument, NULL, OPTION_QEMU },
	{ "directory", required_argument, NULL, OPTION_DIRECTORY },
	{ "marks", required_argument, NULL, OPTION_MARKS },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "within", required_argument, NULL, OPTION_WITHIN },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static bool is_seconds(const char *text)
{
	size_t len = strlen(text);

	return len && len <= 4 && strspn(text, "0123456789") == len && strtol(text, NULL, 10);
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
	complain(verb->name, name);
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
	if (options->all && (!verb->takes_all || name))
		return usage("no --all with", name ?: verb->name);
	if (name && verb->takes_none)
		return usage("unexpected argument", name);
	if (!name && !options->all && !verb->takes_none)
		return usage("no guest named to", verb->name);
	if (name && !is_guest_name(name))
		return usage("not 1 to 48 letters, digits, - _ . or @", name);
	if (options->within && (verb->run != save || !is_seconds(options->within)))
		return usage("save takes 1 to 9999 seconds, not", options->within);
	if (options->arguments && !verb->starts_qemu)
		return usage("no arguments for QEMU with", verb->name);
	return finish(verb, options, name);
}

int main(int argc, char **argv)
{
	struct options options = { .directory = DIRECTORY, .marks = MARKS };
	int separator = find_separator(argc, argv), option;

	/* Whoever hangs up is told of, and ends nobody. */
	signal(SIGPIPE, SIG_IGN);
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
		} else if (option == OPTION_MARKS) {
			options.marks = optarg;
		} else if (option == OPTION_ALL) {
			options.all = true;
		} else if (option == OPTION_WITHIN) {
			options.within = optarg;
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
