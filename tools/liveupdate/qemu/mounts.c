// SPDX-License-Identifier: GPL-2.0
/*
 * File systems that a guest has files on. The next kernel resumes it before all
 * of them need be there, and what has its disk's name in the directory that one
 * is mounted on is another disk.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "qemu.h"

/* In /proc/PID/mountinfo blanks and the like are \OOO. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++, to++) {
		*to = *text;
		if (*text == '\\' && strlen(text) > 3) {
			*to = strtol((char[]){ text[1], text[2], text[3], '\0' }, NULL, 8);
			text += 3;
		}
	}
	*to = '\0';
}

/* Returns whether it is known: what is not a file in a file system has none. */
static bool mount_point(pid_t pid, uint64_t id, char point[PATH_MAX])
{
	unsigned long long one;
	char path[64], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	file = fopen(path, "re");
	while (file && !found && getline(&line, &size, file) > 0)
		found = sscanf(line, "%llu %*s %*s %*s %4095s", &one, point) == 2 && one == id;
	free(line);
	if (file)
		fclose(file);
	if (found)
		unescape(point);
	return found;
}

static bool has(const json_t *list, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		if (!strcmp(json_string_value(one), text))
			return true;
	}
	return false;
}

int mounts_take(struct guest *guest)
{
	char path[320], point[PATH_MAX];
	struct dirent *entry;
	struct statx st;
	DIR *files;

	snprintf(path, sizeof(path), "/proc/%d/fd", guest->shared->qemu);
	files = opendir(path);
	if (!files)
		return fail_errno(errno, "%s", path);
	guest->mounts = json_array();
	while ((entry = readdir(files))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", guest->shared->qemu, entry->d_name);
		if (statx(AT_FDCWD, path, 0, STATX_TYPE | STATX_MNT_ID, &st) ||
		    !S_ISREG(st.stx_mode) || !(st.stx_mask & STATX_MNT_ID) ||
		    !mount_point(guest->shared->qemu, st.stx_mnt_id, point) ||
		    has(guest->mounts, point))
			continue;
		if (json_array_append_new(guest->mounts, json_string(point)))
			fprintf(stderr, "luo-qemu: %s: files on %s: the name is not UTF-8\n",
				guest->name, point);
	}
	closedir(files);
	return 0;
}

int mounts_check(const struct guest *guest)
{
	const json_t *one;
	struct statx st;
	const char *path;
	size_t i;

	json_array_foreach(guest->mounts, i, one) {
		path = json_string_value(one);
		if (!path)
			return fail("the manifest is damaged: mounts");
		if (statx(AT_FDCWD, path, 0, STATX_TYPE, &st) ||
		    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
			return fail("%s is not mounted, and the guest has files there", path);
	}
	return 0;
}
