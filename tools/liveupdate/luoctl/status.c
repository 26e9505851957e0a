// SPDX-License-Identifier: GPL-2.0
/* After an update: what came back, what it cost, what is left to finish. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "luoctl.h"

static void put_session(const struct context *ctx, const struct liveupdate_session_entry *entry,
			void *to)
{
	bool *headed = to;

	if (!ctx->json && !*headed) {
		printf("\nLeft to finish:\n");
		print_session_header(ctx);
	}
	*headed = true;
	print_session(ctx, entry);
}

static int put_left(struct context *ctx)
{
	bool headed = false;
	int count;

	if (ctx->json)
		json_open("left", '[');
	count = each_session(ctx, ctx->dev, false, put_session, &headed);
	if (ctx->json)
		json_close(']');
	else if (!count)
		printf("\nNothing is left to finish.\n");
	return count < 0 ? fail_errno(ctx, LIVEUPDATE_DEVICE, count) : EXIT_DONE;
}

static void put_guest_json(const struct guest *guest)
{
	json_open(NULL, '{');
	json_text("name", guest->name, sizeof(guest->name));
	json_text("phase", guest->phase, sizeof(guest->phase));
	if (guest->still_ms >= 0)
		json_number("still_ms", guest->still_ms);
	else
		json_null("still_ms");
	json_close('}');
}

static void put_guest(const struct context *ctx, const struct guest *guest, void *to)
{
	bool *headed = to;

	if (ctx->json) {
		put_guest_json(guest);
		return;
	}
	if (!*headed) {
		printf("\nGuests:\n");
		if (ctx->header)
			printf("%-10s %16s  %s\n", "PHASE", "STOOD STILL, MS", "GUEST");
	}
	*headed = true;
	if (guest->still_ms >= 0)
		printf("%-10s %16lld  %s\n", guest->phase, guest->still_ms, guest->name);
	else
		printf("%-10s %16s  %s\n", guest->phase, "-", guest->name);
}

static int put_guests(struct context *ctx)
{
	bool headed = false;
	int status;

	if (ctx->json)
		json_open("guests", '[');
	status = each_guest(ctx, put_guest, &headed);
	if (ctx->json)
		json_close(']');
	return status;
}

static void put_number(const struct context *ctx, unsigned long long number)
{
	if (ctx->json)
		json_number("number", number);
	else
		printf("Live updates since the cold boot: %llu\n", number);
}

int show_status(struct context *ctx, const char *name)
{
	struct liveupdate_ioctl_get_info info;
	int status, err = liveupdate_get_info(ctx->dev, &info);

	(void)name;
	if (err)
		return fail_errno(ctx, LIVEUPDATE_DEVICE, err);
	if (ctx->json)
		json_open(NULL, '{');
	put_number(ctx, info.number);
	put_blackout(ctx);
	status = put_left(ctx);
	if (status == EXIT_DONE)
		status = put_guests(ctx);
	if (ctx->json)
		json_close('}');
	return status;
}
