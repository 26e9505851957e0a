// SPDX-License-Identifier: LGPL-2.1+ OR MIT
/*
 * List the sessions of this kernel.
 *
 *	cc sessions.c $(pkg-config --cflags --libs libliveupdate) -o sessions
 */
#include <err.h>
#include <libliveupdate.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if !LIBLIVEUPDATE_VERSION_AT_LEAST(1, 0)
#error "libliveupdate 1.0 or newer is needed"
#endif

#define ENTRIES	16

int main(void)
{
	struct liveupdate_session_entry entries[ENTRIES];
	int dev = liveupdate_open(), count, i;
	uint64_t cursor = 0;

	if (dev < 0)
		errx(1, "%s: %s", LIVEUPDATE_DEVICE, strerror(-dev));
	for (;;) {
		count = liveupdate_list_sessions(dev, &cursor, entries, ENTRIES);
		if (count < 0)
			errx(1, "list: %s", strerror(-count));
		if (!count)
			break;
		for (i = 0; i < count; i++)
			printf("%ju files\t%s\n", (uintmax_t)entries[i].files,
			       (const char *)entries[i].name);
	}
	close(dev);
	return 0;
}
