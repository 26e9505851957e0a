// SPDX-License-Identifier: GPL-2.0
/*
 * What live update costs, by a counter that goes on across kexec.
 *
 * The only program of two machines in a row: as init of the first kernel it
 * makes files and preserves them, as init of the second it gets them back and
 * reports. Uses only commands that every kernel with /dev/liveupdate has. Where
 * the counter counts instructions, as in QEMU with -icount shift=0, so do the
 * results.
 */

#include <stdarg.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <termios.h>

#include "luo_huge.h"

#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

#define PAGE		4096ULL
#define HUGE_PAGES	512
#define SCATTER		0x9e3779b1ULL	/* odd, so that each page has its turn */
#define AT_ONCE		"memfd_luo_demand.min_pages=0 hugetlb_luo_demand.min_mb=0"
#define IN_SESSION	1000		/* files in each session of "many" */
#define STAMP		"stamp"

/* What the first kernel tells the second, in a preserved memfd. */
struct stamp {
	__u64 rebooted;
	__u64 create;
	__u64 preserve;
	__u64 memory;
	__u64 runs;
	__u64 scratch;
	__u64 load;
};

struct bench {
	const char *name;
	const char *help;
	void (*before)(const struct bench *b, __u64 n, struct stamp *stamp);
	void (*after)(const struct bench *b, __u64 n, const struct stamp *stamp);
	__u64 in_session;		/* files */
	__u64 files;			/* of "share" */
	long long page;			/* bytes of a huge page */
	bool on_demand;			/* pages may come in after the file */
	bool random;			/* order in which pages are touched */
};

static int dev;

/* ---- time ---- */

/*
 * The first instructions of this program. The kernel hands over nothing but the
 * stack and a pointer in rdx.
 */
__u64 bench_entered;
asm(".pushsection .text\n"
	".globl bench_entry\n"
	"bench_entry:\n"
	"mov %rdx, %rcx\n"
	"rdtsc\n"
	"shl $32, %rdx\n"
	"or %rdx, %rax\n"
	"mov %rax, bench_entered(%rip)\n"
	"mov %rcx, %rdx\n"
	"jmp _start\n"
	".popsection\n");

static __u64 now(void)
{
	return __builtin_ia32_rdtsc();
}

/* ---- results ---- */

static void __noreturn switch_off(int status)
{
	printf("exit %d\n", status);
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_POWER_OFF, NULL);
	for (;;)
		pause();
}

static void __noreturn __printf(1, 2) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "luo_bench: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	switch_off(1);
}

/* The result of a call that must not fail. */
static int ok(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, strerror(-result));
	return result;
}

/* A function of its own: dev/bench --profile knows by it where a phase ends. */
static void __attribute__((noipa)) report(const char *what, __u64 value)
{
	printf("%s %llu\n", what, (unsigned long long)value);
}

/* ---- memory ---- */

static __u64 *map_words(int fd, __u64 pages)
{
	void *map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, fd, 0);

	if (map == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return map;
}

/* Where the pages of a file are in physical memory. */
static __u64 *page_frames(int fd, __u64 pages)
{
	__u64 *frames = malloc(pages * 8);
	__u64 *words = map_words(fd, pages);
	int err = frames ? luo_frames(words, pages, frames) : -ENOMEM;

	if (err)
		die("/proc/self/pagemap: %s", strerror(-err));
	munmap(words, pages * PAGE);
	return frames;
}

/* In how many pieces physical memory has the file. */
static __u64 count_runs(int fd, __u64 pages)
{
	__u64 *frames = page_frames(fd, pages), i, runs = 1;

	luo_sort_frames(frames, pages);
	for (i = 1; i < pages; i++)
		runs += frames[i] != frames[i - 1] + 1;
	free(frames);
	return runs;
}

/* ---- scratch memory ---- */

/* How many pages of a file lie in it, 0 where the kernel does not tell. */
static __u64 count_scratch(int fd, __u64 pages)
{
	__u64 *frames = page_frames(fd, pages);
	long long found = luo_scratch_pages(frames, pages);

	free(frames);
	return found < 0 ? 0 : found;
}

static void check_huge(int fd, __u64 pages)
{
	__u64 *frames = page_frames(fd, pages), flags, i;

	for (i = 0; i < pages; i += HUGE_PAGES) {
		ok(luo_page_flags(frames + i, 1, &flags), "/proc/kpageflags");
		if (frames[i] % HUGE_PAGES || !(flags >> KPF_THP & 1))
			die("page %llu is not the first of a folio of 2 MiB",
			    (unsigned long long)i);
	}
	free(frames);
}

