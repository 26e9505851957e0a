// SPDX-License-Identifier: GPL-2.0
/* What the kernel holds: counts, sessions, files; and ending a session. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"
#include "libliveupdate.h"
#include "luoctl.h"

#define ENTRIES		64

static const char *session_state(uint32_t state)
{
	static const char * const names[] = {
		[LIVEUPDATE_SESSION_STATE_OUTGOING] = "outgoing",
		[LIVEUPDATE_SESSION_STATE_INCOMING] = "incoming",
		[LIVEUPDATE_SESSION_STATE_RETRIEVED] = "retrieved",
		[LIVEUPDATE_SESSION_STATE_DAMAGED] = "damaged",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static const char *file_state(uint32_t state)
{
	static const char * const names[] = {
		[LIVEUPDATE_FILE_STATE_PRESERVED] = "preserved",
		[LIVEUPDATE_FILE_STATE_INCOMING] = "incoming",
		[LIVEUPDATE_FILE_STATE_RETRIEVED] = "retrieved",
		[LIVEUPDATE_FILE_STATE_DAMAGED] = "damaged",
		[LIVEUPDATE_FILE_STATE_NO_HANDLER] = "no-handler",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

/* ---- info ---- */

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ LIVEUPDATE_FEATURE_LIST, "list" },
	{ LIVEUPDATE_FEATURE_UNPRESERVE_FD, "unpreserve-fd" },
	{ LIVEUPDATE_FEATURE_KEEP_ON_CLOSE, "keep-on-close" },
	{ LIVEUPDATE_FEATURE_ABANDON, "abandon" },
	{ LIVEUPDATE_FEATURE_CLAIM_SESSION, "claim-session" },
};

/* Calls put for each feature; one that has no name yet is its bit. */
static void each_feature(uint64_t bits, void (*put)(const char *name))
{
	char number[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		if (bits & features[i].bit)
			put(features[i].name);
		bits &= ~features[i].bit;
	}
	for (; bits; bits &= bits - 1) {
		snprintf(number, sizeof(number), "0x%llx", (unsigned long long)(bits & -bits));
		put(number);
	}
}

static void put_feature_json(const char *name)
{
	json_text(NULL, name, strlen(name));
}

static void put_feature(const char *name)
{
	printf(" %s", name);
}

static void print_info_json(const struct liveupdate_ioctl_get_info *info)
{
	json_open(NULL, '{');
	json_number("number", info->number);
	json_number("outgoing_sessions", info->outgoing_sessions);
	json_number("outgoing_files", info->outgoing_files);
	json_number("incoming_sessions", info->incoming_sessions);
	json_number("incoming_files", info->incoming_files);
	json_text("kho_format", (const char *)info->kho_format, LIVEUPDATE_FORMAT_NAME_LENGTH);
	json_text("luo_format", (const char *)info->luo_format, LIVEUPDATE_FORMAT_NAME_LENGTH);
	json_open("features", '[');
	each_feature(info->features, put_feature_json);
	json_close(']');
	json_close('}');
}

static void print_info(const struct liveupdate_ioctl_get_info *info)
{
	printf("number %llu\n", (unsigned long long)info->number);
	printf("outgoing-sessions %llu\n", (unsigned long long)info->outgoing_sessions);
	printf("outgoing-files %llu\n", (unsigned long long)info->outgoing_files);
	printf("incoming-sessions %llu\n", (unsigned long long)info->incoming_sessions);
	printf("incoming-files %llu\n", (unsigned long long)info->incoming_files);
	printf("kho-format %.*s\n", LIVEUPDATE_FORMAT_NAME_LENGTH, (const char *)info->kho_format);
	printf("luo-format %.*s\n", LIVEUPDATE_FORMAT_NAME_LENGTH, (const char *)info->luo_format);
	printf("features");
	each_feature(info->features, put_feature);
	printf("\n");
}

int show_info(struct context *ctx, const char *name)
{
	struct liveupdate_ioctl_get_info info;
	int err = liveupdate_get_info(ctx->dev, &info);

	(void)name;
	if (err)
		return fail_errno(ctx, LIVEUPDATE_DEVICE, err);
	if (ctx->json)
		print_info_json(&info);
	else
		print_info(&info);
	return EXIT_DONE;
}

