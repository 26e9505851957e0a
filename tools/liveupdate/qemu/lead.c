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

static void tell_ready(struct guest *guest)
{
	if (!guest->told)
		notify_ready(getpid());
	guest->told = true;
	if (guest->ready < 0)
		return;
	if (write(guest->ready, "r", 1) != 1)
		fprintf(stderr, "luo-qemu: %s: nobody waits for the guest\n", guest->name);
	close(guest->ready);
	guest->ready = -1;
}

void guest_recover(struct guest *guest)
{
	if (guest->shared->phase == PHASE_SAVING && guest_undo(guest))
		fprintf(stderr, "luo-qemu: %s: %s\n", guest->name, fail_message());
	else if (guest->shared->phase == PHASE_SAVED)
		qemu_end(guest, SIGKILL);
}

static void keep(struct guest *guest)
{
	while (guest->shared->phase != PHASE_RUNNING && !guest->keeper && keeper_start(guest))
		guest_recover(guest);
	if (guest->shared->phase == PHASE_RUNNING)
		keeper_dismiss(guest);
}

/* Children that ended. A keeper is replaced where one is needed. */
static void reap(struct guest *guest)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (pid != guest->keeper)
			continue;
		close(guest->keeper_pipe);
		guest->keeper = 0;
	}
}

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A saved guest is there as long as we are: only reboot() ends that. */
static void take_signals(struct guest *guest, int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(guest);
		else if (guest->shared->phase == PHASE_RUNNING)
			qemu_end(guest, SIGTERM);
		else
			fprintf(stderr, "luo-qemu: %s: stays, the guest is saved\n", guest->name);
	}
}

static void wait_for_work(struct guest *guest, int signals)
{
	struct pollfd events[] = {
		{ .fd = guest->control, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = guest->qemu, .events = POLLIN },
	};

	if (poll(events, ARRAY_SIZE(events), -1) < 0)
		return;
	if (events[1].revents)
		take_signals(guest, signals);
	if (events[0].revents)
		control_serve(guest);
}

int lead(struct guest *guest)
{
	int signals = block_signals();

	if (signals < 0)
		return fail_errno(errno, "signalfd");
	/* A client that does not wait for its answer ends nobody. */
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		keep(guest);
		if (guest->shared->phase >= PHASE_LOADING) {
			if (guest_load(guest)) {
				keeper_dismiss(guest);
				return -1;
			}
			continue;
		}
		if (guest->shared->phase == PHASE_RUNNING && !qemu_runs(guest))
			break;
		tell_ready(guest);
		wait_for_work(guest, signals);
	}
	keeper_dismiss(guest);
	qemu_end(guest, SIGTERM);
	control_end(guest);
	return 0;
}
