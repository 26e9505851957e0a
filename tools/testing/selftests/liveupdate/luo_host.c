// SPDX-License-Identifier: GPL-2.0
/*
 * One session, to see whether a machine takes memory through an update: keep it in
 * one kernel, check it in the next.
 */

#include <getopt.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host_uses.h"
#include "luo_state.h"
#include "luo_test.h"

#define SESSION	"host"
#define MIB	(1024 * 1024ll)
#define PAGE	4096ll

static long long size = 16 * MIB, start, ballast, huge;
static int files = 1, share, node = -1;
static bool late;
static const struct host_use *use;

static const char usage[] =
	"Usage: luo_host keep|check|drop|split|fill|undo|overdo|poison|find [OPTION]...\n"
	"Put memfds into a session and stay in the background, or, in the next\n"
	"kernel, take them out, check every byte and finish the session, or finish it\n"
	"without taking them out, or after each was refused because its pages are in\n"
	"several zones. Or make and fill them only. Or preserve them and take that back,\n"
	"and see that nothing of it would be handed over. Or see that a memfd which the\n"
	"kernel has no memory to preserve is refused, and whole. Or see that a memfd with\n"
	"a memory error can not be preserved, and that an error in one that is stops the\n"
	"jump for which an image is loaded. Or find in /proc/vmcore all that was kept.\n"
	"\n"
	"  --files N   how many (default: 1)\n"
	"  --size MIB  content of each (default: 16)\n"
	"  --share PERCENT\n"
	"              content of all of them, as part of all memory\n"
	"  --start MIB where in the file it begins (default: 0)\n"
	"  --ballast MIB\n"
	"              of other memory in use while they are filled (default: 0)\n"
	"  --huge MIB  use huge pages of that size\n"
	"  --late      keep fills files that are preserved already\n"
	"  --node N    use memory of this node (default: of all by turns)\n"
	"  --use NAME  what else is done with the files: pins (by udmabuf and io_uring,\n"
	"              in both kernels), swap (before they are preserved) or faults\n"
	"              (answered by userfaultfd, after they were retrieved)\n"
	"  --help      print this\n"
	"\n"
	"keep, fill and undo print the lowest and the highest MiB of memory that they use at\n"
	"first, and how many pages of them are in scratch memory. Exit status: 0, 1 if\n"
	"something failed, 2 if the arguments make no sense.\n";

/* Where the files are: page frames. */
struct place {
	__u64 low;
	__u64 high;
	long long in_scratch;
};

static int fail(const char *what, long long err)
{
	fprintf(stderr, "luo_host: %s: %s\n", what, strerror(-err));
	return 1;
}

/* What the kernel has of memory is known only now. */
static int size_by_share(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return -errno;
	if (share)
		size = info.totalram * info.mem_unit / 100 * share / files & -PAGE;
	return 0;
}

static void add_frame(struct place *place, __u64 frame)
{
	place->low = frame < place->low ? frame : place->low;
	place->high = frame > place->high ? frame : place->high;
}

static int add_frames(int fd, struct place *place)
{
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, start);
	__u64 *frames = malloc(size / PAGE * sizeof(*frames));
	int err = map == MAP_FAILED || !frames ? -ENOMEM :
		  luo_frames(map, size / PAGE, frames);
	long long i, in_scratch = err ?: luo_scratch_pages(frames, size / PAGE);

	for (i = 0; i < size / PAGE && !err; i++)
		add_frame(place, frames[i]);
	if (in_scratch < 0)
		err = in_scratch;
	else
		place->in_scratch += in_scratch;
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

static struct host_range file_range(int token)
{
	return (struct host_range){ .start = start, .len = size, .token = token };
}

static int fill_files(int *fds)
{
	const unsigned long nodes = node < 0 ? 0xff : 1ul << node;
	struct place place = { .low = ~0ull };
	int i, err = size_by_share();

	syscall(SYS_set_mempolicy, node < 0 ? MPOL_INTERLEAVE : MPOL_BIND, &nodes,
		sizeof(nodes) * 8);
	for (i = 0; i < files && !err; i++) {
		fds[i] = make_file();
		err = fds[i] < 0 ? fds[i] : 0;
		if (!err && !late)
			err = fill_file(fds[i], i) ?: add_frames(fds[i], &place);
	}
	if (err)
		return fail("fill file", err);
	printf("%llu %llu %lld\n", place.low * PAGE / MIB, place.high * PAGE / MIB,
	       place.in_scratch);
	fflush(stdout);
	return 0;
}

