// SPDX-License-Identifier: GPL-2.0
/*
 * Between this kernel and one of mainline, which take turns: what both know,
 * and what becomes of that which one of them does not know.
 */

#include <sys/mount.h>
#include <sys/resource.h>

#include "kexec_scenarios.h"

bool kernel_is_ours(void)
{
	struct liveupdate_ioctl_get_info info;

	return !luo_info(dev, &info);
}

bool preserved_by_mainline(void)
{
	return mainline && stage > 1 && (stage == STAGES || kernel_is_ours());
}

static int preserve_and_close(int session, int fd, __u64 token)
{
	int err = fd < 0 ? fd : luo_preserve(session, fd, token);

	close(fd);
	return err;
}

bool restored_by_mainline(void)
{
	return mainline && stage > 1 && (stage == STAGES || !kernel_is_ours());
}

/* The file of this token, after a look at all of it. */
static int take(int session, __u64 token, off_t size, __u64 seed)
{
	int fd = luo_retrieve_fd(session, token);

	CHECK_FD(fd);
	CHECK_EQ(size, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, size, seed));
	return fd;
}

static int take_session(const char *name)
{
	int session = luo_retrieve(dev, name);

	CHECK_FD(session);
	return session;
}

static void finish(int session)
{
	CHECK_OK(luo_finish(session));
	close(session);
}

/* ---- several sessions ---- */

#define SOME_SESSIONS	5
#define SOME_FILES	7

static const char *some_name(int i)
{
	static char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	/* The longest there can be, the shortest, and some between. */
	memset(name, 'n', sizeof(name));
	name[i ? 1 + i * 10 : LUO_NAME_MAX] = 0;
	name[0] = 'a' + i;
	return name;
}

static off_t some_size(int i)
{
	return i * 70001;
}

static void save_some(const struct scenario *s)
{
	int i, j, session, fd;

	for (i = 0; i < SOME_SESSIONS; i++) {
		session = luo_create(dev, some_name(i));
		CHECK_FD(session);
		for (j = 0; j < SOME_FILES; j++) {
			fd = luo_filled_memfd(some_size(j), i * 100 + j);
			CHECK_OK(preserve_and_close(session, fd, j));
		}
	}
}

/* The files of a session, as 7 steps of 3 go round. */
static void take_files(int i, int fds[SOME_FILES])
{
	int j, token, session = take_session(some_name(i));

	for (j = 0; j < SOME_FILES; j++) {
		token = j * 3 % SOME_FILES;
		fds[token] = take(session, token, some_size(token), i * 100 + token);
	}
	/* Before this mainline preserves none of them. */
	finish(session);
}

/* Sessions from the last to the first. */
static void pass_some(const struct scenario *s)
{
	int i, j, next, fds[SOME_FILES];

	for (i = SOME_SESSIONS - 1; i >= 0; i--) {
		take_files(i, fds);
		next = luo_create(dev, some_name(i));
		CHECK_FD(next);
		for (j = 0; j < SOME_FILES; j++)
			CHECK_OK(preserve_and_close(next, fds[j], j));
	}
}

static void check_some(const struct scenario *s)
{
	int i, fds[SOME_FILES];

	for (i = SOME_SESSIONS - 1; i >= 0; i--)
		take_files(i, fds);
}

/* ---- how many ---- */

#define MANY	2000

static const char *many_name(int i)
{
	static char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	snprintf(name, sizeof(name), "one of many, %04d", i);
	return name;
}