/* ---- files ---- */

static int make_file(__u64 pages)
{
	return ok(luo_memfd_flags("bench", pages * PAGE, MFD_CLOEXEC), "memfd");
}

static void write_page(int fd, __u64 page, __u64 word)
{
	if (pwrite(fd, &word, sizeof(word), page * PAGE) != sizeof(word))
		die("write: %s", strerror(errno));
}

static void check_page(int fd, __u64 page, __u64 word)
{
	__u64 seen;

	if (pread(fd, &seen, sizeof(seen), page * PAGE) != sizeof(seen) || seen != word)
		die("page %llu of file %d has lost its content",
		    (unsigned long long)page, fd);
}

static void name_session(char *name, __u64 i)
{
	sprintf(name, "bench-%llu", (unsigned long long)i);
}

static int create_session(__u64 i)
{
	char name[32];

	name_session(name, i);
	return ok(luo_create(dev, name), name);
}

static int retrieve_session(__u64 i)
{
	char name[32];

	name_session(name, i);
	return ok(luo_retrieve(dev, name), name);
}

/* ---- n files, of one page each ---- */

static __u64 session_count(const struct bench *b, __u64 n)
{
	return b->in_session ? (n + b->in_session - 1) / b->in_session : 1;
}

static void files_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	__u64 i, begin, sessions = session_count(b, n), memory;
	int *fds = malloc(n * sizeof(*fds));
	int *session = malloc(sessions * sizeof(*session));

	for (i = 0; i < n; i++) {
		fds[i] = make_file(1);
		write_page(fds[i], 0, i);
		stamp->scratch += count_scratch(fds[i], 1);
	}

	memory = luo_free_memory();
	begin = now();
	for (i = 0; i < sessions; i++)
		session[i] = create_session(i);
	stamp->create = now() - begin;

	begin = now();
	for (i = 0; i < n; i++)
		ok(luo_preserve(session[b->in_session ? i / b->in_session : 0],
				fds[i], i), "preserve");
	stamp->preserve = now() - begin;
	stamp->memory = memory - luo_free_memory();
}

static void files_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
	__u64 i, begin, sessions = session_count(b, n);
	int *fds = malloc(n * sizeof(*fds));
	int *session = malloc(sessions * sizeof(*session));

	begin = now();
	for (i = 0; i < n; i++) {
		__u64 s = b->in_session ? i / b->in_session : 0;

		if (i == s * b->in_session)
			session[s] = retrieve_session(s);
		fds[i] = ok(luo_retrieve_fd(session[s], i), "retrieve");
	}
	report("retrieve", now() - begin);

	for (i = 0; i < n; i++)
		check_page(fds[i], 0, i);

	begin = now();
	for (i = 0; i < sessions; i++)
		ok(luo_finish(session[i]), "finish");
	report("finish", now() - begin);
}

/* ---- n empty sessions ---- */

static void sessions_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	__u64 i, begin, memory = luo_free_memory();

	begin = now();
	for (i = 0; i < n; i++)
		create_session(i);
	stamp->create = now() - begin;
	stamp->memory = memory - luo_free_memory();
}

static void sessions_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
	int *session = malloc(n * sizeof(*session));
	__u64 i, begin;

	begin = now();
	for (i = 0; i < n; i++)
		session[i] = retrieve_session(i);
	report("retrieve", now() - begin);

	begin = now();
	for (i = 0; i < n; i++)
		ok(luo_finish(session[i]), "finish");
	report("finish", now() - begin);
}

/* ---- one file of n pages ---- */

static void preserve_big(int fd, __u64 n, struct stamp *stamp)
{
	int session = create_session(0);
	__u64 begin, memory;

	stamp->scratch = count_scratch(fd, n);
	memory = luo_free_memory();
	begin = now();
	ok(luo_preserve(session, fd, 0), "preserve");
	stamp->preserve = now() - begin;
	stamp->memory = memory - luo_free_memory();
	/* To preserve a file may have moved it. */
	stamp->runs = count_runs(fd, n);
}

static void pages_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	int fd = make_file(n);
	__u64 i;

	for (i = 0; i < n; i++)
		write_page(fd, i, i);
	preserve_big(fd, n, stamp);
}