static int fill(int dev, int *fds)
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
	if (fill(dev, fds))
		return 1;
	for (token = 0; token < files; token++) {
		const struct host_range range = file_range(token);

		err = use && use->keep ? use->keep(fds[token], &range) : 0;
		if (err)
			return fail("use file", err);
		err = luo_preserve(session, fds[token], token);
		if (err)
			return fail("preserve file", err);
		err = late ? fill_file(fds[token], token) : 0;
		if (err)
			return fail("fill preserved file", err);
	}
	return daemon(0, 0) ? fail("daemon", -errno) : pause();
}

static int check_use(int fd, int token)
{
	const struct host_range range = file_range(token);

	return use && use->check ? use->check(fd, &range) ?:
				   luo_verify(fd, start, size, token) : 0;
}

static int check_file(int session, int token)
{
	int fd = luo_retrieve_fd(session, token);

	if (fd < 0)
		return fd;
	if (share)
		size = luo_size(fd) - start;
	if (luo_size(fd) != start + size || size <= 0)
		return -ERANGE;
	if (start && !huge && lseek(fd, 0, SEEK_DATA) != start)
		return -EILSEQ;
	return luo_verify(fd, start, size, token) ?: check_use(fd, token);
}

/* Each file is looked at, if there is a way to, and the session finished. */
static int end_session(int dev, const char *what, int (*look)(int session, int token))
{
	int session = luo_retrieve(dev, SESSION), token, err;

	if (session < 0)
		return fail("retrieve session", session);
	for (token = 0; look && token < files; token++) {
		err = look(session, token);
		if (err)
			return fail(what, err);
	}
	err = luo_finish(session);
	return err ? fail("finish session", err) : 0;
}

static int check(int dev, int *fds)
{
	return end_session(dev, "check file", check_file);
}

static int drop(int dev, int *fds)
{
	return end_session(dev, NULL, NULL);
}

static int file_is_refused(int session, int token)
{
	int fd = luo_retrieve_fd(session, token);

	if (fd >= 0)
		return -EEXIST;
	return fd == -EOPNOTSUPP ? 0 : fd;
}

static int split(int dev, int *fds)
{
	return end_session(dev, "refuse pages in several zones", file_is_refused);
}

/* The map is read as the next kernel reads it. */
static int undo(int dev, int *fds)
{
	const long long before = luo_count_preserved();
	long long now;
	int session = luo_create(dev, SESSION), token, err = 0;

	if (session < 0)
		return fail("create session", session);
	if (before < 0)
		return fail("read the map", before);
	if (fill(dev, fds))
		return 1;
	for (token = 0; token < files && !err; token++)
		err = luo_preserve(session, fds[token], token);
	if (err)
		return fail("preserve file", err);
	now = luo_count_preserved();
	if (now < before + files * (size / PAGE))
		return fail("read the map", -ENODATA);
	for (token = 0; token < files && !err; token++)
		err = luo_unpreserve(session, token);
	if (err)
		return fail("unpreserve file", err);
	close(session);
	now = luo_count_preserved();
	fprintf(stderr, "luo_host: preserved pages: %lld before, %lld after\n", before, now);
	return now != before;
}

static int overdo(int dev, int *fds)
{
	int session = luo_create(dev, SESSION), err;

	if (session < 0)
		return fail("create session", session);
	fds[0] = luo_filled_memfd(size, 0);
	if (fds[0] < 0)
		return fail("memfd", fds[0]);
	err = luo_preserve(session, fds[0], 0);
	if (err != -ENOMEM)
		return fail("preserve more than can be", err);
	if (luo_count_files(session))
		return fail("list files", -EEXIST);
	err = luo_verify(fds[0], 0, size, 0) ?: luo_fill(fds[0], 0, size, 1);
	return err ? fail("use what was refused", err) : 0;
}

/* Whether the kernel knows that a page frame is lost. */
static bool is_lost(__u64 frame)
{
	__u64 flags;

	return !luo_page_flags(&frame, 1, &flags) && flags >> KPF_HWPOISON & 1;
}

/*
 * As if the machine had found an error in memory. Who meets it is killed, and the
 * kernel says EBUSY if it can't take the page from who holds it.
 */
static int lose_page(int fd, off_t offset)
{
	char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, offset);
	int err = map == MAP_FAILED ? -errno : 0;
	__u64 frame;
	pid_t pid;

	err = err ?: luo_frames(map, 1, &frame);
	if (err)
		return err;
	pid = fork();
	if (!pid) {
		madvise(map, PAGE, MADV_HWPOISON);
		_exit(0);
	}
	munmap(map, PAGE);
	return waitpid(pid, NULL, 0) == pid && is_lost(frame) ? 0 : -ENODATA;
}

