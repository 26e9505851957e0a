// SPDX-License-Identifier: GPL-2.0
/*
 * Round trips through kexec: three kernels in a row, in each of which every
 * scenario does its part and says how it went, in TAP. Standard output has to
 * last: the results of the three kernels make one document.
 */

#include <getopt.h>
#include <setjmp.h>
#include <sys/klog.h>
#include <termios.h>
#include <time.h>

#include "kexec_scenarios.h"
#include "luo_huge.h"

#define MAX_FRAMES	4096

int dev;
int stage;
bool mainline;
const char *module_path;

static const char *load_command;
static const char *last_command = "";
static const char *pattern = "";
static bool loaded;

static pid_t main_process;
static jmp_buf next_scenario;

static const struct scenario *const tables[] = {
	session_scenarios,
	file_scenarios,
	use_scenarios,
	memory_scenarios,
	huge_scenarios,
	demand_scenarios,
	handler_scenarios,
	driver_scenarios,
	fault_scenarios,
	map_scenarios,
	pci_scenarios,
	pci_damage_scenarios,
	interop_scenarios,
	last_scenarios,
};

static const char usage[] =
	"Usage: luo_kexec --stage N --load COMMAND [--module FILE] [--only TEXT]\n"
	"Check that files and sessions survive kexec, in three kernels in a row.\n"
	"\n"
	"  --stage N       which kernel this is: 1, 2 or 3. In the first two the\n"
	"                  machine REBOOTS at the end; whoever starts programs in\n"
	"                  the next kernel has to run luo_kexec with N + 1.\n"
	"  --load COMMAND  shell command that loads the next kernel; options for\n"
	"                  kexec are appended. For example\n"
	"                  \"kexec -s -l /boot/vmlinuz --reuse-cmdline\"\n"
	"  --before-jump COMMAND\n"
	"                  shell command that is run when all is done but the jump\n"
	"  --module FILE   luo_test_handlers.ko of these kernels, luo_example.ko beside\n"
	"                  it; without them what needs them is skipped\n"
	"  --mainline      every other kernel is one of mainline: scenarios that hold\n"
	"                  for both\n"
	"  --only TEXT     scenarios whose name contains TEXT; those that take most of\n"
	"                  the machine run only if their name begins with it\n"
	"  --list          print the names of scenarios\n"
	"  --help          print this\n"
	"\n"
	"Kernels need kho=on liveupdate=on. Exit status: 0, 1 if something failed,\n"
	"2 if the arguments make no sense.\n";

/* ---- for scenarios ---- */

int outgoing(const struct scenario *s)
{
	return luo_create(dev, s->name);
}

int incoming(const struct scenario *s)
{
	return luo_retrieve(dev, s->name);
}

int preserve_filled(int session, off_t size, __u64 seed, __u64 token)
{
	int fd = luo_filled_memfd(size, seed);
	int err;

	if (fd < 0)
		return fd;
	err = luo_preserve(session, fd, token);
	close(fd);
	return err;
}

int check_filled(int session, off_t size, __u64 seed, __u64 token)
{
	int fd = luo_retrieve_fd(session, token);
	int err;

	if (fd < 0)
		return fd;
	err = luo_size(fd) == size ? luo_verify(fd, 0, size, seed) : -ERANGE;
	close(fd);
	return err;
}

void wait_until_whole(int fd)
{
	int i;

	for (i = 0; i < 3000 && luo_waiting_kb(fd); i++)
		usleep(10000);
	CHECK_EQ(0, luo_waiting_kb(fd));
}

int count_reserved(int list, int nr)
{
	static __u64 frames[MAX_FRAMES], flags[MAX_FRAMES];
	const size_t size = nr * sizeof(*frames);
	int i, reserved = 0;

	CHECK_AT_LEAST(nr, MAX_FRAMES);
	CHECK_EQ(size, pread(list, frames, size, 0));
	CHECK_OK(luo_page_flags(frames, nr, flags));
	for (i = 0; i < nr; i++)
		reserved += flags[i] >> KPF_RESERVED & 1;
	return reserved;
}

