/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of live update share.
 *
 * Calls return a file descriptor, a count or 0, or -errno.
 */
#ifndef LUO_TEST_H
#define LUO_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/kernel-page-flags.h>
#include <linux/kexec.h>
#include <linux/liveupdate.h>
#include <linux/memfd.h>
#include <linux/reboot.h>

#define LUO_DEVICE	"/dev/liveupdate"
#define LUO_SYSFS	"/sys/kernel/liveupdate/"
#define LUO_NAME_MAX	(LIVEUPDATE_SESSION_NAME_LENGTH - 1)

/* The C library may be older than these. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC	0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC	0x0020
#endif

#define LUO_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			 F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)

/* ---- ioctls ---- */

static inline int luo_call(int fd, unsigned int cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

static inline int luo_open(void)
{
	int fd = open(LUO_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Cut off without a NUL if it is too long: that is for the kernel to refuse. */
static inline void luo_set_name(__u8 *field, const char *name)
{
	size_t i;

	for (i = 0; i < LIVEUPDATE_SESSION_NAME_LENGTH && name[i]; i++)
		field[i] = name[i];
}

static inline int luo_create(int dev, const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };
	int err;

	luo_set_name(arg.name, name);
	err = luo_call(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg);
	return err ?: arg.fd;
}

static inline int luo_retrieve(int dev, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };
	int err;

	luo_set_name(arg.name, name);
	err = luo_call(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg);
	return err ?: arg.fd;
}

static inline int luo_info(int dev, struct liveupdate_ioctl_get_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return luo_call(dev, LIVEUPDATE_IOCTL_GET_INFO, info);
}

static inline int luo_preserve(int session, int fd, __u64 token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	return luo_call(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

static inline int luo_unpreserve(int session, __u64 token)
{
	struct liveupdate_session_unpreserve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	return luo_call(session, LIVEUPDATE_SESSION_UNPRESERVE_FD, &arg);
}

static inline int luo_retrieve_fd(int session, __u64 token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};
	int err = luo_call(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	return err ?: arg.fd;
}

static inline int luo_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return luo_call(session, LIVEUPDATE_SESSION_FINISH, &arg);
}

/* Returns how many files were left behind. */
static inline int luo_abandon(int session)
{
	struct liveupdate_session_abandon arg = { .size = sizeof(arg) };
	int err = luo_call(session, LIVEUPDATE_SESSION_ABANDON, &arg);

	return err ?: (int)arg.files;
}

static inline int luo_set_flags(int session, __u32 flags)
{
	struct liveupdate_session_set_flags arg = {
		.size = sizeof(arg),
		.flags = flags,
	};

	return luo_call(session, LIVEUPDATE_SESSION_SET_FLAGS, &arg);
}

static inline int luo_get_name(int session, char *name)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };
	int err = luo_call(session, LIVEUPDATE_SESSION_GET_NAME, &arg);

	if (!err)
		memcpy(name, arg.name, sizeof(arg.name));
	return err;
}

static inline int luo_list_sessions(int dev, __u64 *cursor,
				    struct liveupdate_session_entry *entries,
				    __u32 count)
{
	struct liveupdate_ioctl_list_sessions arg = {
		.size = sizeof(arg),
		.count = count,
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int err = luo_call(dev, LIVEUPDATE_IOCTL_LIST_SESSIONS, &arg);

	*cursor = arg.cursor;
	return err ?: (int)arg.count;
}

static inline int luo_list_files(int session, __u64 *cursor,
				 struct liveupdate_file_entry *entries,
				 __u32 count)
{
	struct liveupdate_session_list_files arg = {
		.size = sizeof(arg),
		.count = count,
		.cursor = *cursor,
		.entries = (uintptr_t)entries,
	};
	int err = luo_call(session, LIVEUPDATE_SESSION_LIST_FILES, &arg);

	*cursor = arg.cursor;
	return err ?: (int)arg.count;
}

/* How many files a session has, by walking its list. */
static inline int luo_count_files(int session)
{
	struct liveupdate_file_entry entries[64];
	__u64 cursor = 0;
	int n, total = 0;

	do {
		n = luo_list_files(session, &cursor, entries, 64);
		if (n < 0)
			return n;
		total += n;
	} while (n);
	return total;
}

/* State of a file in the list of a session. */
static inline int luo_file_state(int session, __u64 token)
{
	struct liveupdate_file_entry entry;
	__u64 cursor = 0;
	int n;

	while ((n = luo_list_files(session, &cursor, &entry, 1)) == 1) {
		if (entry.token == token)
			return entry.state;
	}
	return n ?: -ENOENT;
}

/* Find a session in the list by its name. */
static inline int luo_find_session(int dev, const char *name,
				   struct liveupdate_session_entry *entry)
{
	__u64 cursor = 0;
	int n;

	while ((n = luo_list_sessions(dev, &cursor, entry, 1)) == 1) {
		if (!strncmp((char *)entry->name, name, sizeof(entry->name)))
			return 0;
	}
	return n ?: -ENOENT;
}

/* ---- kexec ---- */

/* An image that can't receive sessions, and that must never be run. */
static inline int luo_load_old_style(void)
{
	static char code[4096];
	struct kexec_segment segment = {
		.buf = code,
		.bufsz = sizeof(code),
		.mem = (void *)(64ul << 20),
		.memsz = sizeof(code),
	};

	return syscall(SYS_kexec_load, 64ul << 20, 1ul, &segment,
		       (unsigned long)KEXEC_ARCH_DEFAULT) ? -errno : 0;
}

static inline int luo_unload(void)
{
	return syscall(SYS_kexec_load, 0ul, 0ul, NULL, 0ul) ? -errno : 0;
}

/* Returns only if it is refused. */
static inline int luo_reboot(void)
{
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return -errno;
}

/* ---- /proc and /sys ---- */

/* Pages on lists of the CPUs, tens of MiB and for as long as they like. */
static inline long long luo_cpu_lists(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long long pages = 0, count;
	char line[128];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " count: %lld", &count) == 1)
			pages += count;
	}
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

