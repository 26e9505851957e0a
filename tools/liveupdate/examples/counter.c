// SPDX-License-Identifier: LGPL-2.1+ OR MIT
/*
 * A counter that goes on after an update of the kernel.
 *
 * It lives in a memfd. Each run takes the memfd over from the previous kernel,
 * or makes one if there is none, and puts it into a session for the next one:
 * until the memfd is there, whatever fails ends the program and loses nothing.
 *
 *	cc counter.c $(pkg-config --cflags --libs libliveupdate) -o counter
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <libliveupdate.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SESSION	"counter"
#define TOKEN	1

/* Ends the program for a call that failed. */
static int must(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, strerror(-result));
	return result;
}

static int make_memfd(void)
{
	int memfd = memfd_create("counter", MFD_CLOEXEC);

	if (memfd < 0 || ftruncate(memfd, sizeof(uint64_t)))
		err(1, "memfd");
	return memfd;
}

static int take_over(int dev)
{
	int session = liveupdate_claim_session(dev, SESSION);
	int memfd;

	if (session == -ENOENT)
		return make_memfd();
	must(session, "session " SESSION);
	memfd = must(liveupdate_retrieve_fd(session, TOKEN), "memfd");
	must(liveupdate_finish(session), "finish");
	close(session);
	return memfd;
}

int main(void)
{
	int dev = must(liveupdate_open(), LIVEUPDATE_DEVICE);
	int memfd = take_over(dev);
	/* Stays open: closing it would take the memfd out. */
	int session = must(liveupdate_create_session(dev, SESSION), "session");
	uint64_t *counter;

	must(liveupdate_preserve_fd(session, memfd, TOKEN), "preserve");
	close(dev);
	counter = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE,
		       MAP_SHARED, memfd, 0);
	if (counter == MAP_FAILED)
		err(1, "mmap");
	for (;;) {
		printf("%ju\n", (uintmax_t)++*counter);
		fflush(stdout);
		sleep(1);
	}
}
