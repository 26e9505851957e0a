// SPDX-License-Identifier: GPL-2.0
/* luo-vmm: a virtual machine that survives an update of its host's kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

static const struct verb {
	const char *name;
	const char *help;
	int (*run)(const struct options *options);
} verbs[] = {
	{ "run", "start a guest and serve its control socket", verb_run },
	{ "status", "say how the guest is", agent_ask },
	{ "verify", "wait until the guest has checked all of its RAM", agent_ask },
	{ "update", "preserve the guest and reboot into the loaded kernel", agent_ask },
	{ "resume", "in the new kernel: go on with the guest, then as run", verb_resume },
	{ "stop", "end the guest", agent_ask },
	{ "selftest", "move a guest into a new VM within this kernel", verb_selftest },
};

enum {
	OPTION_NAME = 256,
	OPTION_SOCKET,
	OPTION_SERIAL,
	OPTION_REPORT,
	OPTION_MEMORY,
	OPTION_REPORT_MS,
	OPTION_TIMEOUT,
	OPTION_NO_DIGEST,
	OPTION_KEEP_GOING,
	OPTION_CORRUPT,
	OPTION_DEVICE,
};

static const struct option long_options[] = {
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "serial", required_argument, NULL, OPTION_SERIAL },
	{ "report", required_argument, NULL, OPTION_REPORT },
	{ "memory", required_argument, NULL, OPTION_MEMORY },
	{ "report-ms", required_argument, NULL, OPTION_REPORT_MS },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "no-digest", no_argument, NULL, OPTION_NO_DIGEST },
	{ "keep-going", no_argument, NULL, OPTION_KEEP_GOING },
	{ "corrupt", no_argument, NULL, OPTION_CORRUPT },
	{ "device", required_argument, NULL, OPTION_DEVICE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char option_help[] =
	"Options:\n"
	"  --name NAME            session of the guest (vm0)\n"
	"  --socket PATH          control socket (/run/luo-vmm.sock)\n"
	"  --memory MIB           guest RAM, 4 to 3072 MiB (64)\n"
	"  --serial PATH          where the guest's lines go (stdout)\n"
	"  --report PATH          resume: where the times go (stdout)\n"
	"  --report-ms MS         how often the guest reports (500)\n"
	"  --timeout SECONDS      how long to wait for the guest (120)\n"
	"  --no-digest            run, resume: take no digest of guest RAM\n"
	"  --keep-going           resume: run the guest though its RAM changed\n"
	"  --device PATH          update: preserve this file with the guest\n"
	"  --corrupt              update, selftest: damage a byte of guest RAM\n"
	"  --help                 this text\n"
	"Exit codes: 0 done, 1 failed, 2 usage. See luo-vmm(8).\n";

static char message[256];

const char *fail_message(void)
{
	return message;
}

int fail_text(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return err;
}

int fail(int err, const char *format, ...)
{
	size_t length;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	length = strlen(message);
	snprintf(message + length, sizeof(message) - length, ": %s",
		 strerror(-err));
	return err;
}

static void print_help(void)
{
	size_t i;

	printf("Run a virtual machine that survives an update of its host's kernel.\n\n");
	printf("Usage: luo-vmm VERB [OPTION]...\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
	printf("\n%s", option_help);
}

static int usage(const char *what, const char *culprit)
{
	fprintf(stderr, "luo-vmm: %s `%s', try luo-vmm --help\n", what, culprit);
	return EXIT_USAGE;
}

static const struct verb *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}

static bool parse_number(const char *text, unsigned long min, unsigned long max,
			 unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *number >= min &&
	       *number <= max;
}

static bool parse_option(int option, const char *text, struct options *options)
{
	unsigned long number;

	switch (option) {
	case OPTION_NAME:
		options->name = text;
		return true;
	case OPTION_SOCKET:
		options->socket = text;
		return true;
	case OPTION_SERIAL:
		options->serial = text;
		return true;
	case OPTION_REPORT:
		options->report = text;
		return true;
	case OPTION_DEVICE:
		options->device = text;
		return true;
	case OPTION_MEMORY:
		if (!parse_number(text, RAM_MIN / MIB, RAM_MAX / MIB, &number))
			return false;
		options->memory = number * MIB;
		return true;
	case OPTION_REPORT_MS:
		if (!parse_number(text, 50, 60000, &number))
			return false;
		options->report_ms = number;
		return true;
	case OPTION_TIMEOUT:
		if (!parse_number(text, 1, 86400, &number))
			return false;
		options->timeout = number;
		return true;
	case OPTION_NO_DIGEST:
		options->no_digest = true;
		return true;
	case OPTION_KEEP_GOING:
		options->keep_going = true;
		return true;
	case OPTION_CORRUPT:
		options->corrupt = true;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct options options = {
		.name = "vm0",
		.socket = "/run/luo-vmm.sock",
		.memory = RAM_DEFAULT,
		.report_ms = 500,
		.timeout = 120,
	};
	const struct verb *verb;
	int option;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		if (option == 'h') {
			print_help();
			return EXIT_DONE;
		}
		if (option == '?')
			return EXIT_USAGE;
		if (!parse_option(option, optarg, &options))
			return usage("bad value", optarg);
	}
	if (optind == argc)
		return usage("missing", "VERB");
	verb = find_verb(argv[optind]);
	if (!verb)
		return usage("unknown verb", argv[optind]);
	if (optind + 1 != argc)
		return usage("unexpected argument", argv[optind + 1]);

	options.verb = verb->name;
	if (verb->run(&options)) {
		fprintf(stderr, "luo-vmm: %s: %s\n", verb->name, fail_message());
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