void save_another(const char *name)
{
	int session = luo_create(dev, name);

	CHECK_FD(session);
	CHECK_OK(preserve_filled(session, 4096, 0, 0));
}

void check_nothing_reserved(const struct scenario *s, const char *another, __u64 token,
			    int nr)
{
	int session = incoming(s), other = luo_retrieve(dev, another), list;

	CHECK_FD(session);
	CHECK_FD(other);
	list = luo_retrieve_fd(session, token);
	CHECK_FD(list);
	CHECK_EQ(0, count_reserved(list, nr));
	CHECK_OK(luo_finish(session));
	CHECK_OK(luo_finish(other));
}

/* Processes that a scenario starts can't go on with the next one. */
static void __noreturn give_up(void)
{
	fflush(stdout);
	if (getpid() != main_process)
		_exit(1);
	longjmp(next_scenario, 1);
}

void check_equal(const char *where, const char *what, long long wanted, long long seen)
{
	if (seen == wanted)
		return;
	printf("    # %s: %s is %lld instead of %lld\n", where, what, seen, wanted);
	give_up();
}

void check_at_least(const char *where, const char *what, long long least, long long seen)
{
	if (seen >= least)
		return;
	printf("    # %s: %s is %lld instead of at least %lld\n", where, what, seen, least);
	give_up();
}

bool is_logged(const char *text)
{
	static char log[1 << 20];
	int len = klogctl(3, log, sizeof(log) - 1);

	log[len < 0 ? 0 : len] = 0;
	return strstr(log, text);
}

int load_kernel(const char *options)
{
	char command[4096];
	int status;

	snprintf(command, sizeof(command), "%s %s", load_command, options);
	fflush(stdout);
	status = system(command);
	loaded = !status && !options[0];
	return status ? -EIO : 0;
}

int unload_kernel(void)
{
	loaded = false;
	return luo_unload();
}

int jump(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	return luo_reboot();
}

/* ---- health ---- */

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define TAINT_TEST	0x40000

/* Copies what leaked into the results; kmemleak wants to look twice. */
static void check_leaks(void)
{
	time_t begin = time(NULL);
	char line[256];
	int lines = 0;
	FILE *f;

	if (access(KMEMLEAK, W_OK))
		return;
	CHECK_OK(luo_write(KMEMLEAK, "scan"));
	/* Objects of less than 5 s when a look begins are not judged. */
	while (time(NULL) <= begin + 6)
		sleep(1);
	CHECK_OK(luo_write(KMEMLEAK, "scan"));
	f = fopen(KMEMLEAK, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f) && lines++ < 100)
		printf("    # %s", line);
	fclose(f);
	CHECK_EQ(0, lines);
}

static void check_lockdep(void)
{
	char line[256];
	int on = 1;
	FILE *f = fopen("/proc/lockdep_stats", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, " debug_locks: %d", &on);
	if (f)
		fclose(f);
	CHECK_EQ(1, on);
}

static void check_health(const struct scenario *s)
{
	CHECK_EQ(0, luo_read_number("/proc/sys/kernel/tainted") & ~TAINT_TEST);
	check_lockdep();
	check_leaks();
}

static const struct scenario health = {
	.name = "kernel is healthy",
	.stage = { check_health, check_health, check_health },
};

/* ---- results ---- */

static bool holds(const struct scenario *s, const struct scenario *table)
{
	return mainline ? s->mainline || table == interop_scenarios :
			  table != interop_scenarios;
}

static bool chosen(const struct scenario *s, const struct scenario *table)
{
	return s->stage[stage - 1] && holds(s, table) &&
	       (s->alone ? *pattern && strstr(s->name, pattern) == s->name :
			   !!strstr(s->name, pattern));
}

