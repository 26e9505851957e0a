// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "libliveupdate.h"

#define TRY_MS		20

static int usage_remedy(const char *what, const char *culprit, const char *remedy)
{
	char shown[ESCAPED(PATH_MAX)];

	fprintf(stderr, "%s: %s `%s', %s\n", program_invocation_short_name, what,
		escape(shown, sizeof(shown), culprit, PATH_MAX), remedy);
	return EXIT_USAGE;
}

int usage(const char *what, const char *culprit)
{
	char remedy[64];

	snprintf(remedy, sizeof(remedy), "try %s --help",
		 program_invocation_short_name);
	return usage_remedy(what, culprit, remedy);
}

int option_usage(char **argv, int option, const char *remedy)
{
	char letter[] = { '-', optopt, '\0' };

	if (option == ':')
		return usage("a value is missing behind", argv[optind - 1]);
	if (optopt > UCHAR_MAX)
		return usage("no value is expected in", argv[optind - 1]);
	return remedy ?
		usage_remedy("unknown option", optopt ? letter : argv[optind - 1], remedy) :
		usage("unknown option", optopt ? letter : argv[optind - 1]);
}

static int has_name(const void *name, const void *row)
{
	return strcmp(name, *(const char * const *)row);
}

const void *find_row(const void *table, size_t rows, size_t row_size,
		     const char *name)
{
	return lfind(name, table, &rows, row_size, has_name);
}

static size_t escape_byte(char to[ESCAPED(1)], unsigned char byte)
{
	static const char special[] = "\\\n\r\t\v\f", letters[] = "\\nrtvf";
	const char *found = strchr(special, byte);

	if (found)
		return sprintf(to, "\\%c", letters[found - special]);
	return sprintf(to, byte < ' ' || byte > '~' ? "\\%03o" : "%c", byte);
}

char *escape(char *to, size_t size, const char *from, size_t max)
{
	char escaped[ESCAPED(1)];
	size_t length = 0, bytes, i;

	for (i = 0; i < max && from[i]; i++) {
		bytes = escape_byte(escaped, from[i]);
		if (length + bytes >= size)
			break;
		memcpy(to + length, escaped, bytes);
		length += bytes;
	}
	to[length] = '\0';
	return to;
}

bool flush_output(void)
{
	if (fflush(stdout))
		return false;
	/* The errno of a write that failed earlier is gone. */
	errno = EIO;
	return !ferror(stdout);
}

int open_in_turn(int ms)
{
	int dev;

	for (;; ms -= TRY_MS) {
		dev = liveupdate_open();
		if (dev != -EBUSY || ms <= 0)
			return dev;
		poll(NULL, 0, TRY_MS);
	}
}

const char *device_error(int err)
{
	static char text[128];
	bool absent = err == -ENOENT || err == -ENODEV || err == -ENXIO;

	snprintf(text, sizeof(text), "%s%s", strerror(-err), absent ?
		 ": boot a kernel that has it with kho=on liveupdate=on" : "");
	return text;
}
