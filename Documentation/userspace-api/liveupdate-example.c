// SPDX-License-Identifier: GPL-2.0
/*
 * A counter that goes on after an update of the kernel.
 *
 * The counter lives in a memfd. Each run takes the memfd over from the previous
 * kernel, or makes a new one if there is none, and puts it into a session for
 * the next kernel. Let it run, then:
 *
 *	kexec -s -l KERNEL --initrd=INITRD --reuse-cmdline
 *	kexec -e
 *
 * and start it again.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/liveupdate.h>

#define SESSION	"counter"
#define TOKEN	1

static int create_session(int dev)
{
	struct liveupdate_ioctl_create_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	if (ioctl(dev, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg))
		err(1, "create session " SESSION);
	return arg.fd;
}

/*
 * A crash before finish() loses nothing: the next run finds the session again.
 * Kernels without CLAIM_SESSION refuse the command: there, a crash loses it.
 */
static int claim_session(int dev)
{
	struct liveupdate_ioctl_retrieve_session arg = {
		.size = sizeof(arg),
		.name = SESSION,
	};

	if (!ioctl(dev, LIVEUPDATE_IOCTL_CLAIM_SESSION, &arg))
		return arg.fd;
	if (errno != ENOENT && !ioctl(dev, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg))
		return arg.fd;
	if (errno != ENOENT)
		err(1, "claim session " SESSION);
	return -1;
}

static int retrieve_fd(int session)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = TOKEN,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg))
		err(1, "retrieve token %d", TOKEN);
	return arg.fd;
}

static void finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	if (ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg))
		err(1, "finish");
}

static void preserve_fd(int session, int fd)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = TOKEN,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg))
		err(1, "preserve token %d", TOKEN);
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
	int session = claim_session(dev);
	int memfd;

	if (session < 0)
		return make_memfd();

	memfd = retrieve_fd(session);
	finish(session);
	close(session);
	return memfd;
}

int main(void)
{
	int dev = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	uint64_t *counter;
	int memfd;

	if (dev < 0)
		err(1, "/dev/liveupdate");

	memfd = take_over(dev);
	/* Stays open: closing the session would undo everything in it. */
	preserve_fd(create_session(dev), memfd);
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
