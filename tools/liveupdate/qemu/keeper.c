// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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
		_exit(0);
	guest->keeper = 0;
	guest->keeper_pipe = -1;
	if (guest->qemu >= 0)
		close(guest->qemu);
	/* It may have been another one by then. */
	qemu_adopt(guest);
}

bool keeper_start(struct guest *guest)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return false;
	guest->keeper = fork();
	if (!guest->keeper) {
		close(ends[1]);
		wait_for_leader(guest, ends[0]);
		return true;
	}
	close(ends[0]);
	guest->keeper_pipe = ends[1];
	if (guest->keeper < 0) {
		close(ends[1]);
		guest->keeper = 0;
	}
	return false;
}

void keeper_dismiss(struct guest *guest)
{
	if (!guest->keeper)
		return;
	if (write(guest->keeper_pipe, "d", 1) != 1)
		kill(guest->keeper, SIGKILL);
	close(guest->keeper_pipe);
	waitpid(guest->keeper, NULL, 0);
	guest->keeper = 0;
}