/* ---- lists ---- */

void print_session(const struct context *ctx, const struct liveupdate_session_entry *entry)
{
	char shown[ESCAPED(LIVEUPDATE_SESSION_NAME_LENGTH)];

	if (ctx->json) {
		json_open(NULL, '{');
		json_text("name", (const char *)entry->name, LIVEUPDATE_SESSION_NAME_LENGTH);
		json_text("state", session_state(entry->state), SIZE_MAX);
		json_number("files", entry->files);
		json_close('}');
		return;
	}
	escape(shown, sizeof(shown), (const char *)entry->name, LIVEUPDATE_SESSION_NAME_LENGTH);
	printf("%-10s %8llu  %s\n", session_state(entry->state),
	       (unsigned long long)entry->files, shown);
}

void print_session_header(const struct context *ctx)
{
	if (ctx->header)
		printf("%-10s %8s  %s\n", "STATE", "FILES", "SESSION");
}

int each_session(const struct context *ctx, int dev, bool outgoing, take_session take, void *to)
{
	struct liveupdate_session_entry entries[ENTRIES];
	int count, total = 0, i;
	uint64_t cursor = 0;
	bool goes_out;

	while ((count = liveupdate_list_sessions(dev, &cursor, entries, ENTRIES)) > 0) {
		for (i = 0; i < count; i++) {
			goes_out = entries[i].state == LIVEUPDATE_SESSION_STATE_OUTGOING;
			if (goes_out != outgoing)
				continue;
			take(ctx, &entries[i], to);
			total++;
		}
	}
	return count ?: total;
}

static int list_sessions(struct context *ctx)
{
	struct liveupdate_session_entry entries[ENTRIES];
	uint64_t cursor = 0;
	int count, i;

	if (ctx->json) {
		json_open(NULL, '{');
		json_open("sessions", '[');
	} else {
		print_session_header(ctx);
	}
	for (;;) {
		count = liveupdate_list_sessions(ctx->dev, &cursor, entries, ENTRIES);
		if (count <= 0)
			break;
		for (i = 0; i < count; i++)
			print_session(ctx, &entries[i]);
	}
	if (count)
		return fail_errno(ctx, LIVEUPDATE_DEVICE, count);
	if (ctx->json) {
		json_close(']');
		json_close('}');
	}
	return EXIT_DONE;
}

static void print_file(const struct context *ctx, const struct liveupdate_file_entry *entry)
{
	char shown[ESCAPED(LIVEUPDATE_HANDLER_NAME_LENGTH)];

	if (ctx->json) {
		json_open(NULL, '{');
		json_number("token", entry->token);
		json_text("state", file_state(entry->state), SIZE_MAX);
		json_text("handler", (const char *)entry->handler, LIVEUPDATE_HANDLER_NAME_LENGTH);
		json_number("waiting_mib", entry->waiting);
		json_close('}');
		return;
	}
	escape(shown, sizeof(shown), (const char *)entry->handler, LIVEUPDATE_HANDLER_NAME_LENGTH);
	printf("%-10s %20llu  %s", file_state(entry->state),
	       (unsigned long long)entry->token, shown);
	if (entry->waiting)
		printf("  %u MiB to come", entry->waiting);
	printf("\n");
}

static int list_files_of(struct context *ctx, const char *name, int session)
{
	struct liveupdate_file_entry entries[ENTRIES];
	uint64_t cursor = 0;
	int count, i;

	if (ctx->json) {
		json_open(NULL, '{');
		json_text("session", name, SIZE_MAX);
		json_open("files", '[');
	} else if (ctx->header) {
		printf("%-10s %20s  %s\n", "STATE", "TOKEN", "HANDLER");
	}
	for (;;) {
		count = liveupdate_list_files(session, &cursor, entries, ENTRIES);
		if (count <= 0)
			break;
		for (i = 0; i < count; i++)
			print_file(ctx, &entries[i]);
	}
	if (count)
		return fail_errno(ctx, name, count);
	if (ctx->json) {
		json_close(']');
		json_close('}');
	}
	return EXIT_DONE;
}

/*
 * Returns the state, or -errno. A name may stand once for an outgoing and once
 * for an incoming session: the verbs are about the incoming one.
 */
