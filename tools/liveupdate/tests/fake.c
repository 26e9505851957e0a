// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/liveupdate without a kernel, for LD_PRELOAD: sessions are directories
 * below $FAKE_LIVEUPDATE. A session is there as long as somebody has its lock
 * open, as it is with the kernel. What it preserves are inode numbers: whoever
 * plays the reboot looks for their content in the processes that hold them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libliveupdate.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*real_open)(const char *path, int flags, ...);
static int (*real_ioctl)(int fd, unsigned long command, ...);
static int (*real_connect)(int fd, const struct sockaddr *address, socklen_t length);
static int (*real_stat)(const char *path, struct stat *st);
static pid_t (*real_fork)(void);

static __attribute__((constructor)) void find_real(void)
{
	real_open = dlsym(RTLD_NEXT, "open");
	real_ioctl = dlsym(RTLD_NEXT, "ioctl");
	real_fork = dlsym(RTLD_NEXT, "fork");
	real_connect = dlsym(RTLD_NEXT, "connect");
	real_stat = dlsym(RTLD_NEXT, "stat");
}

static int answer(int err)
{
	errno = err;
	return err ? -1 : 0;
}

/* The open file says which session it is. */
static bool path_of(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX - 1);
	path[len > 0 ? len : 0] = '\0';
	return len > 0;
}

static int lock_session(const char *way, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", getenv("FAKE_LIVEUPDATE"), way, name);
	if (!strcmp(way, "outgoing"))
		mkdir(path, 0700);
	strcat(path, "/lock");
	fd = real_open(path, O_RDWR | O_CLOEXEC | (strcmp(way, "outgoing") ? 0 : O_CREAT), 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		errno = strcmp(way, "outgoing") ? EINVAL : EEXIST;
		return -1;
	}
	return fd;
}

static int create(struct liveupdate_ioctl_create_session *arg)
{
	arg->fd = lock_session("outgoing", (const char *)arg->name);
	return arg->fd < 0 ? -1 : 0;
}

static int claim_session(struct liveupdate_ioctl_retrieve_session *arg)
{
	arg->fd = lock_session("incoming", (const char *)arg->name);
	return arg->fd < 0 ? -1 : 0;
}

/* One that nobody holds has ended. */
static bool is_held(const char *dir, const char *name)
{
	char path[2 * PATH_MAX];
	bool held;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/lock", dir, name);
	fd = real_open(path, O_RDWR | O_CLOEXEC);
	held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB);
	if (fd >= 0)
		close(fd);
	return held;
}

static uint32_t list_way(struct liveupdate_session_entry *entries, uint32_t max, bool outgoing)
{
	struct dirent *entry;
	char path[PATH_MAX];
	uint32_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", getenv("FAKE_LIVEUPDATE"),
		 outgoing ? "outgoing" : "incoming");
	dir = opendir(path);
	while (dir && count < max && (entry = readdir(dir))) {
		if (*entry->d_name == '.' || (outgoing && !is_held(path, entry->d_name)))
			continue;
		memset(&entries[count], 0, sizeof(*entries));
		entries[count].state = outgoing ? LIVEUPDATE_SESSION_STATE_OUTGOING :
				       is_held(path, entry->d_name) ?
				       LIVEUPDATE_SESSION_STATE_RETRIEVED :
				       LIVEUPDATE_SESSION_STATE_INCOMING;
		strncpy((char *)entries[count++].name, entry->d_name,
			LIVEUPDATE_SESSION_NAME_LENGTH - 1);
	}
	if (dir)
		closedir(dir);
	return count;
}

/* Whether FAKE_FAILS says so. */
static bool fails(const char *what)
{
	const char *asked = getenv("FAKE_FAILS");

	return asked && !strcmp(asked, what);
}

/* FAKE_FAILS=list: they can't be listed. */
static int list_sessions(struct liveupdate_ioctl_list_sessions *arg)
{
	struct liveupdate_session_entry *entries = (void *)(uintptr_t)arg->entries;
	uint32_t count = 0;

	if (fails("list"))
		return answer(EIO);
	if (!arg->cursor) {
		count = list_way(entries, arg->count, true);
		count += list_way(entries + count, arg->count - count, false);
	}
	arg->count = count;
	arg->cursor = 1;
	return 0;
}

