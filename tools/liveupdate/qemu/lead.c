// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"

/* What failed is tried again so soon. */
#define RETRY_MS	2000

/* Whoever waits learns that the guest runs, a manager that it is in good hands. */
static void tell_ready(struct guest *guest)
{
	if (!guest->told)
		notify_ready(getpid());
	guest->told = true;
	if (guest->ready < 0 || guest->shared->phase != PHASE_RUNNING)
		return;
	if (write(guest->ready, "r", 1) != 1)
		fprintf(stderr, "luo-qemu: %s: nobody waits for the guest\n", guest->name);
	close(guest->ready);
	guest->ready = -1;
}

static bool is_settled(const struct guest *guest)
{
	return guest->shared->phase == PHASE_RUNNING || guest->shared->phase == PHASE_SAVED;
}

int guest_settle(struct guest *guest)
{
	if (is_settled(guest))
		return 0;
	return guest->shared->phase == PHASE_SAVING ? guest_undo(guest) : guest_load(guest);
}

/* One that is needed but can't be had is tried again. */
static void keep(struct guest *guest)
{
	if (guest->shared->phase == PHASE_RUNNING)
		keeper_dismiss(guest);
	else if (!guest->keeper && keeper_start(guest))
		complain(NULL, guest->name);
}

/* Children that ended. A keeper is replaced where one is needed. */
static void reap(struct guest *guest)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == guest->keeper)
			keeper_forget(guest);
		else if (pid == guest->shared->qemu)
			guest->status = status;
	}
}

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

int signals_take(struct guest *guest)
{
	sigset_t set;

	ending_signals(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	guest->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return guest->signals < 0 ? fail_errno(errno, "signalfd") : 0;
}

bool signals_end(void)
{
	sigset_t set;

	ending_signals(&set);
	return sigtimedwait(&set, NULL, &(struct timespec){ 0 }) > 0;
}

/* A saved guest is there as long as we are: only reboot() ends that. */
static void serve_signals(struct guest *guest)
{
	struct signalfd_siginfo info;

	while (read(guest->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(guest);
		else if (guest->shared->phase == PHASE_RUNNING)
			qemu_end(guest, SIGTERM);
		else
			fprintf(stderr, "luo-qemu: %s: stays, nobody else has the guest\n",
				guest->name);
	}
}

static void wait_for_work(struct guest *guest, int timeout)
{
	struct pollfd events[] = {
		{ .fd = guest->control, .events = POLLIN },
		{ .fd = guest->signals, .events = POLLIN },
		{ .fd = guest->qemu, .events = POLLIN },
	};

	if (poll(events, ARRAY_SIZE(events), timeout) <= 0)
		return;
	if (events[1].revents)
		serve_signals(guest);
	if (events[0].revents)
		control_serve(guest);
}

/* How QEMU ended, as far as we are who is told. */
static int judge_end(struct guest *guest)
{
	int status;

	if (guest->shared->qemu && waitpid(guest->shared->qemu, &status, WNOHANG) > 0)
		guest->status = status;
	if (WIFSIGNALED(guest->status))
		return fail("QEMU was ended by signal %d", WTERMSIG(guest->status));
	return WEXITSTATUS(guest->status) ?
	       fail("QEMU has ended with exit code %d", WEXITSTATUS(guest->status)) : 0;
}

static bool is_due(const struct guest *guest, int64_t again)
{
	return !is_settled(guest) &&
	       (!limit_left(again) || (guest->qemu >= 0 && !qemu_runs(guest)));
}

static int try_to_settle(struct guest *guest)
{
	return guest->shared->phase == PHASE_SAVING ? guest_undo_soon(guest) : guest_settle(guest);
}

/* Returns 0 or -1 once there is nothing to be led. */
static int serve(struct guest *guest)
{
	struct shared *shared = guest->shared;
	int64_t again = 0;
	int err;

	for (;;) {
		/* Of a leader that died, or one that takes its time. */
		if (shared->phase == PHASE_SAVED)
			qemu_end_soon(guest);
		keep(guest);
		err = is_due(guest, again) ? try_to_settle(guest) : 0;
		if (err) {
			/* The kernel has it. */
			if (guest->incoming && !shared->ended)
				return -1;
			complain(NULL, guest->name);
			again = limit_in(guest, RETRY_MS);
		}
		if (shared->phase == PHASE_RUNNING && !qemu_runs(guest))
			return judge_end(guest) ?: err;
		tell_ready(guest);
		wait_for_work(guest, is_settled(guest) ? -1 : limit_left(again));
	}
}

int lead(struct guest *guest)
{
	int err = serve(guest);

	keeper_dismiss(guest);
	qemu_end(guest, SIGTERM);
	control_end(guest);
	return err;
}
