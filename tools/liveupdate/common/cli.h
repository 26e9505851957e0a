/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs of this directory have in common on the command line. */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* A wrong command line: say so, and return EXIT_USAGE. */
int usage(const char *what, const char *culprit);
/*
 * The same for what getopt_long() returned '?' or ':' for. Values of long
 * options are to be above UCHAR_MAX.
 */
int option_usage(char **argv, int option, const char *remedy);

#define ARRAY_SIZE(_array)	(sizeof(_array) / sizeof((_array)[0]))

/* Rows begin with a const char *name. Returns NULL if none has this one. */
#define FIND_ROW(_table, _name)						\
	((__typeof__(&(_table)[0]))find_row(_table,			\
		sizeof(_table) / sizeof((_table)[0]), sizeof((_table)[0]), _name))
const void *find_row(const void *table, size_t rows, size_t row_size,
		     const char *name);

/* Bytes that a text of so many may become. */
#define ESCAPED(_bytes)	(4 * (_bytes) + 1)

/*
 * At most max bytes of a text as one line of printable ASCII: \n and its like,
 * \\ and octal \ooo. What does not fit is cut off. Returns to.
 */
char *escape(char *to, size_t size, const char *from, size_t max);

/* Whether stdout took all that was printed; if not errno is set. */
bool flush_output(void);

/*
 * liveupdate_open(), in turn with others: they have the device as long as a call or
 * two take. Gives up with -EBUSY after so many milliseconds.
 */
int open_in_turn(int ms);
/* Why it failed, and what can be done. */
const char *device_error(int err);

#endif /* CLI_H */
