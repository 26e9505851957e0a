/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scenarios of luo_kexec: rows of tables, one function per kernel.
 */
#ifndef KEXEC_SCENARIOS_H
#define KEXEC_SCENARIOS_H

#include "../kselftest.h"
#include "luo_test.h"

#define STAGES	3

#define MIB	(1024 * 1024ll)
#define TIB	(MIB * MIB)

struct scenario {
	const char *name;
	bool needs_module;
	/* What a kernel has that can run it. */
	const char *needs_file;
	/* Takes most of the machine: run if it is asked for by --only. */
	bool alone;
	/* Holds where every other kernel is one of mainline, too. */
	bool mainline;
	/* What to do in the first kernel, the second and the third, if anything. */
	void (*stage[STAGES])(const struct scenario *s);

	/*
	 * For those that keep one file: make it, change it after it was
	 * preserved, and look at it in each of the next kernels.
	 */
	int (*make)(void);
	int (*late)(int fd);
	void (*check)(int fd);

	/* Right before the first kernel ends. */
	void (*jump)(void);
};

/* In the order in which they run; ended by rows without a name. */
extern const struct scenario session_scenarios[];
extern const struct scenario file_scenarios[];
extern const struct scenario use_scenarios[];
extern const struct scenario memory_scenarios[];
extern const struct scenario huge_scenarios[];
extern const struct scenario demand_scenarios[];
extern const struct scenario handler_scenarios[];
extern const struct scenario driver_scenarios[];
extern const struct scenario fault_scenarios[];
extern const struct scenario map_scenarios[];
extern const struct scenario pci_scenarios[];
extern const struct scenario pci_damage_scenarios[];
extern const struct scenario last_scenarios[];
/* Only where every other kernel is one of mainline. */
extern const struct scenario interop_scenarios[];

/* /dev/liveupdate */
extern int dev;
/* 1 for the first kernel */
extern int stage;
/* Every other kernel is one of mainline. */
extern bool mainline;
/* luo_test_handlers.ko */
extern const char *module_path;

/*
 * A session with the scenario's name. What stays open when the scenario is done
 * lives until the jump.
 */
int outgoing(const struct scenario *s);
int incoming(const struct scenario *s);
/* A filled memfd that only the session has, and whether one came in whole; -errno. */
int preserve_filled(int session, off_t size, __u64 seed, __u64 token);
int check_filled(int session, off_t size, __u64 seed, __u64 token);

/* Of a memfd that comes in on demand: wait for all of it. */
void wait_until_whole(int fd);
/* How many pages are out of the page allocator, of @nr whose frames are in a file. */
int count_reserved(int list, int nr);
/* A session that nobody retrieves before the third kernel does. */
void save_another(const char *name);
/* In that kernel; that list is in the session of the scenario. */
void check_nothing_reserved(const struct scenario *s, const char *another, __u64 token,
			    int nr);

/* This kernel knows our commands. */
bool kernel_is_ours(void);
/* A kernel of mainline has preserved, or restored, what is to be checked. */
bool preserved_by_mainline(void);
bool restored_by_mainline(void);
/* A file of each combination of seals, which is its token. */
void save_every_seal(const struct scenario *s);
/* What the seals of a file have become. */
int seals_after(int seals);

/* A directory of /tmp, with cgroup2. */
int mount_cgroup(char dir[32]);
/* Go on in a cgroup of one's own, whose directory is told. */
int enter_cgroup(char path[64]);
/* What the kernel has for a cgroup besides small objects, in pages. */
long long kernel_pages_of(const char *group);
/* In a process of its own, which ends with the cgroup. */
void run_apart(void (*fn)(const struct scenario *s), const struct scenario *s);

/* The log of this kernel has it. */
bool is_logged(const char *text);

/* Load the next kernel; OPTIONS for kexec may be empty. Both return -errno. */
int load_kernel(const char *options);
int unload_kernel(void);
/* Returns only if it was refused. */
int jump(void);

/* Files of luo_test_handlers.ko; both return -errno. */
#define TEST_CONTROL	"/sys/kernel/debug/liveupdate_test/"
int load_module(void);
/* A module beside it. */
int load_module_named(const char *name);
int open_test_file(const char *handler, __u64 value);

/* Tell what is wrong and give the scenario up. */
void check_equal(const char *where, const char *what, long long wanted, long long seen);
void check_at_least(const char *where, const char *what, long long least, long long seen);

#define WHERE_STRING(_line)	#_line
#define WHERE_LINE(_line)	WHERE_STRING(_line)
#define WHERE			__FILE__ ":" WHERE_LINE(__LINE__)

#define CHECK_EQ(_wanted, _seen)	check_equal(WHERE, #_seen, _wanted, _seen)
#define CHECK_AT_LEAST(_least, _seen)	check_at_least(WHERE, #_seen, _least, _seen)
#define CHECK_OK(_seen)			CHECK_EQ(0, _seen)
#define CHECK_FD(_seen)			CHECK_AT_LEAST(0, _seen)
#define CHECK(_seen)			CHECK_EQ(1, !!(_seen))

#endif /* KEXEC_SCENARIOS_H */
