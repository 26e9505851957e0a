// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of preserved memory in the next kernel: freed if nobody wants
 * it, charged to who does, and there for all of it whatever is left over.
 */

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kexec_scenarios.h"

/* ---- freed ---- */

#define LARGE	(96 * MIB)

static void save_large(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, luo_filled_memfd(LARGE, 4), 1));
}

static void check_large_freed(long long before)
{
	CHECK_AT_LEAST(before + LARGE / 32 * 31, luo_free_memory());
}

static void check_freed(const struct scenario *s)
{
	int session = incoming(s);
	long long before;

	CHECK_FD(session);
	before = luo_free_memory();
	CHECK_OK(luo_finish(session));
	check_large_freed(before);
}

static void check_freed_after_use(const struct scenario *s)
{
	int session = incoming(s), fd;
	long long before;

	CHECK_FD(session);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_OK(luo_verify(fd, 0, LARGE, 4));
	CHECK_OK(luo_finish(session));
	before = luo_free_memory();
	close(fd);
	check_large_freed(before);
}

/* ---- charged ---- */

int enter_cgroup(char path[64])
{
	char dir[32], procs[96];

	if (mount_cgroup(dir))
		return -errno;
	snprintf(procs, sizeof(procs), "%s/cgroup.subtree_control", dir);
	if (luo_write(procs, "+memory"))
		return -ENODEV;
	snprintf(path, 64, "%s/luo-%d", dir, getpid());
	if (mkdir(path, 0755))
		return -errno;
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	return luo_write(procs, "0");
}

static void check_charge(const struct scenario *s)
{
	char group[64], current[96];
	long long before;
	int session, fd;

	CHECK_OK(enter_cgroup(group));
	snprintf(current, sizeof(current), "%s/memory.current", group);
	session = incoming(s);
	CHECK_FD(session);
	before = luo_read_number(current);
	CHECK_FD(before);
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_AT_LEAST(before + LARGE, luo_read_number(current));
	CHECK_OK(luo_finish(session));
	close(fd);
	close(session);
	CHECK_AT_LEAST(luo_read_number(current), before + LARGE / 8);
}

void run_apart(void (*fn)(const struct scenario *s), const struct scenario *s)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		fn(s);
		_exit(0);
	}
	CHECK_EQ(pid, waitpid(pid, &status, 0));
	CHECK_EQ(0, status);
}

static void check_charged(const struct scenario *s)
{
	run_apart(check_charge, s);
}

/* Of one of the group's files, each line of which is a word and a number. */
static long long group_number(const char *group, const char *file, const char *word)
{
	char line[128], name[64];
	long long number, found = -ENOENT;
	FILE *f;

	snprintf(line, sizeof(line), "%s/%s", group, file);
	f = fopen(line, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lld", name, &number) == 2 && !strcmp(name, word))
			found = number;
	}
	if (f)
		fclose(f);
	return found;
}

long long kernel_pages_of(const char *group)
{
	long long kernel = group_number(group, "memory.stat", "kernel");
	long long slab = group_number(group, "memory.stat", "slab");

	return kernel < 0 || slab < 0 ? -1 : (kernel - slab) / 4096;
}

/* A page of records has room for 51 sessions. */
#define MANY_SESSIONS	1020
/* What other scenarios keep open is inherited. */
#define MANY_FILES	8192

static void check_records_charge(const struct scenario *s)
{
	const struct rlimit limit = { MANY_FILES, MANY_FILES };
	char group[64], name[64];
	long long before;
	int i;

	CHECK_OK(enter_cgroup(group));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	before = kernel_pages_of(group);
	CHECK_AT_LEAST(0, before);
	for (i = 0; i < MANY_SESSIONS; i++) {
		snprintf(name, sizeof(name), "charged %d", i);
		CHECK_FD(luo_create(dev, name));
	}
	CHECK_AT_LEAST(before + MANY_SESSIONS / 51 - 2, kernel_pages_of(group));
}

static void check_records_charged(const struct scenario *s)
{
	run_apart(check_records_charge, s);
}

