// SPDX-License-Identifier: GPL-2.0
/*
 * An update from end to end. All that can be found out is found out while
 * everything runs, and all of it is told: then the kernel is loaded and the
 * machine told to jump.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "luoctl.h"

#define SYSTEMD		"/run/systemd/system"

/* What systemd jumps by, and the program that it is to run before. */
#define JUMPER		"/usr/lib/systemd/systemd-shutdown"
#define SAVER		"/usr/lib/systemd/system-shutdown/luo-qemu.shutdown"

/* Agents of guests have the device for a moment each. */
#define TURN_MS		2000

#define NO_LIVE_UPDATE	"would be started without kho=on liveupdate=on: " \
			"put them into --command-line=, or give --reuse-cmdline"

/* Whether programs end before the jump, but for those that are spared. */
static bool has_services(void)
{
	return !access(SYSTEMD, F_OK);
}

/* ---- options of kexec ---- */

static bool is_between(char byte)
{
	return !byte || byte == ' ' || byte == '\n';
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	const char *at;

	for (at = text; (at = strstr(at, word)); at += len) {
		if ((at == text || at[-1] == ' ') && is_between(at[len]))
			return true;
	}
	return false;
}

/* It goes by the image's name, as distributions and the kernel's packages have it. */
static bool find_initrd(const char *path, char *option, size_t size)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	static const char prefix[] = "vmlinuz-", start[] = "--initrd=";

	if (strncmp(name, prefix, strlen(prefix)))
		return false;
	if (snprintf(option, size, "%s%.*sinitrd.img-%s", start, (int)(name - path), path,
		     name + strlen(prefix)) >= (int)size)
		return false;
	return !access(option + strlen(start), F_OK);
}

static void choose_options(struct context *ctx, const char *path)
{
	static char initrd[PATH_MAX];
	static char *options[3];

	if (*ctx->more)
		return;
	options[0] = (char *)"--reuse-cmdline";
	if (find_initrd(path, initrd, sizeof(initrd)))
		options[1] = initrd;
	ctx->more = options;
}

static int check_command_line(struct context *ctx, const char *path)
{
	static const char * const names[] = { "--command-line", "--append" };
	bool kho = false, on = false;
	const char *value;
	char **option;

	for (option = ctx->more; *option; option++) {
		if (!strcmp(*option, "--reuse-cmdline"))
			return EXIT_DONE;
		value = option_value(option, names, ARRAY_SIZE(names));
		kho |= value && has_word(value, "kho=on");
		on |= value && has_word(value, "liveupdate=on");
	}
	if (kho && on)
		return EXIT_DONE;
	return fail(ctx, path, NO_LIVE_UPDATE);
}

/* ---- who can't go along ---- */

struct guests {
	int count, status;
};

static void check_guest(const struct context *ctx, const struct guest *guest, void *to)
{
	char reason[192];
	struct guests *guests = to;

	guests->count++;
	if (!strcmp(guest->phase, "running") || !strcmp(guest->phase, "saved"))
		printf("guest %s\n", guest->name);
	else
		guests->status = fail(ctx, guest->name,
				      "the guest is neither running nor saved: try again");
	if (!has_services() || (process_is_spared(guest->leader) &&
				(!guest->qemu || process_is_spared(guest->qemu))))
		return;
	snprintf(reason, sizeof(reason),
		 "the guest would end with the services: start it as luo-qemu@%s.service",
		 guest->name);
	guests->status = fail(ctx, guest->name, reason);
}

static int check_guests(struct context *ctx)
{
	static const char * const check[] = { "luo-qemu", "check", "--all", NULL };
	struct guests guests = { .status = EXIT_DONE };

	if (!has_guests())
		return EXIT_DONE;
	if (run_program(ctx, "guests", check, "liveupdate-tools"))
		guests.status = fail(ctx, "guests", "not all of them can be saved");
	if (each_guest(ctx, check_guest, &guests))
		guests.status = EXIT_FAILED;
	if (guests.count && has_services() && !access(JUMPER, F_OK) && access(SAVER, X_OK))
		guests.status = fail(ctx, SAVER,
				     "not there: no guest would be saved: install liveupdate-tools");
	return guests.status;
}

static void check_session(const struct context *ctx, const struct liveupdate_session_entry *entry,
			  void *to)
{
	char shown[ESCAPED(LIVEUPDATE_SESSION_NAME_LENGTH)], holder[HOLDER_LENGTH] = "nobody here";
	const char *name = (const char *)entry->name;
	char reason[HOLDER_LENGTH + 128];
	int *status = to;

	printf("session %s\n", escape(shown, sizeof(shown), name, LIVEUPDATE_SESSION_NAME_LENGTH));
	if (!has_services() || session_is_spared(name))
		return;
	find_holder(name, holder);
	snprintf(reason, sizeof(reason),
		 "held by %s, which ends with the services: its unit needs SurviveFinalKillSignal=yes",
		 holder);
	*status = fail(ctx, name, reason);
}

static int check_sessions(struct context *ctx)
{
	int status = EXIT_DONE, dev = open_in_turn(TURN_MS), count;

	if (dev < 0)
		return fail_device(ctx, dev);
	count = each_session(ctx, dev, true, check_session, &status);
	close(dev);
	return count < 0 ? fail_errno(ctx, LIVEUPDATE_DEVICE, count) : status;
}

static bool is_found(const char *program)
{
	const char *dir = getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin";
	char path[PATH_MAX];
	size_t len;

	for (; *dir; dir += len + (dir[len] == ':')) {
		len = strcspn(dir, ":");
		snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, program);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static int check_programs(struct context *ctx)
{
	return is_found("kexec") ? EXIT_DONE :
	       fail(ctx, "kexec", "not found: install kexec-tools");
}

static int check_all(struct context *ctx, const char *path)
{
	int failed = check_load(ctx, path) != EXIT_DONE;

	failed |= check_programs(ctx);
	failed |= check_command_line(ctx, path);
	failed |= check_guests(ctx);
	failed |= check_sessions(ctx);
	return failed ? EXIT_FAILED : EXIT_DONE;
}

/* ---- the jump ---- */

static int jump_at_once(struct context *ctx)
{
	static const char * const save[] = { "luo-qemu", "save", "--all", NULL };
	static const char * const cancel[] = { "luo-qemu", "cancel", "--all", NULL };
	static const char * const jump[] = { "kexec", "-e", "-x", NULL };
	bool guests = has_guests();
	int status;

	if (guests && run_program(ctx, "guests", save, "liveupdate-tools"))
		return EXIT_FAILED;
	sync();
	status = run_program(ctx, "kexec", jump, "kexec-tools");
	/* It does not come back if it went well. */
	if (guests)
		run_program(ctx, "guests", cancel, "liveupdate-tools");
	return status == EXIT_DONE ? fail(ctx, "kexec", "did not jump") : status;
}

int update_kernel(struct context *ctx, const char *path)
{
	static const char * const jump[] = { "systemctl", "kexec", NULL };
	int status;

	choose_options(ctx, path);
	status = check_all(ctx, path);
	if (status != EXIT_DONE || ctx->dry_run)
		return status;
	status = run_kexec(ctx, path);
	if (status != EXIT_DONE)
		return status;
	return has_services() ? run_program(ctx, "systemctl", jump, "systemd") : jump_at_once(ctx);
}
