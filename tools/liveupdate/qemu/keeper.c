// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "qemu.h"

/* Returns once the leader has died. */
static void wait_for_leader(struct guest *guest, int from)
{
	ssize_t len;
	char byte;

	/* Its client is to see it end. */
	if (guest->client >= 0)
		close(guest->client);
	guest->client = -1;
	do
		len = read(from, &byte, 1);
	while (len < 0 && errno == EINTR);
	close(from);
	if (len)
		_exit(EXIT_DONE);
	if (guest->qemu >= 0)
		close(guest->qemu);
	/* It may have been another one by then. */
	qemu_adopt(guest);
}

/* The leader's signals are not its own: a terminal that closes has both. */
static void keep(struct guest *guest, int from)
{
	setsid();
	wait_for_leader(guest, from);
	if (!lead(guest))
		_exit(EXIT_DONE);
	complain(NULL, guest->name);
	_exit(EXIT_FAILED);
}

int keeper_start(struct guest *guest)
{
	int ends[2], err;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return fail_errno(errno, "starting a keeper");
	pid = fork();
	if (!pid) {
		close(ends[1]);
		/* Another one is to see the leader die, too. */
		keeper_forget(guest);
		keep(guest, ends[0]);
	}
	err = errno;
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		return fail_errno(err, "starting a keeper");
	}
	guest->keeper = pid;
	guest->keeper_pipe = ends[1];
	return 0;
}

void keeper_forget(struct guest *guest)
{
	if (guest->keeper_pipe >= 0)
		close(guest->keeper_pipe);
	guest->keeper_pipe = -1;
	guest->keeper = 0;
}

static void dismiss(pid_t keeper, int pipe)
{
	if (write(pipe, "d", 1) != 1)
		kill(keeper, SIGKILL);
	close(pipe);
	waitpid(keeper, NULL, 0);
}

void keeper_dismiss(struct guest *guest)
{
	if (guest->keeper)
		dismiss(guest->keeper, guest->keeper_pipe);
	guest->keeper = 0;
	guest->keeper_pipe = -1;
}

int keeper_renew(struct guest *guest)
{
	pid_t before = guest->keeper;
	int pipe = guest->keeper_pipe, err;

	if (!before)
		return keeper_start(guest);
	err = keeper_start(guest);
	dismiss(before, pipe);
	if (err) {
		guest->keeper = 0;
		guest->keeper_pipe = -1;
	}
	return err;
}
