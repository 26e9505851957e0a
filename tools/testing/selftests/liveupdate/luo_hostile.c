// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions whose records were damaged in every way, a seed for each: whatever
 * they say, only what is theirs is lost.
 */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "luo_hostile.h"
#include "luo_huge.h"

#define SEEDS_PER_WHOLE	16
#define WHOLE_SIZE	(16 * 4096)
/* More than go into a block of the list of sessions. */
#define TAIL		60
/* One of so many has a file on huge pages, or one that depends on an FLB. */
#define SEEDS_PER_HUGE	16
#define WHOLE_PER_HUGE	4
#define SEEDS_PER_FLB	8
#define FLB_DEVICE	"/dev/luo-test-v2"
/* Others have a list of folios of two pages, or one of two chunks of pages. */
#define SEEDS_PER_PAGES	16
#define PAGES_FILE	(300 * 4096)
#define SEEDS_PER_CHAIN	512
#define CHAIN_FILE	((511 * 256 + 64) * 4096ull)
#define WAYS		8
/* What was damaged is told of no more seeds than that. */
#define FEW		16
#define DEMAND_MIN_PAGES	"/sys/module/memfd_luo_demand/parameters/min_pages"
/* A seed that takes longer hangs. */
#define SECONDS		120

static const char usage[] =
	"Usage: luo_hostile save FIRST SEEDS | luo_hostile check FIRST SEEDS\n"
	"       luo_hostile rest | luo_hostile map SEED\n"
	"\n"
	"save   make a session for each seed, and whole ones between them, and stay\n"
	"check  in the next kernel: damage the records of each session as its seed\n"
	"       says, the list of sessions behind them, and FLBs, use them, and check that\n"
"       the whole ones are whole\n"
	"rest   in the one after that: end what was handed over once more\n"
	"map    damage the map of preserved memory, the tree or a blob for the next kernel\n"
	"\n"
	"Needs /dev/mem of a kernel without STRICT_DEVMEM, debugfs, and for check that\n"
	"nobody has opened the device. Results are TAP. Exit status: 0, 1 if it failed,\n"
	"2 if the arguments make no sense.\n";

static int dev;
static atomic_uint alive;
static unsigned int current_seed;
static int bad;

static void result(int number, const char *name, bool good)
{
	printf("%sok %d %s\n", good ? "" : "not ", number, name);
	fflush(stdout);
	bad |= !good;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "luo_hostile: %s: %s\n", what, strerror(-err));
	exit(1);
}

/* A kernel that is stuck says nothing: somebody else has to. */
static void *watch(void *arg)
{
	unsigned int seen = 0, waited = 0;

	for (;;) {
		sleep(1);
		waited = atomic_load(&alive) == seen ? waited + 1 : 0;
		seen = atomic_load(&alive);
		if (waited < SECONDS)
			continue;
		printf("Bail out! seed %u hangs\n", current_seed);
		fflush(stdout);
		_exit(1);
	}
	return NULL;
}

static void start_watch(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, watch, NULL))
		die("watch", -EAGAIN);
}

/* The last words of a kernel tell which seed it was. */
static void begin(unsigned int seed)
{
	char text[64];

	current_seed = seed;
	atomic_fetch_add(&alive, 1);
	snprintf(text, sizeof(text), "luo_hostile: seed %u\n", seed);
	luo_write("/dev/kmsg", text);
}

