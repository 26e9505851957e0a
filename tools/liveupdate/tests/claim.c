// SPDX-License-Identifier: LGPL-2.1+ OR MIT
/*
 * How the installed library claims a session, on kernels that need not exist:
 * the calls end here. Exits with 0 if the case named on the command line holds.
 */
#include <errno.h>
#include <libliveupdate.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define DEVICE	100
#define SESSION	101

#define ARRAY_SIZE(_array)	(sizeof(_array) / sizeof((_array)[0]))

/* The kernel: what it answers, and what it was asked. */
static struct {
	int info_errno;
	uint64_t features;
	int claim_errno;
	bool claimed;
	bool retrieved;
} kernel;

static int answer(int err)
{
	errno = err;
	return err ? -1 : 0;
}

static int get_info(struct liveupdate_ioctl_get_info *info)
{
	info->features = kernel.features;
	return answer(kernel.info_errno);
}

static int retrieve(struct liveupdate_ioctl_retrieve_session *arg)
{
	kernel.retrieved = true;
	arg->fd = SESSION;
	return 0;
}

static int claim(struct liveupdate_ioctl_retrieve_session *arg)
{
	if (kernel.claim_errno)
		return answer(kernel.claim_errno);
	kernel.claimed = !strcmp((const char *)arg->name, "vm0");
	arg->fd = SESSION;
	return 0;
}

int ioctl(int fd, unsigned long command, ...)
{
	va_list arguments;
	void *arg;

	va_start(arguments, command);
	arg = va_arg(arguments, void *);
	va_end(arguments);
	if (fd == DEVICE && command == LIVEUPDATE_IOCTL_GET_INFO)
		return get_info(arg);
	if (fd == DEVICE && command == LIVEUPDATE_IOCTL_RETRIEVE_SESSION)
		return retrieve(arg);
	if (fd == DEVICE && command == LIVEUPDATE_IOCTL_CLAIM_SESSION)
		return claim(arg);
	return answer(EBADF);
}

static bool claims_for_good(void)
{
	kernel.features = LIVEUPDATE_FEATURE_CLAIM_SESSION;
	return liveupdate_claim_session(DEVICE, "vm0") == SESSION &&
	       kernel.claimed && !kernel.retrieved;
}

static bool leaves_alone(void)
{
	return liveupdate_claim_session(DEVICE, "vm0") == -EOPNOTSUPP &&
	       !kernel.claimed && !kernel.retrieved;
}

static bool without_the_feature(void)
{
	kernel.features = ~(uint64_t)LIVEUPDATE_FEATURE_CLAIM_SESSION;
	return leaves_alone();
}

static bool without_the_call(void)
{
	kernel.info_errno = ENOTTY;
	return leaves_alone();
}

static bool on_mainline(void)
{
	kernel.info_errno = EINVAL;
	return leaves_alone();
}

static bool reports_a_refusal(void)
{
	kernel.features = LIVEUPDATE_FEATURE_CLAIM_SESSION;
	kernel.claim_errno = EINVAL;
	return liveupdate_claim_session(DEVICE, "vm0") == -EINVAL && !kernel.retrieved;
}

static bool same_version(void)
{
	char compiled[32];

	snprintf(compiled, sizeof(compiled), "%d.%d.%d",
		 LIBLIVEUPDATE_VERSION_MAJOR, LIBLIVEUPDATE_VERSION_MINOR,
		 LIBLIVEUPDATE_VERSION_PATCH);
	return !strcmp(compiled, liveupdate_version()) &&
	       LIBLIVEUPDATE_VERSION_AT_LEAST(1, 0) &&
	       !LIBLIVEUPDATE_VERSION_AT_LEAST(1, 1000) &&
	       !LIBLIVEUPDATE_VERSION_AT_LEAST(2, 0);
}

static const struct {
	const char *name;
	bool (*holds)(void);
} cases[] = {
	{ "claims-for-good", claims_for_good },
	{ "without-the-feature", without_the_feature },
	{ "without-the-call", without_the_call },
	{ "on-mainline", on_mainline },
	{ "reports-a-refusal", reports_a_refusal },
	{ "same-version", same_version },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 2 && i < ARRAY_SIZE(cases); i++) {
		if (!strcmp(argv[1], cases[i].name))
			return !cases[i].holds();
	}
	fprintf(stderr, "claim: name one case\n");
	return 2;
}