/* Calls visit for each scenario of this stage; the sum of what it returns. */
static int visit_chosen(int (*visit)(const struct scenario *s, int number))
{
	const struct scenario *s;
	int sum = 0, number = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		for (s = tables[i]; s->name; s++) {
			if (chosen(s, tables[i]))
				sum += visit(s, ++number);
		}
	}
	return sum + visit(&health, ++number);
}

static int count(const struct scenario *s, int number)
{
	return 1;
}

static bool skipped(const struct scenario *s, int number)
{
	const char *what = NULL;

	if (s->needs_module && !module_path)
		what = "--module";
	else if (s->needs_file && access(s->needs_file, F_OK))
		what = s->needs_file;
	if (what)
		printf("    ok %d %s # SKIP no %s\n", number, s->name, what);
	return what;
}

static int run(const struct scenario *s, int number)
{
	struct timespec begin, end;
	int bad;

	if (skipped(s, number))
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	bad = setjmp(next_scenario);
	if (!bad)
		s->stage[stage - 1](s);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (end.tv_sec - begin.tv_sec > 5)
		printf("    # %ld s\n", (long)(end.tv_sec - begin.tv_sec));
	printf("    %sok %d %s\n", bad ? "not " : "", number, s->name);
	fflush(stdout);
	return bad;
}

static int before_jump(const struct scenario *s, int number)
{
	if (s->jump)
		s->jump();
	return 0;
}

static int bail_out(const char *what, int err)
{
	printf("Bail out! stage %d: %s: %s\n", stage, what, strerror(-err));
	return 1;
}

/*
 * The first time the next kernel is loaded before there are sessions, and the
 * device is closed before the jump; the second time neither.
 */
static int end_stage(void)
{
	int err;

	if (!loaded) {
		err = load_kernel("");
		if (err)
			return bail_out("next kernel can't be loaded", err);
	}
	fflush(stdout);
	if (system(last_command))
		return bail_out("command before the jump", -EIO);
	if (stage == 1) {
		close(dev);
		visit_chosen(before_jump);
	}
	return bail_out("reboot()", jump());
}

static int run_stage(void)
{
	int bad;

	dev = luo_open();
	if (dev < 0)
		return bail_out(LUO_DEVICE, dev);
	if (stage == 1) {
		printf("TAP version 13\n1..%d\n", STAGES);
		if (load_kernel(""))
			return bail_out("next kernel can't be loaded", -EIO);
	}
	printf("    # Subtest: stage %d\n    1..%d\n", stage, visit_chosen(count));
	bad = visit_chosen(run);
	printf("%sok %d stage %d\n", bad ? "not " : "", stage, stage);
	if (stage < STAGES)
		return end_stage();
	return bad ? 1 : 0;
}

static int print_name(const struct scenario *s, int number)
{
	printf("%s\n", s->name);
	return 0;
}

static const struct option options[] = {
	{ "stage", required_argument, NULL, 's' },
	{ "load", required_argument, NULL, 'l' },
	{ "before-jump", required_argument, NULL, 'b' },
	{ "module", required_argument, NULL, 'm' },
	{ "mainline", no_argument, NULL, 'M' },
	{ "only", required_argument, NULL, 'o' },
	{ "list", no_argument, NULL, 'L' },
	{ "help", no_argument, NULL, 'h' },
	{ }
};

int main(int argc, char **argv)
{
	int c;

	main_process = getpid();
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			stage = atoi(optarg);
			break;
		case 'l':
			load_command = optarg;
			break;
		case 'b':
			last_command = optarg;
			break;
		case 'm':
			module_path = optarg;
			break;
		case 'M':
			mainline = true;
			break;
		case 'o':
			pattern = optarg;
			break;
		case 'L':
			stage = 1;
			visit_chosen(print_name);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (stage < 1 || stage > STAGES || !load_command || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (stage == 1 && visit_chosen(count) == 1) {
		fprintf(stderr, "luo_kexec: no scenario's name has '%s': see --list\n",
			pattern);
		return 2;
	}
	return run_stage();
}