static inline long long luo_free_memory(void)
{
	long long listed = luo_cpu_lists();
	struct sysinfo info;

	if (listed < 0 || sysinfo(&info))
		return -errno;
	return (long long)info.freeram * info.mem_unit + listed;
}

/* First line of a file, without the newline. */
static inline int luo_read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;
	int err;

	if (fd < 0)
		return -errno;
	len = read(fd, line, size - 1);
	err = len < 0 ? -errno : 0;
	close(fd);
	if (!err) {
		line[len] = 0;
		line[strcspn(line, "\n")] = 0;
	}
	return err;
}

static inline long long luo_read_number(const char *path)
{
	char line[64];
	int err = luo_read_line(path, line, sizeof(line));

	return err ?: strtoll(line, NULL, 0);
}

/* As much of a file as there is room for; returns its length, or -errno. */
static inline int luo_read_text(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (len < size && (n = read(fd, (char *)buf + len, size - len)) > 0)
		len += n;
	n = n < 0 ? -errno : (ssize_t)len;
	close(fd);
	return n;
}

/* How much of a memfd has not come in yet. */
static inline long long luo_waiting_kb(int fd)
{
	char path[64], text[1024], *line;
	int err;

	sprintf(path, "/proc/self/fdinfo/%d", fd);
	err = luo_read_text(path, text, sizeof(text) - 1);
	if (err < 0)
		return err;
	text[err] = 0;
	line = strstr(text, "waiting_kb:");
	return line ? strtoll(line + strlen("waiting_kb:"), NULL, 10) : 0;
}

/* Page frames of mapped pages, in their order. */
static inline int luo_frames(const void *map, size_t pages, __u64 *frames)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t i, size = pages * sizeof(*frames);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (pread(fd, frames, size, (uintptr_t)map / 4096 * sizeof(*frames)) != (ssize_t)size)
		err = -EIO;
	close(fd);
	for (i = 0; i < pages && !err; i++) {
		if (!(frames[i] >> 63))
			err = -ENOENT;
		/* The other bits are flags. */
		frames[i] &= (1ull << 55) - 1;
	}
	return err;
}

/* Of the kernel itself. */
#define KPF_RESERVED	32

/* What the kernel says of page frames, a bit for each KPF_; may be in their place. */
static inline int luo_page_flags(const __u64 *frames, size_t pages, __u64 *flags)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC), err = 0;
	size_t i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < pages && !err; i++) {
		if (pread(fd, &flags[i], sizeof(*flags), frames[i] * sizeof(*flags)) !=
		    sizeof(*flags))
			err = -EIO;
	}
	close(fd);
	return err;
}

/* How many mapped pages are in memory, or -1. */
static inline int luo_count_resident(void *map, size_t len)
{
	unsigned char *resident = malloc(len / 4096);
	int n = 0;
	size_t i;

	if (!resident || mincore(map, len, resident))
		return -1;
	for (i = 0; i < len / 4096; i++)
		n += resident[i] & 1;
	free(resident);
	return n;
}