/* The file of a token, beside the lock. */
static void token_path(char path[PATH_MAX], unsigned long long token)
{
	sprintf(strrchr(path, '/'), "/%llu", token);
}

/* FAKE_FAILS=TOKEN: this one can't be preserved. */
static int preserve(char path[PATH_MAX], const struct liveupdate_session_preserve_fd *arg)
{
	const char *asked = getenv("FAKE_FAILS");
	struct stat st;
	FILE *file;

	if (asked && strtoull(asked, NULL, 0) == arg->token)
		return answer(EIO);
	token_path(path, arg->token);
	if (fstat(arg->fd, &st))
		return -1;
	file = fopen(path, "w");
	if (!file)
		return -1;
	fprintf(file, "%llu\n", (unsigned long long)st.st_ino);
	fclose(file);
	return 0;
}

static int retrieve(char path[PATH_MAX], struct liveupdate_session_retrieve_fd *arg)
{
	struct stat st;
	off_t at = 0;
	int from;

	token_path(path, arg->token);
	from = real_open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0 || fstat(from, &st))
		return -1;
	arg->fd = memfd_create("retrieved", MFD_CLOEXEC);
	while (at < st.st_size && sendfile(arg->fd, from, &at, st.st_size - at) > 0)
		;
	close(from);
	return at == st.st_size ? 0 : answer(EIO);
}

/* The QEMU that this process started. */
static void kill_qemu(void)
{
	char path[64], text[512], name[32];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	int pid, parent, fd;
	ssize_t len;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
		fd = real_open(path, O_RDONLY | O_CLOEXEC);
		len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
		text[len > 0 ? len : 0] = '\0';
		if (fd >= 0)
			close(fd);
		if (sscanf(text, "%d (%31[^)]) %*c %d", &pid, name, &parent) == 3 &&
		    parent == getpid() && !strncmp(name, "qemu-system", 11))
			kill(pid, SIGKILL);
	}
	if (dir)
		closedir(dir);
}

/*
 * A session is ended once, whoever has it open. FAKE_DIES=agent: who ends it is
 * killed right after. FAKE_DIES=qemu: its QEMU is. FAKE_DIES=both.
 */
static int finish(char path[PATH_MAX])
{
	char incoming[PATH_MAX], ended[2 * PATH_MAX];
	const char *top = getenv("FAKE_LIVEUPDATE"), *dies = getenv("FAKE_DIES");

	*strrchr(path, '/') = '\0';
	snprintf(incoming, sizeof(incoming), "%s/incoming/", top);
	snprintf(ended, sizeof(ended), "%s/finished", top);
	if (strncmp(path, incoming, strlen(incoming)))
		return answer(EINVAL);
	/* The first one has that name, others one of their own. */
	if (rename(path, ended)) {
		strcat(ended, strrchr(path, '/') + 1);
		if (rename(path, ended))
			return answer(EINVAL);
	}
	if (dies && strcmp(dies, "agent"))
		kill_qemu();
	if (dies && strcmp(dies, "qemu"))
		kill(getpid(), SIGKILL);
	return 0;
}

/* A file for each token, whose handler is not there, and so many MiB to come. */
static int list_files(char path[PATH_MAX], struct liveupdate_session_list_files *arg)
{
	struct liveupdate_file_entry *entries = (void *)(uintptr_t)arg->entries;
	uint32_t count = 0, max = arg->cursor ? 0 : arg->count;
	struct dirent *entry;
	DIR *dir;

	*strrchr(path, '/') = '\0';
	dir = opendir(path);
	while (dir && count < max && (entry = readdir(dir))) {
		if (*entry->d_name < '0' || *entry->d_name > '9')
			continue;
		entries[count++] = (struct liveupdate_file_entry) {
			.token = strtoull(entry->d_name, NULL, 0),
			.state = LIVEUPDATE_FILE_STATE_NO_HANDLER,
			.handler = "nobody-v1",
			.waiting = strtoul(entry->d_name, NULL, 0),
		};
	}
	if (dir)
		closedir(dir);
	arg->count = count;
	arg->cursor = 1;
	return 0;
}

