// SPDX-License-Identifier: GPL-2.0
/*
 * The state of devices. With x-ignore-shared QEMU leaves out memory that is a
 * shared file: what is left takes the way of a migration, through a pipe, as
 * every version of QEMU can.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu.h"

#define STALL_MS	60000
#define ASK_MS		5
/* Memory of displays and the like is in it: more than that is an attack. */
#define STATE_MAX	(1ll << 30)

static int prepare(struct qmp *qmp, int fd)
{
	json_t *result;
	int err = qmp_do(qmp, "migrate-set-capabilities",
			 json_pack("{s:[{s:s, s:b}]}", "capabilities",
				   "capability", "x-ignore-shared", "state", 1));

	if (!err)
		err = qmp_do(qmp, "migrate-set-parameters",
			     json_pack("{s:I}", "max-bandwidth", (json_int_t)1 << 40));
	if (err)
		return err;
	result = qmp_ask(qmp, "getfd", json_pack("{s:s}", "fdname", "luo"), fd);
	json_decref(result);
	return result ? 0 : -1;
}

/* All that comes out of the pipe. */
static int drain(const struct guest *guest, int from)
{
	struct pollfd readable = { .fd = from, .events = POLLIN };
	long long size = 0;
	ssize_t len;

	do {
		if (poll(&readable, 1, limit_left(limit_in(guest, STALL_MS))) != 1)
			return fail("QEMU does not send its state in time");
		len = splice(from, NULL, guest->state, NULL, 1 << 20, 0);
		size += len > 0 ? len : 0;
		if (size > STATE_MAX)
			return fail("QEMU's state has more than %lld bytes", STATE_MAX);
	} while (len > 0);
	return len ? fail_errno(errno, "storing the state") : 0;
}

/* 0: it was completed, 1: it is under way, 2: there is none yet; else it has failed. */
static int ask_progress(struct qmp *qmp)
{
	json_t *result = qmp_ask(qmp, "query-migrate", NULL, -1);
	const char *status = json_string_value(json_object_get(result, "status")) ?: "none";
	const char *reason = json_string_value(json_object_get(result, "error-desc"));
	int progress = 1;

	if (!strcmp(status, "completed"))
		progress = 0;
	else if (!strcmp(status, "none"))
		progress = 2;
	else if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
		progress = fail("QEMU: migration %s: %s", status, reason ?: "no reason given");
	json_decref(result);
	return result ? progress : -1;
}

/* Wait until a migration has ended, either way. All of the state is in the pipe or through. */
static int complete(struct guest *guest, struct qmp *qmp)
{
	struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };
	int64_t limit = limit_in(guest, STALL_MS);
	int progress;

	do {
		progress = ask_progress(qmp);
		if (progress <= 0)
			return progress;
		poll(&ended, 1, ASK_MS);
	} while (limit_left(limit));
	return fail("QEMU: the migration does not end in time");
}

int migrate_cancel(struct guest *guest, struct qmp *qmp)
{
	if (qmp_do(qmp, "migrate_cancel", NULL))
		return -1;
	/* Whether that came in time does not matter. */
	if (ask_progress(qmp) == 1)
		complete(guest, qmp);
	return qemu_runs(guest) ? 0 : -1;
}

int state_digest(const struct guest *guest, uint64_t *bytes, uint64_t *digest)
{
	const uint8_t *data;
	struct stat st;
	off_t i;

	*digest = 0xcbf29ce484222325;	/* FNV-1a */
	if (fstat(guest->state, &st))
		return fail_errno(errno, "state");
	*bytes = st.st_size;
	if (!st.st_size)
		return 0;
	data = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, guest->state, 0);
	if (data == MAP_FAILED)
		return fail_errno(errno, "state");
	for (i = 0; i < st.st_size; i++)
		*digest = (*digest ^ data[i]) * 0x100000001b3;
	munmap((void *)data, st.st_size);
	return 0;
}

int migrate_out(struct guest *guest, struct qmp *qmp)
{
	int ends[2], err;

	if (ftruncate(guest->state, 0) || lseek(guest->state, 0, SEEK_SET) ||
	    pipe2(ends, O_CLOEXEC))
		return fail_errno(errno, "storing the state");
	err = prepare(qmp, ends[1]);
	close(ends[1]);
	if (!err)
		err = qmp_do(qmp, "migrate", json_pack("{s:s}", "uri", "fd:luo"));
	if (!err)
		err = drain(guest, ends[0]);
	close(ends[0]);
	return err ?: complete(guest, qmp);
}

static void close_all_but(unsigned int a, unsigned int b)
{
	unsigned int low = a < b ? a : b, high = a < b ? b : a;

	if (low > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
}

/*
 * A process for itself: the pipe is full until QEMU reads. It has nothing else
 * open, whose last close somebody waits for.
 */
static pid_t pump(int from, int to)
{
	struct stat st;
	off_t at = 0;
	pid_t pid = fork();

	if (pid)
		return pid;
	close_all_but(from, to);
	if (fstat(from, &st))
		_exit(1);
	while (at < st.st_size && sendfile(to, from, &at, st.st_size - at) > 0)
		;
	_exit(0);
}

int migrate_in(struct guest *guest, struct qmp *qmp)
{
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC))
		return fail_errno(errno, "pipe");
	err = prepare(qmp, ends[0]);
	if (!err && pump(guest->state, ends[1]) < 0)
		err = fail_errno(errno, "fork");
	close(ends[0]);
	close(ends[1]);
	if (!err)
		err = qmp_do(qmp, "migrate-incoming", json_pack("{s:s}", "uri", "fd:luo"));
	return err ?: complete(guest, qmp);
}