static inline int luo_compare_frames(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static inline void luo_sort_frames(__u64 *frames, size_t pages)
{
	qsort(frames, pages, sizeof(*frames), luo_compare_frames);
}

/* How many of the page frames are in scratch memory, or -errno. */
static inline long long luo_scratch_pages(const __u64 *frames, size_t pages)
{
	FILE *starts = fopen("/sys/kernel/debug/kho/out/scratch_phys", "re");
	FILE *sizes = fopen("/sys/kernel/debug/kho/out/scratch_len", "re");
	long long found = starts && sizes ? 0 : -ENOENT;
	unsigned long long start, size;
	size_t i;

	while (found >= 0 && fscanf(starts, "%llx", &start) == 1 &&
	       fscanf(sizes, "%llx", &size) == 1) {
		for (i = 0; i < pages; i++)
			found += frames[i] * 4096 - start < size;
	}
	if (starts)
		fclose(starts);
	if (sizes)
		fclose(sizes);
	return found;
}

static inline int luo_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Where /proc/self/fd/N points. */
static inline int luo_fd_link(int fd, char *link, size_t size)
{
	char path[32];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, link, size - 1);
	if (len < 0)
		return -errno;
	link[len] = 0;
	return 0;
}

/* Another file of the same inode. */
static inline int luo_reopen(int fd, int flags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

/* ---- memfds ---- */

static inline int luo_memfd_flags(const char *name, off_t size, unsigned int flags)
{
	int fd = memfd_create(name, flags);

	if (fd < 0)
		return -errno;
	if (size && ftruncate(fd, size)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static inline int luo_memfd(off_t size)
{
	return luo_memfd_flags("luo_test", size, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* The word at @offset of a file that was filled with @seed. */
static inline __u64 luo_pattern(__u64 seed, __u64 offset)
{
	__u64 x = (seed + 1) * 0x9e3779b97f4a7c15ULL ^ offset;

	x ^= x >> 31;
	return x * 0xbf58476d1ce4e5b9ULL;
}

static inline void luo_pattern_bytes(__u64 seed, __u64 offset, void *buf,
				     size_t len)
{
	size_t i;

	for (i = 0; i < len; i += sizeof(__u64)) {
		__u64 word = luo_pattern(seed, offset + i);
		size_t left = len - i;

		memcpy((char *)buf + i, &word, left < 8 ? left : 8);
	}
}

static inline int luo_fill(int fd, off_t offset, size_t len, __u64 seed)
{
	char buf[16384];

	while (len) {
		size_t part = len < sizeof(buf) ? len : sizeof(buf);
		ssize_t done;

		luo_pattern_bytes(seed, offset, buf, part);
		done = pwrite(fd, buf, part, offset);
		if (done < 0)
			return -errno;
		if ((size_t)done != part)
			return -EIO;
		offset += part;
		len -= part;
	}
	return 0;
}

/* 0 if the range holds what luo_fill() wrote, else -EILSEQ. */
static inline int luo_verify(int fd, off_t offset, size_t len, __u64 seed)
{
	char seen[16384], want[16384];

	while (len) {
		size_t part = len < sizeof(seen) ? len : sizeof(seen);
		ssize_t done = pread(fd, seen, part, offset);

		if (done < 0)
			return -errno;
		if ((size_t)done != part)
			return -EIO;
		luo_pattern_bytes(seed, offset, want, part);
		if (memcmp(seen, want, part))
			return -EILSEQ;
		offset += part;
		len -= part;
	}
	return 0;
}

/* A memfd with one of all combinations of seals, of which some need NOEXEC. */
static inline int luo_sealed_memfd(off_t size, int seals)
{
	unsigned int exec = seals & F_SEAL_EXEC ? MFD_NOEXEC_SEAL : MFD_EXEC;
	int fd = luo_memfd_flags("sealed", size,
				 MFD_CLOEXEC | MFD_ALLOW_SEALING | exec);

	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, seals)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* A memfd of @size bytes, filled with @seed. */
static inline int luo_filled_memfd(off_t size, __u64 seed)
{
	int fd = luo_memfd(size);
	int err;

	if (fd < 0)
		return fd;
	err = luo_fill(fd, 0, size, seed);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

#define LUO_THP		"/sys/kernel/mm/transparent_hugepage/"

/* luo_filled_memfd() in folios of the size of huge pages. */
static inline int luo_thp_memfd(off_t size, __u64 seed)
{
	int err = luo_write(LUO_THP "shmem_enabled", "always");
	int fd = luo_filled_memfd(size, seed);

	err = err ?: luo_write(LUO_THP "shmem_enabled", "never");
	if (err && fd >= 0)
		close(fd);
	return err ?: fd;
}

static inline off_t luo_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_size;
}

#endif /* LUO_TEST_H */