/* A file no two pages of which stand side by side: what does is the other's. */
static int make_scattered(__u64 n, int *other)
{
	int fd = make_file(n);
	__u64 i;

	*other = make_file(n);
	for (i = 0; i < n; i++) {
		write_page(fd, i, i);
		write_page(*other, i, ~i);
	}
	return fd;
}

static void scattered_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	int other, fd = make_scattered(n, &other);

	preserve_big(fd, n, stamp);
	if (stamp->runs < n - n / 20)
		die("%llu pages are in %llu pieces: not scattered",
		    (unsigned long long)n, (unsigned long long)stamp->runs);
}

/* Compaction fills the end of memory, where scratch memory is as well. */
static void compacted_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	int other, fd = make_scattered(n, &other);

	close(other);
	ok(luo_write("/proc/sys/vm/compact_memory", "1"), "compact_memory");
	preserve_big(fd, n, stamp);
}

static void huge_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	int fd;
	__u64 i;

	ok(luo_write("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always"),
	   "shmem_enabled");
	fd = make_file(n);
	for (i = 0; i < n; i++)
		write_page(fd, i, i);
	check_huge(fd, n);
	preserve_big(fd, n, stamp);
}

/* The pool is made as large as the file, and the whole of it is the file's. */
static void hugetlb_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
	const char *pool = b->page == HUGE ? HUGE_POOL : GIB_POOL;
	int pages = n * PAGE / b->page, fd;
	__u64 i, *words;

	ok(luo_pool_resize_at(pool, pages) == pages ? 0 : -ENOMEM, "nr_hugepages");
	fd = ok(luo_memfd_flags("bench", n * PAGE, MFD_CLOEXEC |
				(b->page == HUGE ? LUO_MFD_2MB : LUO_MFD_1GB)), "memfd");
	words = map_words(fd, n);
	for (i = 0; i < n; i++)
		words[i * PAGE / sizeof(*words)] = i;
	munmap(words, n * PAGE);
	preserve_big(fd, n, stamp);
}

/* As a guest does, for the first time, page by page. */
static void touch_pages(const struct bench *b, int fd, __u64 n)
{
	__u64 *words = mmap(NULL, n * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	__u64 i, page, begin;

	if (words == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	if (b->random && n & (n - 1))
		die("%llu: no power of two", (unsigned long long)n);

	begin = now();
	for (i = 0; i < n; i++) {
		page = b->random ? i * SCATTER % n : i;
		if (words[page * PAGE / sizeof(*words)] != page)
			die("page %llu has lost its content", (unsigned long long)page);
	}
	report("touch", now() - begin);
	munmap(words, n * PAGE);
}

static void retrieve_big(int *session, int *fd)
{
	__u64 begin = now();

	*session = retrieve_session(0);
	*fd = ok(luo_retrieve_fd(*session, 0), "retrieve");
	report("retrieve", now() - begin);
}

static void finish_big(int session)
{
	__u64 begin = now();

	ok(luo_finish(session), "finish");
	report("finish", now() - begin);
}

static void big_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
	int session, fd;

	retrieve_big(&session, &fd);
	touch_pages(b, fd, n);
	finish_big(session);
}

/* The kernel has time for it before anybody touches a page. */
static void idle_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
	int session, fd;
	__u64 begin;

	retrieve_big(&session, &fd);
	begin = now();
	while (luo_waiting_kb(fd) > 0)
		usleep(1000);
	report("whole", now() - begin);
	touch_pages(b, fd, n);
	finish_big(session);
}

/* The next update comes at once, and is called off. */
static void again_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
	int session, fd, next;
	__u64 begin;

	retrieve_big(&session, &fd);
	finish_big(session);
	next = create_session(1);
	begin = now();
	ok(luo_preserve(next, fd, 0), "preserve");
	report("again", now() - begin);
	begin = now();
	ok(luo_unpreserve(next, 0), "unpreserve");
	report("back", now() - begin);
	touch_pages(b, fd, n);
}

/* ---- files that have n % of all memory ---- */

static off_t share_size(const struct bench *b, __u64 percent, __u64 memory)
{
	return memory / 100 * percent / b->files / PAGE * PAGE;
}

/* What the kernel has not got is an answer. */
static void __noreturn report_share(__u64 percent)
{
	report("share", percent);
	switch_off(0);
}

