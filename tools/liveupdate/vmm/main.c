// SPDX-License-Identifier: GPL-2.0
/* luo-vmm: a virtual machine that survives an update of its host's kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm.h"

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
	OPTION_NAME = UCHAR_MAX + 1,
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
	OPTION_HELP,
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
	{ "help", no_argument, NULL, OPTION_HELP },
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

static int print_help(void)
{
	size_t i;

	printf("Run a virtual machine that survives an update of its host's kernel.\n\n");
	printf("Usage: luo-vmm VERB [OPTION]...\n\nVerbs:\n");
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
	printf("\n%s", option_help);
	if (flush_output())
		return EXIT_DONE;
	fprintf(stderr, "luo-vmm: help: stdout: %s\n", strerror(errno));
	return EXIT_FAILED;
}

static const struct range {
	int option;
	unsigned long min;
	unsigned long max;
	const char *unit;
} ranges[] = {
	{ OPTION_MEMORY, RAM_MIN / MIB, RAM_MAX / MIB, "MiB" },
	{ OPTION_REPORT_MS, 50, 60000, "ms" },
	{ OPTION_TIMEOUT, 1, 86400, "seconds" },
};

/* NULL for an option that takes no number. */
static const struct range *find_range(int option)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].option == option)
			return &ranges[i];
	}
	return NULL;
}

static bool parse_number(const char *text, const struct range *range,
			 unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *number >= range->min &&
	       *number <= range->max;
}

static int range_usage(const char *name, const struct range *range,
		       const char *text)
{
	char what[96];

	snprintf(what, sizeof(what), "--%s takes %lu to %lu %s, not", name,
		 range->min, range->max, range->unit);
	return usage(what, text);
}

static void set_option(struct options *options, int option, const char *text,
		       unsigned long number)
{
	switch (option) {
	case OPTION_NAME:
		options->name = text;
		break;
	case OPTION_SOCKET:
		options->socket = text;
		break;
	case OPTION_SERIAL:
		options->serial = text;
		break;
	case OPTION_REPORT:
		options->report = text;
		break;
	case OPTION_DEVICE:
		options->device = text;
		break;
	case OPTION_MEMORY:
		options->memory = number * MIB;
		break;
	case OPTION_REPORT_MS:
		options->report_ms = number;
		break;
	case OPTION_TIMEOUT:
		options->timeout = number;
		break;
	case OPTION_NO_DIGEST:
		options->no_digest = true;
		break;
	case OPTION_KEEP_GOING:
		options->keep_going = true;
		break;
	case OPTION_CORRUPT:
		options->corrupt = true;
		break;
	}
}

static int run(const struct verb *verb, struct options *options)
{
	int err;

	options->verb = verb->name;
	escape(options->shown_name, sizeof(options->shown_name), options->name,
	       LIVEUPDATE_SESSION_NAME_LENGTH);
	err = verb->run(options);
	if (!err && !flush_output())
		err = fail(-errno, "stdout");
	if (!err)
		return EXIT_DONE;
	fprintf(stderr, "luo-vmm: %s: %s\n", verb->name, fail_message());
	return EXIT_FAILED;
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
	const struct range *range;
	const struct verb *verb;
	unsigned long number = 0;
	int option, index;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options,
				     &index)) >= 0) {
		if (option == OPTION_HELP || option == 'h')
			return print_help();
		if (option == '?' || option == ':')
			return option_usage(argv, option, NULL);
		range = find_range(option);
		if (range && !parse_number(optarg, range, &number))
			return range_usage(long_options[index].name, range,
					   optarg);
		set_option(&options, option, optarg, number);
	}
	if (optind == argc)
		return usage("missing", "VERB");
	verb = FIND_ROW(verbs, argv[optind]);
	if (!verb)
		return usage("unknown verb", argv[optind]);
	if (optind + 1 != argc)
		return usage("unexpected argument", argv[optind + 1]);
	return run(verb, &options);
}
