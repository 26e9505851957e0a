/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LUOCTL_H
#define LUOCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "libliveupdate.h"

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
/* Why the device was not opened, and who has it. */
int fail_device(const struct context *ctx, int err);

/* ---- holder.c ---- */

#define HOLDER_LENGTH	128

/*
 * Name the process that has a file open: the device, if name is NULL, or the
 * session. Returns false if none is found.
 */
bool find_holder(const char *name, char holder[HOLDER_LENGTH]);

/*
 * Whether systemd lets the process live until reboot(), as it does with services
 * of SurviveFinalKillSignal= and programs of root whose name begins with `@'. Of a
 * session, whether one of those that hold it is such.
 */
bool process_is_spared(pid_t pid);
bool session_is_spared(const char *name);

/* ---- programs.c ---- */

/* Run it, and say why it failed unless it did that itself, with EXIT_FAILED. */
int run_program(const struct context *ctx, const char *culprit, const char * const *argv,
		const char *package);

/* A guest of luo-qemu. */
struct guest {
	char name[64];
	char phase[16];
	int qemu, leader;
	/* How long the last update let it stand still, or -1. */
	long long still_ms;
};

typedef void (*take_guest)(const struct context *ctx, const struct guest *guest, void *to);

/* Ask for all that run here. Returns EXIT_FAILED if some do not answer: they were named. */
int each_guest(const struct context *ctx, take_guest take, void *to);
/* Whether luo-qemu has guests here at all. */
bool has_guests(void);

/* ---- sessions.c, blackout.c: parts of what verbs print ---- */

typedef void (*take_session)(const struct context *ctx,
			     const struct liveupdate_session_entry *entry, void *to);

/* The sessions of a direction; returns their number or -errno. */
int each_session(const struct context *ctx, int dev, bool outgoing, take_session take, void *to);
void print_session(const struct context *ctx, const struct liveupdate_session_entry *entry);
void print_session_header(const struct context *ctx);
/* Nothing, if there are no times. */
void put_blackout(const struct context *ctx);

/* ---- kernels.c ---- */

/* Whether the image can be loaded now; says why not. */
int check_load(struct context *ctx, const char *path);
/* The value of an option of kexec that has one of these names, or NULL. */
const char *option_value(char **option, const char * const *names, size_t count);
int run_kexec(const struct context *ctx, const char *path);

/* ---- verbs: name is NULL if none was given ---- */

int show_info(struct context *ctx, const char *name);
int show_list(struct context *ctx, const char *name);
int finish_session(struct context *ctx, const char *name);
int abandon_session(struct context *ctx, const char *name);
int check_image(struct context *ctx, const char *path);
int load_image(struct context *ctx, const char *path);
int show_blackout(struct context *ctx, const char *name);
int show_status(struct context *ctx, const char *name);
int update_kernel(struct context *ctx, const char *path);

#endif /* LUOCTL_H */