static void raise_limit(void)
{
	const struct rlimit limit = { 65536, 65536 };

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

static void save_many_sessions(const struct scenario *s)
{
	int i, session;

	raise_limit();
	for (i = 0; i < MANY; i++) {
		session = luo_create(dev, many_name(i));
		CHECK_FD(session);
		CHECK_OK(preserve_and_close(session, luo_filled_memfd(4096, i), i));
	}
}

/* In another order: 7 and MANY have no factor in common. */
static int mixed(int i)
{
	return i * 7 % MANY;
}

static void pass_many_sessions(const struct scenario *s)
{
	int i, session, next, fd;

	raise_limit();
	for (i = 0; i < MANY; i++) {
		session = take_session(many_name(mixed(i)));
		fd = take(session, mixed(i), 4096, mixed(i));
		finish(session);
		next = luo_create(dev, many_name(mixed(i)));
		CHECK_FD(next);
		CHECK_OK(preserve_and_close(next, fd, mixed(i)));
	}
}

static void check_many_sessions(const struct scenario *s)
{
	int i, session;

	for (i = 0; i < MANY; i++) {
		session = take_session(many_name(mixed(i)));
		close(take(session, mixed(i), 4096, mixed(i)));
		finish(session);
	}
}

static __u64 file_token(int i)
{
	return i * 0x9e3779b97f4a7c15ull;
}

static void save_many_files(const struct scenario *s)
{
	int i, session = outgoing(s);

	CHECK_FD(session);
	for (i = 0; i < MANY; i++)
		CHECK_OK(preserve_and_close(session, luo_filled_memfd(i, i), file_token(i)));
}

static int many_files[MANY];

static void take_many_files(const struct scenario *s)
{
	int i, session = take_session(s->name);

	raise_limit();
	for (i = 0; i < MANY; i++)
		many_files[mixed(i)] = take(session, file_token(mixed(i)), mixed(i), mixed(i));
	finish(session);
}

static void pass_many_files(const struct scenario *s)
{
	int i, next = outgoing(s);

	CHECK_FD(next);
	take_many_files(s);
	for (i = 0; i < MANY; i++)
		CHECK_OK(preserve_and_close(next, many_files[i], file_token(i)));
}

static void check_many_files(const struct scenario *s)
{
	int i;

	take_many_files(s);
	for (i = 0; i < MANY; i++)
		close(many_files[i]);
}

/* ---- one large file ---- */

#define LARGE		(512 * MIB)

/*
 * In huge folios: what mainline does at boot for each preserved folio takes the
 * longer the more regions of memory are preserved.
 */
static void save_large(const struct scenario *s)
{
	int session = outgoing(s), fd;

	CHECK_FD(session);
	fd = luo_thp_memfd(LARGE, 9);
	CHECK_FD(fd);
	CHECK_OK(preserve_and_close(session, fd, 1));
}

static void pass_large(const struct scenario *s)
{
	int session = take_session(s->name), next = outgoing(s), fd;

	CHECK_FD(next);
	fd = take(session, 1, LARGE, 9);
	finish(session);
	CHECK_OK(preserve_and_close(next, fd, 1));
}

static void check_large(const struct scenario *s)
{
	int session = take_session(s->name);

	close(take(session, 1, LARGE, 9));
	finish(session);
}

/* ---- sessions ---- */

static void save_nothing(const struct scenario *s)
{
	CHECK_FD(outgoing(s));
}

static void check_nothing(const struct scenario *s)
{
	int session = take_session(s->name);
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];

	CHECK_OK(luo_get_name(session, name));
	CHECK_EQ(0, strcmp(s->name, name));
	CHECK_EQ(-ENOENT, luo_retrieve_fd(session, 0));
	finish(session);
}

static void pass_nothing(const struct scenario *s)
{
	check_nothing(s);
	save_nothing(s);
}

static void save_one(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(preserve_and_close(session, luo_filled_memfd(MIB, 1), 1));
}

static void check_one(const struct scenario *s)
{
	int session = take_session(s->name);

	close(take(session, 1, MIB, 1));
	finish(session);
}

/* The number of a mainline kernel can't be seen, but it counts. */
static void check_number(const struct scenario *s)
{
	struct liveupdate_ioctl_get_info info;

	if (!kernel_is_ours())
		return;
	CHECK_OK(luo_info(dev, &info));
	CHECK_EQ(stage - 1, info.number);
}

static void leave_unclaimed(const struct scenario *s)
{
}

/* Mainline hands nothing on that it was not asked for. */
static void check_left_unclaimed(const struct scenario *s)
{
	if (kernel_is_ours())
		CHECK_EQ(-ENOENT, incoming(s));
	else
		check_one(s);
}

/* ---- an image that is not told of the sessions ---- */

static void refuse_old_load(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(preserve_and_close(session, luo_filled_memfd(MIB, 1), 1));
	CHECK_OK(load_kernel("-c"));
	CHECK_EQ(-EOPNOTSUPP, jump());
	CHECK_OK(unload_kernel());
	CHECK_OK(preserve_and_close(session, luo_filled_memfd(MIB, 2), 2));
	/* As it was: see end_stage(). */
	if (stage == 1)
		CHECK_OK(load_kernel(""));
}

static void check_old_load(const struct scenario *s)
{
	int session = take_session(s->name);

	close(take(session, 1, MIB, 1));
	close(take(session, 2, MIB, 2));
	finish(session);
}

static void take_turns(const struct scenario *s)
{
	if (!kernel_is_ours() && stage > 1)
		check_old_load(s);
	else if (kernel_is_ours() && stage < STAGES)
		refuse_old_load(s);
}

/* ---- what one has and the other lacks ---- */

#define KEEP	LIVEUPDATE_SESSION_KEEP_ON_CLOSE

/* What a command of ours gives that does what it should. */
static int result_of_ours(int result)
{
	return kernel_is_ours() ? result : -EINVAL;
}

static void check_ours_only(const struct scenario *s)
{
	struct liveupdate_session_entry entry;
	int session = take_session(s->name);

	CHECK_EQ(result_of_ours(0), luo_set_flags(session, KEEP));
	CHECK_EQ(result_of_ours(0), luo_find_session(dev, s->name, &entry));
	CHECK_EQ(result_of_ours(1), luo_count_files(session));
	/* Unknown commands do nothing. */
	close(take(session, 1, MIB, 1));
	if (!kernel_is_ours()) {
		finish(session);
		return;
	}
	close(session);
	check_one(s);
}

static void save_and_take_out(const struct scenario *s)
{
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(preserve_and_close(session, luo_filled_memfd(MIB, 1), 1));
	CHECK_OK(preserve_and_close(session, luo_filled_memfd(MIB, 2), 2));
	CHECK_EQ(result_of_ours(0), luo_unpreserve(session, 2));
}

