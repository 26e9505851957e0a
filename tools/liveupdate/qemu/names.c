// SPDX-License-Identifier: GPL-2.0
/* Names of guests, for --all: lists that are NULL at their end, or NULL. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qemu.h"

#define ENTRIES		64
#define SOCKET		".sock"

struct names {
	char **list;
	size_t count;
};

static int add_name(struct names *names, const char *name, size_t len)
{
	char **longer = realloc(names->list, (names->count + 2) * sizeof(*longer));

	if (!longer)
		return fail_errno(ENOMEM, "names of guests");
	names->list = longer;
	longer[names->count++] = strndup(name, len);
	longer[names->count] = NULL;
	return 0;
}

bool is_guest_name(const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.@", name[i]))
			return false;
	}
	return len && len <= NAME_MAX_BYTES && *name != '.';
}

static bool is_ours(const struct liveupdate_session_entry *entry)
{
	return entry->state == LIVEUPDATE_SESSION_STATE_INCOMING &&
	       !strncmp((const char *)entry->name, SESSION_PREFIX, strlen(SESSION_PREFIX));
}

char **names_of_sessions(void)
{
	struct liveupdate_session_entry entries[ENTRIES];
	struct names names = { .list = calloc(1, sizeof(char *)) };
	int dev = device_open(), count, i;
	uint64_t cursor = 0;

	if (dev < 0)
		return NULL;
	while ((count = liveupdate_list_sessions(dev, &cursor, entries, ENTRIES)) > 0) {
		for (i = 0; i < count; i++) {
			const char *name = (const char *)entries[i].name + strlen(SESSION_PREFIX);

			if (is_ours(&entries[i]) && is_guest_name(name))
				add_name(&names, name, strlen(name));
		}
	}
	close(dev);
	if (!count)
		return names.list;
	fail_errno(count, "listing sessions");
	return NULL;
}

/* Sockets outlive an agent that was killed. */
static void add_guest(struct names *names, const char *directory, const char *file)
{
	size_t len = strlen(file);
	char name[NAME_MAX_BYTES + 1];

	if (len <= strlen(SOCKET) || len - strlen(SOCKET) > NAME_MAX_BYTES ||
	    strcmp(file + len - strlen(SOCKET), SOCKET))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(len - strlen(SOCKET)), file);
	if (control_has_guest(directory, name))
		add_name(names, name, strlen(name));
}

char **names_of_sockets(const char *directory)
{
	struct names names = { .list = calloc(1, sizeof(char *)) };
	DIR *dir = opendir(directory);
	struct dirent *entry;

	/* No guest ran yet. */
	while (dir && (entry = readdir(dir)))
		add_guest(&names, directory, entry->d_name);
	if (dir)
		closedir(dir);
	return names.list;
}