static void share_before(const struct bench *b, __u64 percent, struct stamp *stamp)
{
	int session = create_session(0), fd;
	struct sysinfo info;
	__u64 i;

	sysinfo(&info);
	stamp->memory = info.totalram * info.mem_unit;
	for (i = 0; i < b->files; i++) {
		fd = luo_filled_memfd(share_size(b, percent, stamp->memory), i);
		if (fd < 0 || luo_preserve(session, fd, i) < 0)
			report_share(0);
	}
}

static void share_after(const struct bench *b, __u64 percent,
			const struct stamp *stamp)
{
	off_t size = share_size(b, percent, stamp->memory);
	int session = retrieve_session(0), fd;
	__u64 i;

	for (i = 0; i < b->files; i++) {
		fd = luo_retrieve_fd(session, i);
		if (fd < 0)
			report_share(0);
		ok(luo_verify(fd, 0, size, i), "verify");
	}
	ok(luo_finish(session), "finish");
	report_share(percent);
}

/* ---- the rest ---- */

static void nothing_before(const struct bench *b, __u64 n, struct stamp *stamp)
{
}

static void nothing_after(const struct bench *b, __u64 n, const struct stamp *stamp)
{
}

static const struct bench benches[] = {
	{ "nothing", "no file at all", nothing_before, nothing_after },
	{ "files", "N files of one page in one session", files_before, files_after },
	{ "many", "N files of one page, 1000 in each session", files_before,
	  files_after, IN_SESSION },
	{ "sessions", "N empty sessions", sessions_before, sessions_after },
	{ "pages", "one file of N pages, where they come to stand", pages_before,
	  big_after },
	{ "scattered", "one file of N pages, no two of which stand side by side",
	  scattered_before, big_after },
	{ "compacted", "the same, after compaction", compacted_before, big_after },
	{ "random", "the same as pages, touched at random", pages_before, big_after,
	  .random = true },
	{ "huge", "one file of N pages in folios of 2 MiB", huge_before, big_after },
	{ "demand", "as pages, and pages come in when they are touched", pages_before,
	  big_after, .on_demand = true },
	{ "demand_random", "the same, touched at random", pages_before, big_after,
	  .on_demand = true, .random = true },
	{ "demand_idle", "the same, and nobody touches them", pages_before, idle_after,
	  .on_demand = true },
	{ "demand_again", "the same, and preserved again before any is touched", pages_before,
	  again_after, .on_demand = true },
	{ "demand_huge", "as huge, and folios come in when they are touched", huge_before,
	  big_after, .on_demand = true },
	{ "hugetlb", "one file of N pages in huge pages of 2 MiB", hugetlb_before,
	  big_after, .page = HUGE },
	{ "giant", "one file of N pages in huge pages of 1 GiB", hugetlb_before,
	  big_after, .page = GIB },
	{ "demand_hugetlb", "as hugetlb, and pages come in when they are touched",
	  hugetlb_before, big_after, .on_demand = true, .page = HUGE },
	{ "demand_giant", "as giant, and pages come in when they are touched",
	  hugetlb_before, big_after, .on_demand = true, .page = GIB },
	{ "share1", "one file with N % of all memory, until it can't be had",
	  share_before, share_after, .files = 1 },
	{ "share9", "nine files with as much", share_before, share_after, .files = 9 },
	{ "share2000", "2,000 files with as much", share_before, share_after,
	  .files = 2000 },
	{ }
};

/* What files and shmem cost while live update is off. */
static void run_off(__u64 n)
{
	__u64 i, begin = now();

	for (i = 0; i < n; i++) {
		int fd = make_file(4);
		__u64 *words;

		write_page(fd, 0, i);
		words = map_words(fd, 4);
		words[0] = 0;
		munmap(words, 4 * PAGE);
		check_page(fd, 0, 0);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) ||
		    fcntl(fd, F_GET_SEALS) < 0 || ftruncate(fd, 8 * PAGE))
			die("memfd: %s", strerror(errno));
		close(fd);
	}
	report("off", now() - begin);
	report("boot", bench_entered);
	switch_off(0);
}

/* ---- two kernels ---- */

