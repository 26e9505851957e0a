// SPDX-License-Identifier: GPL-2.0
/* The device, which agents have in turn. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "qemu.h"

#define ENTRIES		64
/* A machine may start many guests. */
#define TURN_MS		20000

int device_open(void)
{
	int dev = open_in_turn(TURN_MS);

	return dev >= 0 ? dev : fail("%s: %s", LIVEUPDATE_DEVICE, device_error(dev));
}

static bool waits_in(const struct liveupdate_session_entry *entries, int count, const char *name)
{
	int i;

	for (i = 0; i < count; i++) {
		if (entries[i].state != LIVEUPDATE_SESSION_STATE_OUTGOING &&
		    !strncmp((const char *)entries[i].name, name, LIVEUPDATE_SESSION_NAME_LENGTH))
			return true;
	}
	return false;
}

static int find_session(int dev, const char *name)
{
	struct liveupdate_session_entry entries[ENTRIES];
	uint64_t cursor = 0;
	int count;

	while ((count = liveupdate_list_sessions(dev, &cursor, entries, ENTRIES)) > 0) {
		if (waits_in(entries, count, name))
			return 1;
	}
	return count ? fail_errno(count, "listing sessions") : 0;
}

int device_has_session(const char *name)
{
	int dev = open_in_turn(TURN_MS), found;

	/* Without live update nothing waits. */
	if (dev == -ENOENT || dev == -ENXIO || dev == -ENODEV)
		return 0;
	if (dev < 0)
		return fail("%s: %s", LIVEUPDATE_DEVICE, device_error(dev));
	found = find_session(dev, name);
	close(dev);
	return found;
}
