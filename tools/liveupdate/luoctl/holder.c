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
#include <sys/xattr.h>
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

/* Only processes that suit are looked at; holder may be NULL. */
static bool find(const struct wanted *wanted, bool (*suits)(const char *pid),
		 char holder[HOLDER_LENGTH])
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (processes && !found && (entry = readdir(processes))) {
		found = isdigit((unsigned char)entry->d_name[0]) &&
			has_open(entry->d_name, wanted) && suits(entry->d_name);
		if (found && holder)
			name_process(entry->d_name, holder);
	}
	if (processes)
		closedir(processes);
	return found;
}

static bool is_another(const char *pid)
{
	return atoi(pid) != getpid();
}

bool find_holder(const char *name, char holder[HOLDER_LENGTH])
{
	struct wanted wanted = { .session = name };
	struct stat st;

	if (!name && stat(LIVEUPDATE_DEVICE, &st))
		return false;
	if (!name)
		wanted.device = st.st_rdev;
	return find(&wanted, is_another, holder);
}

/* ---- the end of services ---- */

#define CGROUPS		"/sys/fs/cgroup"
#define SPARED		"survive_final_kill_signal"

static bool cgroup_is_spared(const char *pid)
{
	char proc[sizeof("/proc//cgroup") + NAME_MAX], line[PATH_MAX] = "", path[PATH_MAX + 32], is;
	FILE *file;

	snprintf(proc, sizeof(proc), "/proc/%s/cgroup", pid);
	file = fopen(proc, "re");
	while (file && fgets(line, sizeof(line), file) && strncmp(line, "0::", 3))
		;
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "0::/", 4))
		return false;
	snprintf(path, sizeof(path), CGROUPS "%s", line + 3);
	return (getxattr(path, "user." SPARED, &is, 1) == 1 ||
		getxattr(path, "trusted." SPARED, &is, 1) == 1) && is == '1';
}

static bool name_is_spared(const char *pid)
{
	char path[sizeof("/proc//cmdline") + NAME_MAX];
	struct stat st;
	FILE *file;
	int first;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	first = getc(file);
	if (fstat(fileno(file), &st))
		first = EOF;
	fclose(file);
	return first == '@' && !st.st_uid;
}

/* PID 1 keeps its sessions by itself, if it has any. */
static bool is_spared(const char *pid)
{
	return atoi(pid) == 1 || name_is_spared(pid) || cgroup_is_spared(pid);
}

bool process_is_spared(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return is_spared(text);
}

bool session_is_spared(const char *name)
{
	struct wanted wanted = { .session = name };

	return find(&wanted, is_spared, NULL);
}