static void load_next(const struct bench *b, const char *words)
{
	int kernel = open("/boot/bzImage", O_RDONLY | O_CLOEXEC);
	int initrd = open("/boot/initrd", O_RDONLY | O_CLOEXEC);
	char line[1024];

	if (kernel < 0 || initrd < 0)
		die("/boot: %s", strerror(errno));
	snprintf(line, sizeof(line), "%s %s bench_stage=2", words,
		 b->on_demand ? "" : AT_ONCE);
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0ul))
		die("kexec_file_load: %s", strerror(errno));
	close(kernel);
	close(initrd);
}

static void run_before(const struct bench *b, __u64 n)
{
	struct stamp *stamp;
	char line[512];
	int fd, session;
	__u64 begin;

	/*
	 * The kernel may have thousands of free pages at hand, which would make
	 * few files seem cheaper to preserve than many. Let it be hundreds.
	 */
	ok(luo_write("/proc/sys/vm/percpu_pagelist_high_fraction", "1000000"),
	   "percpu_pagelist_high_fraction");
	/*
	 * A host has been up for longer than its kernel takes to know how fast
	 * its clocks are.
	 */
	sleep(3);
	ok(luo_read_line("/proc/cmdline", line, sizeof(line)), "/proc/cmdline");
	begin = now();
	load_next(b, line);
	dev = ok(luo_open(), LUO_DEVICE);
	session = ok(luo_create(dev, STAMP), STAMP);
	fd = make_file(1);
	stamp = (void *)map_words(fd, 1);
	stamp->load = now() - begin;
	b->before(b, n, stamp);
	ok(luo_preserve(session, fd, 0), STAMP);
	stamp->rebooted = now();
	ok(luo_reboot(), "reboot");
}

static void run_after(const struct bench *b, __u64 n)
{
	__u64 begin = now(), opened;
	struct stamp stamp;
	int fd, session;

	dev = ok(luo_open(), LUO_DEVICE);
	opened = now() - begin;
	session = ok(luo_retrieve(dev, STAMP), STAMP);
	fd = ok(luo_retrieve_fd(session, 0), STAMP);
	if (pread(fd, &stamp, sizeof(stamp), 0) != sizeof(stamp))
		die("the stamp can't be read");

	report("blackout", bench_entered - stamp.rebooted);
	report("load", stamp.load);
	report("create", stamp.create);
	report("preserve", stamp.preserve);
	report("memory", stamp.memory);
	report("runs", stamp.runs);
	report("scratch", stamp.scratch);
	report("open", opened);
	b->after(b, n, &stamp);
	ok(luo_finish(session), STAMP);
	switch_off(0);
}

static const char usage[] =
	"Usage: luo_bench --help\n"
	"Measure what live update costs. It has to be init, of a machine whose first\n"
	"kernel is given bench=NAME:N, kho=on and liveupdate=on, and that finds\n"
	"/boot/bzImage and /boot/initrd, the second kernel and its root file system\n"
	"with this program as init. Results go to ttyS1, and then the machine is\n"
	"switched off. NAME is one of:\n\n";

static int print_usage(FILE *f)
{
	const struct bench *b;

	fputs(usage, f);
	for (b = benches; b->name; b++)
		fprintf(f, "  %-12s%s\n", b->name, b->help);
	fprintf(f, "  %-12s%s\n", "off", "use N files without live update");
	return f == stdout ? 0 : 2;
}

static void set_up(void)
{
	const struct rlimit limit = { 1 << 20, 1 << 20 };
	struct termios mode;
	int fd;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("debug", "/sys/kernel/debug", "debugfs", 0, NULL);
	fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || tcgetattr(fd, &mode))
		die("/dev/ttyS1: %s", strerror(errno));
	cfmakeraw(&mode);
	tcsetattr(fd, TCSANOW, &mode);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	const char *wanted = getenv("bench");
	const struct bench *b;
	char name[32];
	unsigned long long n = 0;

	if (getpid() != 1)
		return print_usage(argc == 2 && !strcmp(argv[1], "--help") ?
				   stdout : stderr);
	set_up();
	if (!wanted || sscanf(wanted, "%31[^:]:%llu", name, &n) < 1)
		die("no bench=NAME:N on the kernel's command line");
	if (!strcmp(name, "off"))
		run_off(n);

	for (b = benches; b->name && strcmp(b->name, name); b++)
		;
	if (!b->name)
		die("bench=%s: no such bench", wanted);
	if (getenv("bench_stage"))
		run_after(b, n);
	run_before(b, n);
	return 1;
}