/* ---- more than who preserves may have ---- */

#define CAPPED_FILE	(160 * MIB)

/*
 * Room for some of the records of the file, but not for all. Each CPU may have up
 * to 63 pages at hand that were charged before.
 */
static int cap_group(const char *group)
{
	char path[96], limit[32];
	long long now;

	snprintf(path, sizeof(path), "%s/memory.current", group);
	now = luo_read_number(path);
	if (now < 0)
		return now;
	snprintf(path, sizeof(path), "%s/memory.max", group);
	snprintf(limit, sizeof(limit), "%lld", now + CAPPED_FILE / 4096 * 16 / 16);
	return luo_write(path, limit);
}

static void check_capped(const struct scenario *s)
{
	char group[64], path[96];
	int session = outgoing(s), fd;

	CHECK_FD(session);
	CHECK_OK(enter_cgroup(group));
	fd = luo_filled_memfd(CAPPED_FILE, 6);
	CHECK_FD(fd);
	CHECK_OK(cap_group(group));
	CHECK_EQ(-ENOMEM, luo_preserve(session, fd, 1));
	CHECK_EQ(0, luo_count_files(session));
	CHECK_EQ(0, group_number(group, "memory.events", "oom_kill"));

	snprintf(path, sizeof(path), "%s/memory.max", group);
	CHECK_OK(luo_write(path, "max"));
	CHECK_OK(luo_verify(fd, 0, CAPPED_FILE, 6));
	CHECK_OK(luo_preserve(session, fd, 1));
}

static void check_full_cgroup(const struct scenario *s)
{
	run_apart(check_capped, s);
}

/* ---- more than the RAM that is left over ---- */

/* Of all RAM; in the next kernel the rest is less than the file at first. */
#define FULL_PERCENT	55

static long long full_size(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return -errno;
	return info.totalram * info.mem_unit / 100 * FULL_PERCENT & ~4095ll;
}

static void save_full(const struct scenario *s)
{
	int session = outgoing(s), fd = luo_filled_memfd(full_size(), 5);

	CHECK_FD(session);
	CHECK_FD(fd);
	CHECK_OK(luo_preserve(session, fd, 1));
}

static int retrieve_full(const struct scenario *s)
{
	int session = incoming(s), fd;
	struct sysinfo info;

	CHECK_FD(session);
	CHECK_OK(sysinfo(&info));
	fd = luo_retrieve_fd(session, 1);
	CHECK_FD(fd);
	CHECK_AT_LEAST(info.totalram * info.mem_unit, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, luo_size(fd), 5));
	CHECK_OK(luo_finish(session));
	return fd;
}

static void hand_full_on(const struct scenario *s)
{
	int next = outgoing(s);

	CHECK_FD(next);
	CHECK_EQ(0, luo_read_number("/proc/sys/vm/overcommit_memory"));
	CHECK_OK(luo_preserve(next, retrieve_full(s), 1));
}

static void check_full_without_overcommit(const struct scenario *s)
{
	CHECK_OK(luo_write("/proc/sys/vm/overcommit_ratio", "100"));
	CHECK_OK(luo_write("/proc/sys/vm/overcommit_memory", "2"));
	retrieve_full(s);
	CHECK_OK(luo_write("/proc/sys/vm/overcommit_memory", "0"));
}

const struct scenario use_scenarios[] = {
	{ .name = "freed if nobody wants it", .stage = { save_large, check_freed },
	  .mainline = true },
	{ .name = "freed after use", .stage = { save_large, check_freed_after_use },
	  .mainline = true },
	{ .name = "charged to who retrieves", .stage = { save_large, check_charged } },
	{ .name = "records are charged to who makes them",
	  .stage = { check_records_charged } },
	{ .name = "a full memory cgroup refuses and kills nobody",
	  .stage = { check_full_cgroup } },
	{ .name = "full: a file larger than the RAM left over", .alone = true,
	  .stage = { save_full, hand_full_on, check_full_without_overcommit } },
	{ }
};
