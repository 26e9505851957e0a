// SPDX-License-Identifier: GPL-2.0
/*
 * From a session to a running guest. The session is ended when QEMU has loaded
 * everything and before the guest runs: until then it goes back to the kernel
 * whole, and from then on nobody can start the guest a second time. If QEMU does
 * not let it run then, only our files have it: it is tried again until it runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu.h"

static int retrieve(struct guest *guest, uint64_t token, const char *what)
{
	int fd = liveupdate_retrieve_fd(guest->session, token);

	return fd < 0 ? fail_errno(fd, "retrieving %s", what) : fd;
}

static int retrieve_rams(struct guest *guest)
{
	struct ram *ram;
	struct stat st;
	int i;

	for (i = 0; i < guest->ram_count; i++) {
		ram = &guest->rams[i];
		ram->fd = retrieve(guest, TOKEN_RAM + i, ram->id);
		if (ram->fd < 0)
			return -1;
		if (fstat(ram->fd, &st))
			return fail_errno(errno, "memory %s", ram->id);
		if ((uint64_t)st.st_size != ram->size)
			return fail("memory %s has %llu bytes, not %llu", ram->id,
				    (unsigned long long)st.st_size, (unsigned long long)ram->size);
	}
	return 0;
}

/* "MAJOR.MINOR.PATCH" as a number to compare by, without PATCH. */
static unsigned long release_of(const char *version)
{
	char *end;
	unsigned long major = strtoul(version, &end, 10);

	return major * 1000 + (*end == '.' ? strtoul(end + 1, NULL, 10) : 0);
}

/* QEMU reads the state of older ones, not of newer ones. */
int guest_check_version(struct guest *guest)
{
	char version[sizeof(guest->version)];

	if (qemu_version(guest->program, version, sizeof(version)))
		return -1;
	if (release_of(version) >= release_of(guest->version)) {
		/* Whoever is next has to read the state of this one. */
		memcpy(guest->version, version, sizeof(version));
		return 0;
	}
	return fail("saved by QEMU %s, and %s is %s: name a newer one by --qemu", guest->version,
		    guest->program, version);
}

static int check_state(const struct guest *guest)
{
	uint64_t bytes, digest;

	if (state_digest(guest, &bytes, &digest))
		return -1;
	return bytes == guest->state_bytes && digest == guest->digest ? 0 :
	       fail("the state is damaged: %llu bytes, saved were %llu",
		    (unsigned long long)bytes, (unsigned long long)guest->state_bytes);
}

static int claim(struct guest *guest)
{
	int dev = device_open();

	if (dev < 0)
		return -1;
	guest->session = liveupdate_claim_session(dev, guest->session_name);
	close(dev);
	return guest->session >= 0 ? 0 :
	       fail_errno(guest->session, "session %s", guest->session_name);
}

int guest_claim(struct guest *guest)
{
	if (claim(guest))
		return -1;
	guest->incoming = true;
	guest->manifest = retrieve(guest, TOKEN_MANIFEST, "the manifest");
	if (guest->manifest < 0 || manifest_read(guest) || mark_check(guest) ||
	    mounts_check(guest) || guest_check_version(guest))
		return -1;
	guest->state = retrieve(guest, TOKEN_STATE, "the state");
	if (guest->state < 0 || check_state(guest))
		return -1;
	return retrieve_rams(guest);
}

/*
 * An incoming session ends for all who have it open, an outgoing one with the
 * last of them. -EINVAL: the leader that died had done it.
 */
int guest_end_session(struct guest *guest)
{
	bool before = guest->shared->ended;
	int err;

	if (guest->session < 0)
		return 0;
	guest->shared->ended = true;
	err = guest->incoming ? liveupdate_finish(guest->session) : 0;
	if (err && !(err == -EINVAL && before)) {
		guest->shared->ended = false;
		return fail_errno(err, "finishing the session");
	}
	close(guest->session);
	guest->session = -1;
	if (!guest->incoming && keeper_renew(guest))
		complain(NULL, guest->name);
	guest->incoming = false;
	return 0;
}

static int load_state(struct guest *guest)
{
	struct qmp *qmp;
	int err;

	if (qemu_start(guest, true))
		return -1;
	qmp = qmp_open(guest);
	if (!qmp)
		return -1;
	err = migrate_in(guest, qmp) ?: shape_take(guest, qmp);
	qmp_close(qmp);
	return err;
}

/* An outgoing session is whole until its last close. */
static int fall_back(struct guest *guest)
{
	qemu_end(guest, SIGKILL);
	guest->shared->phase = guest->session >= 0 && !guest->incoming ?
			       PHASE_SAVED : PHASE_LOADING;
	return -1;
}

/* The kernel has the guest still, and we are to end. */
static bool is_called_back(const struct guest *guest)
{
	return guest->incoming && !guest->shared->ended && signals_end();
}

int guest_load(struct guest *guest)
{
	struct shared *shared = guest->shared;

	if (shared->phase == PHASE_STARTING && !shared->continued && !qemu_runs(guest))
		shared->phase = PHASE_LOADING;
	if (shared->phase == PHASE_LOADING) {
		/* Of a leader that died. */
		qemu_end(guest, SIGKILL);
		if (load_state(guest))
			return fall_back(guest);
		shared->phase = PHASE_STARTING;
	}
	if (!shared->continued && !qemu_runs(guest)) {
		fail("QEMU has ended");
		return fall_back(guest);
	}
	if (is_called_back(guest)) {
		fail("ended before the guest ran: it is with the kernel");
		return fall_back(guest);
	}
	if (guest_end_session(guest))
		return fall_back(guest);
	return guest_run_on(guest);
}
