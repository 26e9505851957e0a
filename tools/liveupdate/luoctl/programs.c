// SPDX-License-Identifier: GPL-2.0
/* Other programs: running them, and the guests that luo-qemu tells of. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "luoctl.h"

#define GUESTS		"/run/luo-qemu"

static void exec_program(const struct context *ctx, const char * const *argv,
			 const char *package)
{
	char reason[64];

	execvp(argv[0], (char **)argv);
	snprintf(reason, sizeof(reason), "not found: install %s", package);
	_exit(fail(ctx, argv[0], errno == ENOENT ? reason : strerror(errno)));
}

int run_program(const struct context *ctx, const char *culprit, const char * const *argv,
		const char *package)
{
	char reason[64];
	pid_t pid;
	int status;

	if (!flush_output())
		return fail_errno(ctx, "stdout", -errno);
	pid = fork();
	if (!pid)
		exec_program(ctx, argv, package);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fail_errno(ctx, argv[0], -errno);
	/* It has said why. */
	if (WIFEXITED(status) && WEXITSTATUS(status) <= EXIT_FAILED)
		return WEXITSTATUS(status);
	snprintf(reason, sizeof(reason), WIFEXITED(status) ?
		 "%.30s failed with exit code %d" : "%.30s was ended by signal %d", argv[0],
		 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return fail(ctx, culprit, reason);
}

bool has_guests(void)
{
	return !access(GUESTS, F_OK);
}

/* Lines of KEY VALUE, and `name' is the first of each guest. */
static void take_line(struct guest *guest, const char *line)
{
	if (sscanf(line, "phase %15s", guest->phase) == 1 ||
	    sscanf(line, "qemu %d", &guest->qemu) == 1 ||
	    sscanf(line, "leader %d", &guest->leader) == 1)
		return;
	if (sscanf(line, "still_ms %lld", &guest->still_ms) != 1)
		return;
}

int each_guest(const struct context *ctx, take_guest take, void *to)
{
	struct guest guest = {}, next;
	char line[256];
	FILE *in;

	if (!has_guests())
		return EXIT_DONE;
	fflush(stdout);
	in = popen("exec luo-qemu status --all", "re");
	if (!in)
		return fail_errno(ctx, "luo-qemu", -errno);
	while (fgets(line, sizeof(line), in)) {
		next = (struct guest){ .still_ms = -1 };
		if (sscanf(line, "name %63s", next.name) != 1) {
			take_line(&guest, line);
			continue;
		}
		if (*guest.name)
			take(ctx, &guest, to);
		guest = next;
	}
	if (*guest.name)
		take(ctx, &guest, to);
	return pclose(in) ? EXIT_FAILED : EXIT_DONE;
}