/* FLBs are those of a module for tests, if there is one. */
static void load_handlers(void)
{
	int fd = open("/lib/luo_test_handlers.ko", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
		die("luo_test_handlers", -errno);
	close(fd);
}

static void open_device(void)
{
	dev = luo_open();
	if (dev < 0)
		die(LUO_DEVICE, dev);
	load_handlers();
}

/* ---- save ---- */

/* There is one at least. */
static bool has_whole(unsigned int seed, unsigned int first)
{
	return seed % SEEDS_PER_WHOLE == 0 || seed == first;
}

static void whole_name(char *name, unsigned int seed)
{
	snprintf(name, LIVEUPDATE_SESSION_NAME_LENGTH, "whole-%08u", seed);
}

static int keep(int session, int fd, __u64 token)
{
	int err = fd < 0 ? fd : luo_preserve(session, fd, token);

	close(fd);
	return err;
}

/* Memory of its own for each page. */
static int memfd_of_zeros(void)
{
	static const char zeros[WHOLE_SIZE];
	int fd = luo_memfd(WHOLE_SIZE);

	return fd < 0 || pwrite(fd, zeros, WHOLE_SIZE, 0) == WHOLE_SIZE ? fd : -EIO;
}

/* What both kernels need for these, if there are any. */
static void make_pool(unsigned int seeds)
{
	luo_pool_resize(2 * seeds / SEEDS_PER_HUGE +
			seeds / SEEDS_PER_WHOLE / WHOLE_PER_HUGE + 4);
}

/*
 * The first page is filled and the others are reserved. Without such pages one of
 * small ones, which is known by its size.
 */
static int huge_memfd(unsigned int seed, int pages)
{
	int fd = luo_huge_memfd(pages);
	void *map = fd < 0 ? NULL : luo_huge_map(fd, pages);

	if (!map) {
		close(fd);
		return luo_filled_memfd(WHOLE_SIZE, seed);
	}
	luo_huge_fill(map, 0, seed);
	munmap(map, pages * HUGE);
	return fd;
}

/* Without the module, which only a kernel for tests has, a plain one. */
static int flb_file(unsigned int seed)
{
	int fd = open(FLB_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? luo_filled_memfd(4096, seed) : fd;
}

static int third_file(unsigned int seed)
{
	/* Ways of damage take turns. */
	if (seed % SEEDS_PER_HUGE == 2 + seed / SEEDS_PER_HUGE % 4)
		return huge_memfd(seed, 2);
	if (seed % SEEDS_PER_CHAIN == SEEDS_PER_CHAIN / 2)
		return luo_filled_memfd(CHAIN_FILE, seed);
	if (seed % SEEDS_PER_PAGES == 6)
		return luo_filled_memfd(PAGES_FILE, seed);
	return seed % SEEDS_PER_FLB == 3 ? flb_file(seed) : luo_filled_memfd(4096, seed);
}

/* A few folios and a hole; a file without any; and one of another kind. */
static int save_seed(unsigned int seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int session, fd = luo_memfd(8 * 4096), err;

	hostile_name(name, seed);
	session = luo_create(dev, name);
	if (session < 0)
		return session;
	err = luo_fill(fd, 0, 2 * 4096, seed) ?: luo_fill(fd, 5 * 4096, 4096, seed);
	return err ?: keep(session, fd, 1) ?: keep(session, luo_memfd(0), 2) ?:
	       keep(session, third_file(seed), 3);
}

/* As many files as the others have, so that records of one may pass for another's. */
static int save_whole(unsigned int seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int session;

	whole_name(name, seed);
	session = luo_create(dev, name);
	if (session < 0)
		return session;
	return keep(session, luo_filled_memfd(WHOLE_SIZE, seed), 1) ?:
	       keep(session, memfd_of_zeros(), 2) ?:
	       keep(session, seed / SEEDS_PER_WHOLE % WHOLE_PER_HUGE ?
			     luo_filled_memfd(WHOLE_SIZE, seed) : huge_memfd(seed, 1), 3);
}

static int save_tail(void)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int i, session;

	for (i = 0; i < TAIL; i++) {
		snprintf(name, sizeof(name), HOSTILE_TAIL "%02d", i);
		session = luo_create(dev, name);
		if (session < 0)
			return session;
	}
	return 0;
}

/* Sessions are there as long as this process is, so it stays. */
static int save(unsigned int first, unsigned int seeds)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	unsigned int i;
	int err;

	setrlimit(RLIMIT_NOFILE, &limit);
	make_pool(seeds);
	open_device();
	for (i = first; i < first + seeds; i++) {
		err = save_seed(i);
		if (!err && has_whole(i, first))
			err = save_whole(i);
		if (err)
			die("sessions are not preserved", err);
	}
	err = save_tail();
	if (err)
		die("sessions are not preserved", err);
	if (daemon(1, 1))
		die("daemon", -errno);
	pause();
	return 0;
}

/* ---- use ---- */

/* Read all of a file that is not too long, and write to it. */
static int use_file(int fd)
{
	static char buf[16 * 4096];
	off_t at, size = luo_size(fd);
	int err = 0;

	for (at = 0; at < size && at < (off_t)CHAIN_FILE && !err; at += sizeof(buf)) {
		if (pread(fd, buf, sizeof(buf), at) <= 0)
			err = -EIO;
	}
	if (pwrite(fd, "x", 1, 0) == 1 && ftruncate(fd, 4096))
		errno = 0;
	close(fd);
	return err;
}

/* -EIO if something of a file is lost. */
static int use_files(int session, struct hostile_dice *dice)
{
	struct liveupdate_file_entry entries[64];
	__u64 cursor = 0;
	int i, n, fd, err = 0;

	n = luo_list_files(session, &cursor, entries, 64);
	for (i = 0; i < n; i++) {
		fd = hostile_pick(dice, 4) ? luo_retrieve_fd(session, entries[i].token) : -1;
		if (fd >= 0)
			err = use_file(fd) ?: err;
	}
	return err;
}

/* Root can end any session. */
static int end_session(int session)
{
	int err = luo_finish(session);

	if (err == -ENODEV)
		err = luo_abandon(session);
	return err < 0 ? err : 0;
}

static int use_session(const char *name, struct hostile_dice *dice)
{
	int session = luo_retrieve(dev, name), err = 0;
	bool lost;

	if (session < 0)
		return 0;
	lost = use_files(session, dice);
	switch (hostile_pick(dice, 4)) {
	case 0:
		break;
	case 1:
		/* No update would go on with a file that is not whole. */
		err = lost ? end_session(session) :
			     luo_set_flags(session, LIVEUPDATE_SESSION_KEEP_ON_CLOSE);
		break;
	default:
		err = end_session(session);
	}
	if (err)
		printf("# seed %u: %s can't be ended: %s\n", current_seed, name, strerror(-err));
	close(session);
	return err;
}

