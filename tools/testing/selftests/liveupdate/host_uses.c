// SPDX-License-Identifier: GPL-2.0
/* What a host does with the memory of files beside reading and writing it. */

#include <pthread.h>
#include <sys/uio.h>

#include <linux/io_uring.h>
#include <linux/udmabuf.h>

#include "host_uses.h"
#include "luo_test.h"
#include "luo_uffd.h"

#define PAGE	4096ull

static char *map_range(int fd, const struct host_range *range)
{
	char *map = mmap(NULL, range->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, range->start);

	return map == MAP_FAILED ? NULL : map;
}

/* 0 if @map holds what the file was filled with. */
static int compare(const char *map, const struct host_range *range)
{
	char want[PAGE];
	size_t at;

	for (at = 0; at < range->len; at += PAGE) {
		luo_pattern_bytes(range->token, range->start + at, want, PAGE);
		if (memcmp(map + at, want, PAGE))
			return -EILSEQ;
	}
	return 0;
}

/* ---- pins, by those who pin for as long as they like ---- */

/* As a device sees the file; the buffer lives until exit. */
static int pin_by_udmabuf(int fd, const struct host_range *range)
{
	struct udmabuf_create all = {
		.memfd = fd,
		.offset = range->start,
		.size = range->len,
	};
	const struct host_range whole = { .start = 0, .len = range->len };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), buffer, err;
	char *map;

	if (dev < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return -errno;
	buffer = ioctl(dev, UDMABUF_CREATE, &all);
	if (buffer < 0)
		return -errno;
	close(dev);

	map = map_range(buffer, &whole);
	if (!map)
		return -errno;
	err = compare(map, range);
	munmap(map, range->len);
	return err;
}

/* Registered buffers live until exit, too. */
static int pin_by_io_uring(int fd, const struct host_range *range)
{
	struct io_uring_params params = { };
	struct iovec buffer = {
		.iov_base = map_range(fd, range),
		.iov_len = range->len,
	};
	int ring = syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0 || !buffer.iov_base)
		return -errno;
	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1) ?
	       -errno : 0;
}

static int pin(int fd, const struct host_range *range)
{
	return pin_by_udmabuf(fd, range) ?: pin_by_io_uring(fd, range);
}

/* ---- swap ---- */

/* What is written back to swap goes only when it is looked at again. */
static int swap_out(int fd, const struct host_range *range)
{
	const int pages = range->len / PAGE;
	char *map = map_range(fd, range);
	int resident = pages, tries, err = 0;

	if (!map)
		return -errno;
	for (tries = 0; !err && pages - resident < pages / 2 && tries < 50; tries++) {
		if (madvise(map, range->len, MADV_POPULATE_READ) ||
		    madvise(map, range->len, MADV_PAGEOUT))
			return -errno;
		usleep(100000);
		resident = luo_count_resident(map, range->len);
		err = resident < 0 ? -errno : 0;
	}
	munmap(map, range->len);
	return err ?: pages - resident < pages / 2 ? -ETIMEDOUT : 0;
}

/* ---- faults that userspace answers, as a guest that is migrated takes them ---- */

struct reader {
	pthread_t thread;
	const char *map;
	const struct host_range *range;
};

static void *read_all(void *arg)
{
	struct reader *reader = arg;

	return (void *)(intptr_t)compare(reader->map, reader->range);
}

/* Whatever is read is there, and waits to be let in: one page each time. */
static int answer(int uffd, size_t pages)
{
	struct uffdio_continue page = { .range.len = PAGE };
	struct uffd_msg msg;

	for (; pages; pages--) {
		if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			return -errno;
		if (msg.event != UFFD_EVENT_PAGEFAULT ||
		    !(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR))
			return -EPROTO;
		page.range.start = msg.arg.pagefault.address & -PAGE;
		if (ioctl(uffd, UFFDIO_CONTINUE, &page))
			return -errno;
	}
	return 0;
}

static int answer_faults(int fd, const struct host_range *range)
{
	struct reader reader = { .map = map_range(fd, range), .range = range };
	int uffd = reader.map ? luo_watch((char *)reader.map, range->len,
					  UFFDIO_REGISTER_MODE_MINOR,
					  UFFD_FEATURE_MINOR_SHMEM) : -errno;
	int err;
	void *seen;

	if (uffd < 0)
		return uffd;
	err = pthread_create(&reader.thread, NULL, read_all, &reader);
	if (err)
		return -err;
	err = answer(uffd, range->len / PAGE);
	close(uffd);
	pthread_join(reader.thread, &seen);
	munmap((void *)reader.map, range->len);
	return err ?: (intptr_t)seen;
}

static const struct host_use uses[] = {
	{ "pins", pin, pin },
	{ "swap", swap_out },
	{ "faults", NULL, answer_faults },
};

const struct host_use *host_find_use(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		if (!strcmp(uses[i].name, name))
			return &uses[i];
	return NULL;
}