static int find_session(struct context *ctx, const char *name)
{
	struct liveupdate_session_entry entries[ENTRIES];
	int count, i, state = -ENOENT;
	uint64_t cursor = 0;

	for (;;) {
		count = liveupdate_list_sessions(ctx->dev, &cursor, entries, ENTRIES);
		if (count <= 0)
			return count ? count : state;
		for (i = 0; i < count; i++) {
			if (strncmp((const char *)entries[i].name, name,
				    LIVEUPDATE_SESSION_NAME_LENGTH))
				continue;
			if (entries[i].state != LIVEUPDATE_SESSION_STATE_OUTGOING)
				return entries[i].state;
			state = entries[i].state;
		}
	}
}

static int fail_held(struct context *ctx, const char *name)
{
	char holder[HOLDER_LENGTH] = "", reason[HOLDER_LENGTH + 64];

	snprintf(reason, sizeof(reason), "held by its agent%s%s, end that one first",
		 find_holder(name, holder) ? ": " : "", holder);
	return fail(ctx, name, reason);
}

/* Says why a session can't be had. */
static int fail_claim(struct context *ctx, const char *name, int err)
{
	int state = find_session(ctx, name);

	if (state == LIVEUPDATE_SESSION_STATE_OUTGOING)
		return fail(ctx, name, "outgoing, it is for its owner to list and to end");
	if (state == LIVEUPDATE_SESSION_STATE_RETRIEVED)
		return fail_held(ctx, name);
	if (err == -EOPNOTSUPP)
		return fail(ctx, name, "this kernel takes no session back: a look would end it");
	return fail_errno(ctx, name, err);
}

/* Looking at a session means retrieving it: not where it can't go back. */
static int list_files(struct context *ctx, const char *name)
{
	int session = liveupdate_claim_session(ctx->dev, name);
	int status;

	if (session < 0)
		return fail_claim(ctx, name, session);
	status = list_files_of(ctx, name, session);
	close(session);
	return status;
}

int show_list(struct context *ctx, const char *name)
{
	return name ? list_files(ctx, name) : list_sessions(ctx);
}

/* ---- finish, abandon ---- */

static int fail_end(struct context *ctx, const char *name, int err)
{
	if (err == -ENODEV)
		return fail(ctx, name,
			    "has files that this kernel does not know: load their module, or see luoctl abandon");
	return fail_errno(ctx, name, err);
}

static int end_session(struct context *ctx, const char *name, int session,
		       int (*end)(int session))
{
	int status = list_files_of(ctx, name, session);
	int err;

	/* What is not told is not ended. */
	if (status != EXIT_DONE)
		return status;
	if (!flush_output())
		return fail_errno(ctx, "stdout", -errno);
	if (ctx->dry_run)
		return EXIT_DONE;
	err = end(session);
	return err ? fail_end(ctx, name, err) : EXIT_DONE;
}

/* On a kernel that takes no session back there is nothing to tell beforehand. */
static int end_unseen(struct context *ctx, const char *name)
{
	int session, err;

	if (ctx->dry_run)
		return fail_claim(ctx, name, -EOPNOTSUPP);
	session = liveupdate_retrieve_session(ctx->dev, name);
	if (session < 0)
		return fail_errno(ctx, name, session);
	err = liveupdate_finish(session);
	close(session);
	return err ? fail_errno(ctx, name, err) : EXIT_DONE;
}

int finish_session(struct context *ctx, const char *name)
{
	int session = liveupdate_claim_session(ctx->dev, name);
	int status;

	if (session == -EOPNOTSUPP)
		return end_unseen(ctx, name);
	if (session < 0)
		return fail_claim(ctx, name, session);
	status = end_session(ctx, name, session, liveupdate_finish);
	close(session);
	return status;
}

/* What is left was listed: without a handler, or damaged. */
static int abandon(int session)
{
	uint64_t files;

	return liveupdate_abandon(session, &files);
}

int abandon_session(struct context *ctx, const char *name)
{
	int session = liveupdate_claim_session(ctx->dev, name);
	int status;

	if (session < 0)
		return fail_claim(ctx, name, session);
	status = end_session(ctx, name, session, abandon);
	close(session);
	return status;
}