/* FAKE_FAILS=abandon: it is not root who does it. */
static int abandon(char path[PATH_MAX], struct liveupdate_session_abandon *arg)
{
	if (arg->size != sizeof(*arg) || arg->reserved)
		return answer(EINVAL);
	if (fails("abandon"))
		return answer(EPERM);
	arg->files = 2;
	return finish(path);
}

/* FAKE_FAILS=finish: there are files without a handler. */
static int finish_known(char path[PATH_MAX])
{
	return fails("finish") ? answer(ENODEV) : finish(path);
}

static int session_ioctl(char path[PATH_MAX], unsigned long command, void *arg)
{
	switch (command) {
	case LIVEUPDATE_SESSION_PRESERVE_FD:
		return preserve(path, arg);
	case LIVEUPDATE_SESSION_RETRIEVE_FD:
		return retrieve(path, arg);
	case LIVEUPDATE_SESSION_FINISH:
		return finish_known(path);
	case LIVEUPDATE_SESSION_ABANDON:
		return abandon(path, arg);
	case LIVEUPDATE_SESSION_LIST_FILES:
		return list_files(path, arg);
	}
	return answer(ENOTTY);
}

static int get_info(struct liveupdate_ioctl_get_info *info)
{
	const char *number = getenv("FAKE_NUMBER");

	info->features = LIVEUPDATE_FEATURE_CLAIM_SESSION;
	info->number = number ? strtoull(number, NULL, 0) : 0;
	return 0;
}

static int device_ioctl(unsigned long command, void *arg)
{
	switch (command) {
	case LIVEUPDATE_IOCTL_CREATE_SESSION:
		return create(arg);
	case LIVEUPDATE_IOCTL_CLAIM_SESSION:
		return claim_session(arg);
	case LIVEUPDATE_IOCTL_LIST_SESSIONS:
		return list_sessions(arg);
	case LIVEUPDATE_IOCTL_GET_INFO:
		return get_info(arg);
	}
	return answer(ENOTTY);
}

int ioctl(int fd, unsigned long command, ...)
{
	char path[PATH_MAX];
	va_list arguments;
	void *arg;

	va_start(arguments, command);
	arg = va_arg(arguments, void *);
	va_end(arguments);
	if ((command >> 8 & 0xff) != LIVEUPDATE_IOCTL_TYPE || !path_of(fd, path))
		return real_ioctl(fd, command, arg);
	return strrchr(path, '/') && !strcmp(strrchr(path, '/'), "/lock") ?
		session_ioctl(path, command, arg) : device_ioctl(command, arg);
}

/* FAKE_BUSY=N: N times another process has the device. */
static bool is_busy(void)
{
	static int times = -1;

	if (times < 0)
		times = getenv("FAKE_BUSY") ? atoi(getenv("FAKE_BUSY")) : 0;
	return times && times--;
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = va_arg(arguments, mode_t);
	va_end(arguments);
	if (!strcmp(path, LIVEUPDATE_DEVICE) && is_busy())
		return answer(EBUSY);
	if (!strcmp(path, LIVEUPDATE_DEVICE))
		return real_open(getenv("FAKE_LIVEUPDATE"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return real_open(path, flags, mode);
}

/* Who has the device is who has this one, which hardly anybody has. */
int stat(const char *path, struct stat *st)
{
	/* Libraries call it before this one is there. */
	if (!real_stat)
		find_real();
	return real_stat(strcmp(path, LIVEUPDATE_DEVICE) ? path : "/dev/full", st);
}

/* FAKE_HANGS_UP: the other side does, before anything is sent to it. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct pollfd hangup = { .fd = fd };
	int err = real_connect(fd, address, length);

	if (!err && getenv("FAKE_HANGS_UP"))
		poll(&hangup, 1, -1);
	return err;
}

/* FAKE_FORKS=N: there are no more processes than that. */
pid_t fork(void)
{
	static int left = -1;

	if (left < 0)
		left = getenv("FAKE_FORKS") ? atoi(getenv("FAKE_FORKS")) : INT_MAX;
	if (!left)
		return answer(EAGAIN);
	left--;
	return real_fork();
}
