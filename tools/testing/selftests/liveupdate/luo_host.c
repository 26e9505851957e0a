// SPDX-License-Identifier: GPL-2.0
/*
 * One session, to see whether a machine takes memory through an update: keep it in
 * one kernel, check it in the next.
 */

#include <getopt.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "luo_test.h"

#define SESSION	"host"
#define MIB	(1024 * 1024ll)
#define PAGE	4096ll

static long long size = 16 * MIB, start, ballast, huge;
static int files = 1, node = -1;

static const char usage[] =
	"Usage: luo_host keep|check|fill [OPTION]...\n"
	"Put memfds into a session and stay in the background, or, in the next\n"
	"kernel, take them out, check every byte and finish the session. Or make and\n"
	"fill them only.\n"
	"\n"
	"  --files N   how many (default: 1)\n"
	"  --size MIB  content of each (default: 16)\n"
	"  --start MIB where in the file it begins (default: 0)\n"
	"  --ballast MIB\n"
	"              of other memory in use while they are filled (default: 0)\n"
	"  --huge MIB  use huge pages of that size\n"
	"  --node N    use memory of this node (default: of all by turns)\n"
	"  --help      print this\n"
	"\n"
	"keep and fill print the lowest and the highest MiB of memory that they use at\n"
	"first. Exit status: 0, 1 if something failed, 2 if the arguments make no sense.\n";

static int fail(const char *what, long long err)
{
	fprintf(stderr, "luo_host: %s: %s\n", what, strerror(-err));
	return 1;
}

/* Widens a range of page frames by those of the file. */
static int add_frames(int fd, __u64 *low, __u64 *high)
{
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, start);
	__u64 *frames = malloc(size / PAGE * sizeof(*frames));
	int err = map == MAP_FAILED || !frames ? -ENOMEM :
		  luo_frames(map, size / PAGE, frames);
	long long i;

	for (i = 0; i < size / PAGE && !err; i++) {
		*low = frames[i] < *low ? frames[i] : *low;
		*high = frames[i] > *high ? frames[i] : *high;
	}
	free(frames);
	if (map != MAP_FAILED)
		munmap(map, size);
	return err;
}

static int make_file(void)
{
	unsigned int shift = __builtin_ctzll(huge);

	return huge ? luo_memfd_flags("host", start + size, MFD_CLOEXEC | MFD_HUGETLB |
				      shift << MAP_HUGE_SHIFT) :
		      luo_memfd(start + size);
}

/* Huge pages can't be written by write(). */
static int fill_file(int fd, int token)
{
	char *map;

	if (!huge)
		return luo_fill(fd, start, size, token);

	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	if (map == MAP_FAILED)
		return -errno;
	luo_pattern_bytes(token, start, map, size);
	return munmap(map, size) ? -errno : 0;
}

static int fill_files(int *fds)
{
	const unsigned long nodes = node < 0 ? 0xff : 1ul << node;
	__u64 low = ~0ull, high = 0;
	int i, err = 0;

	syscall(SYS_set_mempolicy, node < 0 ? MPOL_INTERLEAVE : MPOL_BIND, &nodes,
		sizeof(nodes) * 8);
	for (i = 0; i < files && !err; i++) {
		fds[i] = make_file();
		err = fds[i] < 0 ? fds[i] : fill_file(fds[i], i);
		err = err ?: add_frames(fds[i], &low, &high);
	}
	if (err)
		return fail("fill file", err);
	printf("%llu %llu\n", low * PAGE / MIB, high * PAGE / MIB);
	fflush(stdout);
	return 0;
}

static int fill(int *fds)
{
	int fd = luo_memfd(ballast), err;

	err = fd < 0 ? fd : luo_fill(fd, 0, ballast, files);
	err = err ? fail("fill ballast", err) : fill_files(fds);
	close(fd);
	return err;
}

/* Who holds the session lives until the jump. */
static int keep(int dev, int *fds)
{
	int session = luo_create(dev, SESSION), token, err;

	if (session < 0)
		return fail("create session", session);
	if (fill(fds))
		return 1;
	for (token = 0; token < files; token++) {
		err = luo_preserve(session, fds[token], token);
		if (err)
			return fail("preserve file", err);
	}
	return daemon(0, 0) ? fail("daemon", -errno) : pause();
}

static int check_file(int session, int token)
{
	int fd = luo_retrieve_fd(session, token);

	if (fd < 0)
		return fd;
	if (luo_size(fd) != start + size)
		return -ERANGE;
	if (start && !huge && lseek(fd, 0, SEEK_DATA) != start)
		return -EILSEQ;
	return luo_verify(fd, start, size, token);
}

static int check(int dev)
{
	int session = luo_retrieve(dev, SESSION), token, err;

	if (session < 0)
		return fail("retrieve session", session);
	for (token = 0; token < files; token++) {
		err = check_file(session, token);
		if (err)
			return fail("check file", err);
	}
	err = luo_finish(session);
	return err ? fail("finish session", err) : 0;
}

static const struct option options[] = {
	{ "files", required_argument, NULL, 'f' },
	{ "size", required_argument, NULL, 's' },
	{ "start", required_argument, NULL, 'a' },
	{ "ballast", required_argument, NULL, 'b' },
	{ "huge", required_argument, NULL, 'p' },
	{ "node", required_argument, NULL, 'n' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

/* Returns 0 if the arguments make sense. */
static int parse(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			files = atoi(optarg);
			break;
		case 's':
			size = atoi(optarg) * MIB;
			break;
		case 'a':
			start = atoi(optarg) * MIB;
			break;
		case 'b':
			ballast = atoi(optarg) * MIB;
			break;
		case 'p':
			huge = atoi(optarg) * MIB;
			break;
		case 'n':
			node = atoi(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	return optind + 1 == argc && files > 0 && size > 0 && start >= 0 && node < 8 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	const char *verb;
	int dev, *fds;

	if (parse(argc, argv))
		goto usage;
	verb = argv[optind];
	fds = calloc(files, sizeof(*fds));
	if (!fds)
		return fail("start", -ENOMEM);
	if (!strcmp(verb, "fill"))
		return fill(fds);
	if (strcmp(verb, "keep") && strcmp(verb, "check"))
		goto usage;
	dev = luo_open();
	if (dev < 0)
		return fail(LUO_DEVICE, dev);
	return !strcmp(verb, "keep") ? keep(dev, fds) : check(dev);

usage:
	fputs(usage, stderr);
	return 2;
}