static void check_taken_out(const struct scenario *s)
{
	int session = take_session(s->name);

	close(take(session, 1, MIB, 1));
	/* The one who saved it is the other one. */
	if (kernel_is_ours())
		close(take(session, 2, MIB, 2));
	else
		CHECK_EQ(-ENOENT, luo_retrieve_fd(session, 2));
	finish(session);
}

static void pass_and_take_out(const struct scenario *s)
{
	check_taken_out(s);
	save_and_take_out(s);
}

/* Name and mode are not in mainline's format. */
static void save_named(const struct scenario *s)
{
	int session = outgoing(s);
	int fd = luo_memfd_flags("named", 0, MFD_CLOEXEC | MFD_EXEC);

	CHECK_FD(session);
	CHECK_FD(fd);
	CHECK_OK(fchmod(fd, 0640));
	CHECK_OK(luo_fill(fd, 0, MIB, 1));
	CHECK_OK(preserve_and_close(session, fd, 1));
}

static void check_unnamed(const struct scenario *s)
{
	int session = take_session(s->name), fd;
	char link[300];
	struct stat st;

	fd = take(session, 1, MIB, 1);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(0777, st.st_mode & 07777);
	CHECK_OK(luo_fd_link(fd, link, sizeof(link)));
	CHECK(!strstr(link, "named"));
	finish(session);
	close(fd);
}

static void pass_unnamed(const struct scenario *s)
{
	check_unnamed(s);
	save_named(s);
}

/* ---- seals ---- */

#define WRITE_SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

/* A file that may be executed is not sealed against it without these. */
int seals_after(int seals)
{
	return seals & F_SEAL_EXEC && restored_by_mainline() ? seals | WRITE_SEALS : seals;
}

static int sealed_files[LUO_SEALS + 1];

static void take_seals(const struct scenario *s)
{
	char page[4096], zero[4096] = {};
	int session = take_session(s->name);
	int seals, fd;

	for (seals = 0; seals <= LUO_SEALS; seals++) {
		fd = luo_retrieve_fd(session, seals);
		CHECK_FD(fd);
		CHECK_EQ(seals_after(seals), fcntl(fd, F_GET_SEALS));
		CHECK_EQ(4096, pread(fd, page, 4096, 0));
		CHECK_EQ(0, memcmp(page, zero, 4096));
		sealed_files[seals] = fd;
	}
	finish(session);
}

static void pass_seals(const struct scenario *s)
{
	int seals, next = outgoing(s);

	CHECK_FD(next);
	take_seals(s);
	for (seals = 0; seals <= LUO_SEALS; seals++)
		CHECK_OK(preserve_and_close(next, sealed_files[seals], seals));
}

static void check_seals(const struct scenario *s)
{
	take_seals(s);
}

/* ---- reserve_mem ---- */

#define PSTORE	"/sys/fs/pstore"

/* /dev/pmsg0 writes into an area of reserve_mem: see dev/interop. */
static void write_reserved(const struct scenario *s)
{
	char text[32];

	snprintf(text, sizeof(text), "written in kernel %d\n", stage);
	CHECK_OK(luo_write("/dev/pmsg0", text));
}

static void check_reserved(const struct scenario *s)
{
	char wanted[32], text[64];

	if (access(PSTORE "/pmsg-ramoops-0", R_OK))
		CHECK_OK(mount("none", PSTORE, "pstore", 0, NULL));
	snprintf(wanted, sizeof(wanted), "written in kernel %d", stage - 1);
	CHECK_OK(luo_read_line(PSTORE "/pmsg-ramoops-0", text, sizeof(text)));
	CHECK_EQ(0, strcmp(wanted, text));
	write_reserved(s);
}

const struct scenario interop_scenarios[] = {
	{ .name = "sessions and files in another order",
	  .stage = { save_some, pass_some, check_some } },
	{ .name = "empty session", .stage = { save_nothing, pass_nothing, check_nothing } },
	{ .name = "number goes on", .stage = { check_number, check_number, check_number } },
	{ .name = "2000 sessions",
	  .stage = { save_many_sessions, pass_many_sessions, check_many_sessions } },
	{ .name = "2000 files in a session",
	  .stage = { save_many_files, pass_many_files, check_many_files } },
	{ .name = "512 MiB", .stage = { save_large, pass_large, check_large } },
	{ .name = "seals in every combination",
	  .stage = { save_every_seal, pass_seals, check_seals } },
	{ .name = "reserved memory",
	  .stage = { write_reserved, check_reserved, check_reserved } },
	{ .name = "never claimed",
	  .stage = { save_one, leave_unclaimed, check_left_unclaimed } },
	{ .name = "refused: image that can't receive",
	  .stage = { take_turns, take_turns, take_turns } },
	{ .name = "commands of one side", .stage = { save_one, check_ours_only } },
	{ .name = "taken out by the side that can",
	  .stage = { save_and_take_out, pass_and_take_out, check_taken_out } },
	{ .name = "name and mode are lost",
	  .stage = { save_named, pass_unnamed, check_unnamed } },
	{ }
};
