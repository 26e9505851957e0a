// SPDX-License-Identifier: GPL-2.0
/*
 * What runs last: sessions that are in the making while the machine jumps, and that
 * of all scenarios nothing is left.
 */

#include <pthread.h>

#include "kexec_scenarios.h"

/* ---- in the middle of everything ---- */

#define BUSY_THREADS	4
#define BUSY_FILES	5
#define BUSY_SIZE	8192

/* Closed before the jump for all others. */
static int busy_dev = -1;

static int busy_session(int i, int (*get)(int dev, const char *name), int device)
{
	char name[16];

	snprintf(name, sizeof(name), "busy %d", i);
	return get(device, name);
}

/* Makes, fills, empties and closes its session until the machine jumps. */
static void *be_busy(void *arg)
{
	int i = (intptr_t)arg, token, session;
	unsigned int seed = i;

	for (;;) {
		session = busy_session(i, luo_create, busy_dev);
		for (token = 0; token < BUSY_FILES; token++)
			preserve_filled(session, BUSY_SIZE, i * BUSY_FILES + token, token);
		for (token = rand_r(&seed) % BUSY_FILES; token < BUSY_FILES; token++)
			luo_unpreserve(session, token);
		close(session);
	}
	return NULL;
}

static void save_busy(const struct scenario *s)
{
	busy_dev = dup(dev);
	CHECK_FD(busy_dev);
}

static void start_busy(void)
{
	pthread_t thread;
	intptr_t i;

	if (busy_dev < 0)
		return;
	for (i = 0; i < BUSY_THREADS; i++)
		pthread_create(&thread, NULL, be_busy, (void *)i);
	sleep(1);
}

/* Whatever has arrived is whole. */
static void check_busy(const struct scenario *s)
{
	struct liveupdate_file_entry entry;
	int i, session, err;
	__u64 cursor;

	for (i = 0; i < BUSY_THREADS; i++) {
		session = busy_session(i, luo_retrieve, dev);
		if (session == -ENOENT)
			continue;
		CHECK_FD(session);
		cursor = 0;
		while ((err = luo_list_files(session, &cursor, &entry, 1)) == 1)
			CHECK_OK(check_filled(session, BUSY_SIZE,
					      i * BUSY_FILES + entry.token, entry.token));
		CHECK_OK(err);
		CHECK_OK(luo_finish(session));
	}
}

/* ---- nothing left ---- */

static void check_nothing_left(const struct scenario *s)
{
	struct liveupdate_session_entry entry;
	__u64 cursor = 0;
	char state[32];

	while (luo_list_sessions(dev, &cursor, &entry, 1) == 1) {
		if (entry.state == LIVEUPDATE_SESSION_STATE_INCOMING)
			printf("    # left: %s\n", entry.name);
	}
	CHECK_OK(luo_read_line(LUO_SYSFS "state", state, sizeof(state)));
	CHECK_EQ(0, strcmp("normal", state));
	CHECK_EQ(0, luo_read_number(LUO_SYSFS "incoming_files"));
}

const struct scenario last_scenarios[] = {
	{ .name = "sessions in the making at the jump",
	  .stage = { save_busy, check_busy }, .jump = start_busy },
	{ .name = "nothing is left", .stage = { NULL, NULL, check_nothing_left } },
	{ }
};
