// SPDX-License-Identifier: GPL-2.0
/* Until when something is waited for, in milliseconds of a clock that is not set. */
#include <limits.h>
#include <time.h>

#include "qemu.h"

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

int64_t limit_in(const struct guest *guest, int64_t ms)
{
	int64_t limit = now() + ms;

	return guest->limit && guest->limit < limit ? guest->limit : limit;
}

int limit_left(int64_t limit)
{
	int64_t left = limit - now();

	if (left <= 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}
