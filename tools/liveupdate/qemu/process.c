// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"

#define END_MS		5000

/* Ends the process; whoever started it reads the errno. */
static void exec_qemu(const struct guest *guest, char **arguments, int said)
{
	sigset_t none;
	int err, i;

	for (i = 0; i < guest->ram_count; i++)
		fcntl(guest->rams[i].fd, F_SETFD, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(guest->program, arguments);
	err = errno;
	if (write(said, &err, sizeof(err)) != sizeof(err))
		_exit(2);
	_exit(1);
}

/* Nobody is to find the socket of a QEMU that has ended. */
static void forget_socket(const struct guest *guest)
{
	struct sockaddr_un address;

	if (!socket_address(guest->directory, guest->name, "qmp", &address))
		unlink(address.sun_path);
}

int qemu_start(struct guest *guest, bool incoming)
{
	char **arguments = arguments_make(guest, incoming);
	int said[2], err = 0;
	pid_t pid;

	if (!arguments || pipe2(said, O_CLOEXEC))
		return fail_errno(errno, "starting QEMU");
	forget_socket(guest);
	pid = fork();
	if (!pid)
		exec_qemu(guest, arguments, said[1]);
	close(said[1]);
	arguments_free(arguments);
	if (pid < 0 || read(said[0], &err, sizeof(err)) > 0)
		err = err ?: errno;
	close(said[0]);
	if (err)
		return fail_errno(err, "%s", guest->program);
	guest->shared->qemu = pid;
	guest->status = 0;
	qemu_adopt(guest);
	return guest->qemu < 0 ? fail_errno(errno, "%s", guest->program) : 0;
}

void qemu_adopt(struct guest *guest)
{
	guest->qemu = guest->shared->qemu ? pidfd_open(guest->shared->qemu, 0) : -1;
	if (guest->qemu >= 0)
		fcntl(guest->qemu, F_SETFD, FD_CLOEXEC);
}

bool qemu_runs(const struct guest *guest)
{
	struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };

	return guest->qemu >= 0 && !poll(&ended, 1, 0);
}

void qemu_end_soon(struct guest *guest)
{
	struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };
	int signals[] = { SIGTERM, SIGKILL };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals) && guest->qemu >= 0; i++) {
		pidfd_send_signal(guest->qemu, signals[i], NULL, 0);
		if (poll(&ended, 1, END_MS) == 1)
			qemu_end(guest, SIGKILL);
	}
}

void qemu_end(struct guest *guest, int signal)
{
	struct pollfd ended = { .fd = guest->qemu, .events = POLLIN };

	if (guest->qemu < 0)
		return;
	pidfd_send_signal(guest->qemu, signal, NULL, 0);
	while (poll(&ended, 1, -1) < 0 && errno == EINTR)
		;
	/* Only if it is our child. */
	waitpid(guest->shared->qemu, NULL, WNOHANG);
	close(guest->qemu);
	guest->qemu = -1;
	guest->shared->qemu = 0;
	forget_socket(guest);
}

int qemu_version(const char *program, char *version, size_t size)
{
	int out[2], status;
	char line[256] = "";
	FILE *file;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return fail_errno(errno, "pipe");
	pid = fork();
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		execlp(program, program, "--version", NULL);
		_exit(127);
	}
	close(out[1]);
	file = fdopen(out[0], "r");
	if (!file || !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return fail("%s: can't be run: name another by --qemu", program);
	if (sscanf(line, "QEMU emulator version %63[0-9.]", line) != 1)
		return fail("%s: not QEMU", program);
	snprintf(version, size, "%s", line);
	return 0;
}
