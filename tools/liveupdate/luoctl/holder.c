// SPDX-License-Identifier: GPL-2.0
/* Who has the device or a session open, as far as /proc tells. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "libliveupdate.h"
#include "luoctl.h"

#define SESSION_LINK	"anon_inode:[luo_session] "
#define COMM_LENGTH	16

struct wanted {
	/* NULL: the device. */
	const char *session;
	dev_t device;
};

static bool is_device(int fds, const char *fd, dev_t device)
{
	struct stat st;

	return !fstatat(fds, fd, &st, 0) && S_ISCHR(st.st_mode) && st.st_rdev == device;
}

static bool is_session(int fds, const char *fd, const char *name)
{
	char link[sizeof(SESSION_LINK) + LIVEUPDATE_SESSION_NAME_LENGTH] = "";

	return readlinkat(fds, fd, link, sizeof(link) - 1) > 0 &&
	       !strncmp(link, SESSION_LINK, strlen(SESSION_LINK)) &&
	       !strcmp(link + strlen(SESSION_LINK), name);
}

static bool has_open(const char *pid, const struct wanted *wanted)
{
	char path[sizeof("/proc//fd") + NAME_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && (entry = readdir(fds)))
		found = wanted->session ?
			is_session(dirfd(fds), entry->d_name, wanted->session) :
			is_device(dirfd(fds), entry->d_name, wanted->device);
	closedir(fds);
	return found;
}

static void name_process(const char *pid, char holder[HOLDER_LENGTH])
{
	char path[sizeof("/proc//comm") + NAME_MAX], comm[COMM_LENGTH + 1] = "";
	char shown[ESCAPED(COMM_LENGTH)];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(comm, sizeof(comm), file))
			comm[0] = '\0';
		fclose(file);
	}
	comm[strcspn(comm, "\n")] = '\0';
	snprintf(holder, HOLDER_LENGTH, "%s, process %.20s",
		 escape(shown, sizeof(shown), comm, sizeof(comm)), pid);
}

bool find_holder(const char *name, char holder[HOLDER_LENGTH])
{
	struct wanted wanted = { .session = name };
	struct dirent *entry;
	bool found = false;
	struct stat st;
	DIR *processes;

	if (!name && stat(LIVEUPDATE_DEVICE, &st))
		return false;
	if (!name)
		wanted.device = st.st_rdev;
	processes = opendir("/proc");
	while (processes && !found && (entry = readdir(processes))) {
		found = isdigit((unsigned char)entry->d_name[0]) &&
			atoi(entry->d_name) != getpid() &&
			has_open(entry->d_name, &wanted);
		if (found)
			name_process(entry->d_name, holder);
	}
	if (processes)
		closedir(processes);
	return found;
}