/* The next kernel would take whatever it reads there for content. */
static int poison(int dev, int *fds)
{
	int session = luo_create(dev, SESSION), fd = luo_filled_memfd(size, 0), err;

	if (session < 0 || fd < 0)
		return fail("start", -ENOMEM);
	err = lose_page(fd, PAGE);
	if (err)
		return fail("lose page", err);
	err = luo_preserve(session, fd, 0);
	if (err != -EHWPOISON || luo_count_files(session))
		return fail("preserve what was lost", err);

	/* Without the page it is a file as others. */
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE))
		return fail("punch hole", -errno);
	err = luo_preserve(session, fd, 0) ?: lose_page(fd, 0);
	if (err)
		return fail("preserve what is left", err);
	err = luo_reboot();
	if (err != -EHWPOISON)
		return fail("jump with what was lost", err);
	err = luo_unpreserve(session, 0) ?: luo_verify(fd, 2 * PAGE, size - 2 * PAGE, 0);
	return err ? fail("use what is left", err) : 0;
}

/* Where a file that was filled with @seed has @word: luo_pattern() the other way. */
static __u64 pattern_offset(__u64 seed, __u64 word)
{
	__u64 x = word * 0x96de1b173f119089ULL;

	return x ^ x >> 31 ^ x >> 62 ^ (seed + 1) * 0x9e3779b97f4a7c15ULL;
}

/* Note what page of the files it is, if any; returns 1 if it was not seen before. */
static int note_page(const char *page, char *seen)
{
	char want[PAGE];
	__u64 word, offset;
	int token;

	memcpy(&word, page, sizeof(word));
	for (token = 0; token < files; token++, seen += size / PAGE) {
		offset = pattern_offset(token, word) - start;
		if (offset >= (__u64)size || offset % PAGE || seen[offset / PAGE])
			continue;
		luo_pattern_bytes(token, start + offset, want, PAGE);
		if (!memcmp(page, want, PAGE))
			return seen[offset / PAGE] = 1;
	}
	return 0;
}

/* Headers and memory are whole pages in it. */
static int find(int dev, int *fds)
{
	const long long pages = files * (size / PAGE);
	int fd = open("/proc/vmcore", O_RDONLY);
	char *seen = calloc(pages, 1), page[PAGE];
	long long found = 0;
	ssize_t len;

	if (fd < 0 || !seen)
		return fail("/proc/vmcore", -errno);
	while ((len = read(fd, page, PAGE)) == PAGE)
		found += note_page(page, seen);
	fprintf(stderr, "luo_host: found %lld of %lld pages\n", found, pages);
	return len || found != pages;
}

static const struct verb {
	const char *name;
	int (*run)(int dev, int *fds);
	bool without_device;
} verbs[] = {
	{ "keep", keep },
	{ "check", check },
	{ "drop", drop },
	{ "split", split },
	{ "fill", fill, true },
	{ "undo", undo },
	{ "overdo", overdo },
	{ "poison", poison },
	{ "find", find, true },
};

static const struct verb *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static const struct option options[] = {
	{ "files", required_argument, NULL, 'f' },
	{ "size", required_argument, NULL, 's' },
	{ "share", required_argument, NULL, 'r' },
	{ "start", required_argument, NULL, 'a' },
	{ "ballast", required_argument, NULL, 'b' },
	{ "huge", required_argument, NULL, 'p' },
	{ "late", no_argument, NULL, 'l' },
	{ "node", required_argument, NULL, 'n' },
	{ "use", required_argument, NULL, 'u' },
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
		case 'r':
			share = atoi(optarg);
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
		case 'l':
			late = true;
			break;
		case 'n':
			node = atoi(optarg);
			break;
		case 'u':
			use = host_find_use(optarg);
			if (!use)
				return -EINVAL;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	return optind + 1 == argc && files > 0 && size > 0 && start >= 0 && node < 8 &&
	       share >= 0 && share < 100 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	const struct verb *verb = parse(argc, argv) ? NULL : find_verb(argv[optind]);
	int dev = -1, *fds;

	if (!verb) {
		fputs(usage, stderr);
		return 2;
	}
	fds = calloc(files, sizeof(*fds));
	if (!fds)
		return fail("start", -ENOMEM);
	if (!verb->without_device) {
		dev = luo_open();
		if (dev < 0)
			return fail(LUO_DEVICE, dev);
	}
	return verb->run(dev, fds);
}
