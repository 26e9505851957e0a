/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUOCTL_H
#define LUOCTL_H

#include <stdbool.h>
#include <sys/types.h>

#define SYSFS		"/sys/kernel/liveupdate/"

struct context {
	const char *verb;
	int dev;
	bool header;
	bool json;
	bool dry_run;
	/* What stands behind the name on the command line. */
	char **more;
};

/* ---- luoctl.c: what went wrong, in one line ---- */

void warn(const struct context *ctx, const char *culprit, const char *text);
/* These return EXIT_FAILED. */
int fail(const struct context *ctx, const char *culprit, const char *reason);
int fail_errno(const struct context *ctx, const char *culprit, int err);

/* ---- holder.c ---- */

#define HOLDER_LENGTH	128

/*
 * Name the process that has a file open: the device, if name is NULL, or the
 * session. Returns false if none is found.
 */
bool find_holder(const char *name, char holder[HOLDER_LENGTH]);

/* ---- verbs: name is NULL if none was given ---- */

int show_info(struct context *ctx, const char *name);
int show_list(struct context *ctx, const char *name);
int finish_session(struct context *ctx, const char *name);
int abandon_session(struct context *ctx, const char *name);
int check_image(struct context *ctx, const char *path);
int load_image(struct context *ctx, const char *path);
int show_blackout(struct context *ctx, const char *name);

#endif /* LUOCTL_H */