static int use_seed(unsigned int seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	struct hostile_dice dice = { .state = ~(__u64)seed };

	begin(seed);
	/* Where folios come in on demand, they do for every other WAYS also if they are few. */
	luo_write(DEMAND_MIN_PAGES, seed / WAYS % 2 ? "1" : "2");
	hostile_name(name, seed);
	return use_session(name, &dice);
}

static int verify_zeros(int fd)
{
	static const char zeros[WHOLE_SIZE];
	char seen[WHOLE_SIZE];

	if (pread(fd, seen, sizeof(seen), 0) != WHOLE_SIZE)
		return -EIO;
	return memcmp(seen, zeros, sizeof(seen)) ? -EILSEQ : 0;
}

static int check_whole_file(int session, unsigned int seed, __u64 token)
{
	int fd = luo_retrieve_fd(session, token), err;
	off_t size;

	if (fd < 0)
		return fd;
	size = luo_size(fd);
	if (size != WHOLE_SIZE && !(token == 3 && size == HUGE))
		err = -ERANGE;
	else
		err = token == 2 ? verify_zeros(fd) : luo_verify(fd, 0, size, seed);
	close(fd);
	return err;
}

static int check_whole(unsigned int seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	int session, err = 0;
	__u64 token;

	begin(seed);
	whole_name(name, seed);
	session = luo_retrieve(dev, name);
	if (session < 0)
		err = session;
	for (token = 1; token <= 3 && !err; token++)
		err = check_whole_file(session, seed, token);
	if (!err)
		err = luo_finish(session);
	if (err)
		printf("# %s: %s\n", name, strerror(-err));
	close(session);
	return err;
}

/* What was freed is used again: whoever still had it would see that. */
static int use_free_memory(void)
{
	long long size = luo_free_memory() / 4 & -4096ll;
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	memset(map, 0xa5, size);
	return munmap(map, size) ? -errno : 0;
}

static enum hostile_way way_of(unsigned int seed)
{
	switch (seed % WAYS) {
	case 3:
	case 5:
		return HOSTILE_COVET;
	case 7:
		return HOSTILE_STEAL;
	default:
		return HOSTILE_ANY;
	}
}

static bool damage(unsigned int first, unsigned int seeds)
{
	unsigned int i;
	int n = hostile_read_records();

	if (n < (int)seeds) {
		printf("# %d sessions\n", n);
		return false;
	}
	hostile_print_classes();
	for (i = first; i < first + seeds; i++) {
		if (hostile_damage_session(i, way_of(i), seeds <= FEW) <= 0)
			return false;
	}
	return hostile_damage_lists(first, HOSTILE_ANY) > 0 &&
	       hostile_damage_lists(first + 1, HOSTILE_COVET) > 0;
}

static int check(unsigned int first, unsigned int seeds)
{
	unsigned int i;
	int used = 0, whole = 0;

	printf("1..4\n");
	result(1, "records are damaged", damage(first, seeds));
	make_pool(seeds);
	open_device();
	start_watch();
	for (i = first; i < first + seeds; i++)
		used |= use_seed(i);
	result(2, "sessions whose records are damaged are contained", !used);
	result(3, "memory is used again", !use_free_memory());
	for (i = first; i < first + seeds; i++) {
		if (has_whole(i, first))
			whole |= check_whole(i);
	}
	result(4, "sessions between them are whole", !whole);
	return bad;
}

/* ---- rest ---- */

static int end_rest(void)
{
	struct liveupdate_session_entry entry;
	__u64 cursor = 0;
	int session, err = 0;

	while (luo_list_sessions(dev, &cursor, &entry, 1) == 1) {
		if (entry.state != LIVEUPDATE_SESSION_STATE_INCOMING)
			continue;
		atomic_fetch_add(&alive, 1);
		session = luo_retrieve(dev, (char *)entry.name);
		if (session == -EBADMSG)
			continue;
		if (session < 0 || end_session(session))
			err = -EBUSY;
		close(session);
	}
	return err;
}

static int rest(void)
{
	char state[32] = "";

	printf("1..2\n");
	open_device();
	start_watch();
	result(1, "what was handed over once more can be ended", !end_rest());
	luo_read_line(LUO_SYSFS "state", state, sizeof(state));
	result(2, "nothing is left", !strcmp(state, "normal"));
	return bad;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "save"))
		return save(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	if (argc == 2 && !strcmp(argv[1], "rest"))
		return rest();
	if (argc == 3 && !strcmp(argv[1], "map"))
		return hostile_damage_map(strtoul(argv[2], NULL, 0)) < 0;
	fputs(usage, stderr);
	return 2;
}
