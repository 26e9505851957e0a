// SPDX-License-Identifier: GPL-2.0
/*
 * From a running guest to a session that has it. QEMU keeps the guest until the
 * session has all of it: whatever fails before that, the guest goes on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "qemu.h"

#define UNDO_MS		10000

int memfd_make(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_CLOEXEC);

	return fd < 0 ? fail_errno(errno, "memfd %s", name) : fd;
}

static unsigned int huge_flags(uint64_t huge)
{
	return huge ? MFD_HUGETLB | (unsigned int)__builtin_ctzll(huge) << MAP_HUGE_SHIFT : 0;
}

int ram_make(struct guest *guest)
{
	struct ram *ram;
	int i;

	for (i = 0; i < guest->ram_count; i++) {
		ram = &guest->rams[i];
		ram->fd = memfd_make(ram->id, huge_flags(ram->huge));
		if (ram->fd < 0)
			return -1;
		if (ftruncate(ram->fd, ram->size))
			return fail_errno(errno, "memory %s of %llu bytes", ram->id,
					  (unsigned long long)ram->size);
	}
	return 0;
}

static int preserve(struct guest *guest, int fd, uint64_t token, const char *what)
{
	int err = liveupdate_preserve_fd(guest->session, fd, token);

	return err ? fail_errno(err, "preserving %s", what) : 0;
}

int guest_open_session(struct guest *guest)
{
	int dev = device_open();

	if (dev < 0)
		return -1;
	guest->session = liveupdate_create_session(dev, guest->session_name);
	close(dev);
	return guest->session >= 0 ? 0 :
	       fail_errno(guest->session, "session %s", guest->session_name);
}

/* What takes long is done while the guest runs. */
static int preserve_rams(struct guest *guest)
{
	int err = 0, i;

	for (i = 0; i < guest->ram_count && !err; i++)
		err = preserve(guest, guest->rams[i].fd, TOKEN_RAM + i, guest->rams[i].id);
	return err;
}

/* A session with a manifest is whole. */
static int preserve_rest(struct guest *guest)
{
	return preserve(guest, guest->state, TOKEN_STATE, "the state") ?:
	       preserve(guest, guest->manifest, TOKEN_MANIFEST, "the manifest");
}

/* QEMU knows before it is asked to migrate what it can't. */
static int ask_blockers(struct qmp *qmp)
{
	json_t *answer = qmp_ask(qmp, "query-migrate", NULL, -1);
	json_t *reasons = json_object_get(answer, "blocked-reasons");
	const char *reason = json_string_value(json_array_get(reasons, 0));
	int err = answer ? 0 : -1;

	if (reason)
		err = fail("QEMU: %s", reason);
	json_decref(answer);
	return err;
}

int guest_check(struct guest *guest)
{
	struct qmp *qmp = qmp_open(guest);
	int err = qmp ? ask_blockers(qmp) ?: shape_check(guest, qmp) : -1;

	if (qmp)
		qmp_close(qmp);
	if (!err)
		err = manifest_check(guest);
	if (!err)
		err = guest_open_session(guest);
	if (!err)
		err = preserve_rams(guest);
	if (guest->session >= 0)
		close(guest->session);
	guest->session = -1;
	return err;
}

/* The one clock that two kernels have in common. */
static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int stop_guest(struct guest *guest, struct qmp *qmp)
{
	json_t *status = qmp_ask(qmp, "query-status", NULL, -1);
	json_t *type = status ? qmp_ask(qmp, "qom-get", json_pack("{s:s, s:s}", "path", "/machine",
								  "property", "type"), -1) : NULL;
	const char *name = json_string_value(type);
	static const char suffix[] = "-machine";
	size_t len = name ? strlen(name) : 0;

	if (len > strlen(suffix) && !strcmp(name + len - strlen(suffix), suffix))
		snprintf(guest->shared->machine, sizeof(guest->shared->machine), "%.*s",
			 (int)(len - strlen(suffix)), name);
	guest->shared->ran = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	json_decref(type);
	if (!status || !type)
		return -1;
	if (!*guest->shared->machine)
		return fail("QEMU does not tell the type of its machine");
	guest->shared->stopped = now();
	return qmp_do(qmp, "stop", NULL);
}

static int save_state(struct guest *guest)
{
	struct qmp *qmp = qmp_open(guest);
	int err;

	if (!qmp)
		return -1;
	err = ask_blockers(qmp) ?: shape_check(guest, qmp);
	if (!err)
		err = stop_guest(guest, qmp);
	if (!err)
		err = migrate_out(guest, qmp);
	if (!err)
		err = manifest_write(guest);
	if (!err)
		err = preserve_rest(guest);
	qmp_close(qmp);
	return err;
}

int guest_save(struct guest *guest)
{
	if (preserve_rams(guest) || save_state(guest))
		return -1;
	guest->shared->phase = PHASE_SAVED;
	/* The state is out and its disks are written: it has nothing more to do. */
	qemu_end_soon(guest);
	return 0;
}

int guest_save_again(struct guest *guest)
{
	if (guest->shared->continued)
		return fail("the guest is being started: try again");
	qemu_end(guest, SIGKILL);
	guest->shared->phase = PHASE_LOADING;
	if (guest_end_session(guest) || guest_open_session(guest))
		return -1;
	if (preserve_rams(guest) || preserve_rest(guest) || keeper_renew(guest)) {
		close(guest->session);
		guest->session = -1;
		return -1;
	}
	guest->shared->phase = PHASE_SAVED;
	guest->shared->ended = false;
	return 0;
}

static int let_run(struct guest *guest)
{
	struct shared *shared = guest->shared;
	struct qmp *qmp;
	int err;

	if (!shared->ran)
		return qemu_runs(guest) ? 0 : fail("QEMU has ended");
	qmp = qmp_open(guest);
	if (!qmp)
		return -1;
	shared->continued = true;
	err = qmp_do(qmp, "cont", NULL);
	shared->continued = !err || qmp_is_open_ended(qmp);
	qmp_close(qmp);
	if (!err && shared->stopped)
		shared->still = now() - shared->stopped;
	return err;
}

/* If this fails and QEMU has the guest still it can be tried again. */
int guest_run_on(struct guest *guest)
{
	struct shared *shared = guest->shared;
	bool stands = shared->phase != PHASE_SAVING || shared->stopped;
	int err = stands ? let_run(guest) : 0;

	if (err && (qemu_runs(guest) ||
		    (shared->phase == PHASE_STARTING && !shared->continued)))
		return err;
	shared->phase = PHASE_RUNNING;
	shared->stopped = 0;
	shared->ended = false;
	shared->continued = false;
	keeper_dismiss(guest);
	return err;
}

int guest_undo(struct guest *guest)
{
	struct qmp *qmp = qmp_open(guest);
	int err = qmp ? migrate_cancel(guest, qmp) : -1;

	if (qmp)
		qmp_close(qmp);
	/* No kernel is to resume what goes on here. */
	guest_end_session(guest);
	return err && qemu_runs(guest) ? err : guest_run_on(guest);
}

int guest_undo_soon(struct guest *guest)
{
	int err;

	guest->limit = 0;
	guest->limit = limit_in(guest, UNDO_MS);
	err = guest_undo(guest);
	guest->limit = 0;
	return err;
}
