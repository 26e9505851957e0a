// SPDX-License-Identifier: GPL-2.0
/*
 * Files of every shape. Each is made in the first kernel, checked in the
 * second and handed on in a session made there, and checked again in the third.
 */

#include "kexec_scenarios.h"

#define TOKEN	7

/* ---- the way of a file ---- */

static void hand_on(const struct scenario *s, int fd)
{
	int session;

	CHECK_FD(fd);
	session = outgoing(s);
	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, fd, TOKEN));
	if (s->late && stage == 1)
		CHECK_OK(s->late(fd));
}

static void save(const struct scenario *s)
{
	hand_on(s, s->make());
}

/* What holds for all of them. */
static void check_fd(int fd)
{
	int again;

	CHECK_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	CHECK_EQ(O_RDWR, fcntl(fd, F_GETFL) & O_ACCMODE);
	again = luo_reopen(fd, O_RDONLY);
	CHECK_FD(again);
	CHECK_EQ(luo_size(fd), luo_size(again));
	close(again);
}

static void receive(const struct scenario *s, int *fd)
{
	int session = incoming(s);

	CHECK_FD(session);
	*fd = luo_retrieve_fd(session, TOKEN);
	CHECK_FD(*fd);
	check_fd(*fd);
	s->check(*fd);
	CHECK_OK(luo_finish(session));
	close(session);
}

static void check_and_hand_on(const struct scenario *s)
{
	int fd;

	receive(s, &fd);
	hand_on(s, fd);
}

static void check_at_the_end(const struct scenario *s)
{
	int fd;

	receive(s, &fd);
}

/* ---- content ---- */

static int make_empty(void)
{
	return luo_memfd(0);
}

static void check_empty(int fd)
{
	CHECK_EQ(0, luo_size(fd));
}

static int make_byte(void)
{
	return luo_filled_memfd(1, 1);
}

static void check_byte(int fd)
{
	char page[4096], zero[4096] = {};
	void *map;

	CHECK_EQ(1, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, 1, 1));
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	memcpy(page, map, sizeof(page));
	munmap(map, 4096);
	CHECK_EQ(0, memcmp(page + 1, zero, 4095));
}

#define DENSE	(16 * MIB + 5)

static int make_dense(void)
{
	return luo_filled_memfd(DENSE, 2);
}

static void check_dense(int fd)
{
	CHECK_EQ(DENSE, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, DENSE, 2));
}

/* ---- holes ---- */

struct range {
	off_t offset;
	size_t len;
};

static int fill_ranges(int fd, const struct range *ranges, int n, __u64 seed)
{
	int i, err = 0;

	for (i = 0; i < n && !err; i++)
		err = luo_fill(fd, ranges[i].offset, ranges[i].len, seed);
	return err;
}

static void check_data(int fd, const struct range *ranges, int n, __u64 seed)
{
	int i;

	for (i = 0; i < n; i++)
		CHECK_OK(luo_verify(fd, ranges[i].offset, ranges[i].len, seed));
}

/*
 * Every range holds its data and there is no data anywhere else. Mainline fills
 * the holes when it preserves a file.
 */
static void check_ranges(int fd, const struct range *ranges, int n, __u64 seed)
{
	off_t at = 0;
	int i;

	if (preserved_by_mainline()) {
		check_data(fd, ranges, n, seed);
		return;
	}
	for (i = 0; i < n; i++) {
		CHECK_EQ(ranges[i].offset, lseek(fd, at, SEEK_DATA));
		CHECK_OK(luo_verify(fd, ranges[i].offset, ranges[i].len, seed));
		at = lseek(fd, ranges[i].offset, SEEK_HOLE);
		CHECK_EQ(ranges[i].offset + ranges[i].len, at);
	}
	if (at < luo_size(fd)) {
		CHECK_EQ(-1, lseek(fd, at, SEEK_DATA));
		CHECK_EQ(ENXIO, errno);
	}
	CHECK_EQ(0, lseek(fd, 0, SEEK_SET));
}

static const struct range sparse_ranges[] = {
	{ 4096, 4096 }, { 5 * 4096, 3 * 4096 }, { 100 * 4096, 4096 },
	{ 513 * 4096, 2 * 4096 }, { 40 * MIB - 4096, 4096 },
};

static int make_sparse(void)
{
	int fd = luo_memfd(50 * MIB);

	return fill_ranges(fd, sparse_ranges, 5, 3) ?: fd;
}

static void check_sparse(int fd)
{
	struct stat st;

	CHECK_EQ(50 * MIB, luo_size(fd));
	CHECK_OK(fstat(fd, &st));
	if (!preserved_by_mainline())
		CHECK_EQ(8 * 8, st.st_blocks);
	check_ranges(fd, sparse_ranges, 5, 3);
}

static const struct range huge_ranges[] = {
	{ 0, 4096 }, { TIB, 8192 }, { 8 * TIB - 4096, 4096 },
};

static int make_beyond_memory(void)
{
	int fd = luo_memfd(8 * TIB);

	return fill_ranges(fd, huge_ranges, 3, 4) ?: fd;
}

static void check_beyond_memory(int fd)
{
	CHECK_EQ(8 * TIB, luo_size(fd));
	check_ranges(fd, huge_ranges, 3, 4);
}

static int make_largest(void)
{
	int fd = luo_memfd(INT64_MAX);

	return luo_fill(fd, INT64_MAX - 4096, 4096, 5) ?: fd;
}

static void check_largest(int fd)
{
	CHECK_EQ(INT64_MAX, luo_size(fd));
	CHECK_OK(luo_verify(fd, INT64_MAX - 4096, 4096, 5));
}

static int make_allocated(void)
{
	int fd = luo_memfd(MIB);

	if (fallocate(fd, 0, 0, MIB / 2) || fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, MIB))
		return -errno;
	return fd;
}

static void check_allocated(int fd)
{
	char zero[4096] = {}, page[4096];
	off_t at;

	CHECK_EQ(MIB, luo_size(fd));
	for (at = 0; at < MIB; at += sizeof(page)) {
		CHECK_EQ(sizeof(page), pread(fd, page, sizeof(page), at));
		CHECK_EQ(0, memcmp(page, zero, sizeof(page)));
	}
	/* What was kept beyond the size must not come to light. */
	CHECK_OK(ftruncate(fd, 2 * MIB));
	CHECK_EQ(sizeof(page), pread(fd, page, sizeof(page), MIB));
	CHECK_EQ(0, memcmp(page, zero, sizeof(page)));
	CHECK_OK(ftruncate(fd, MIB));
}

/* ---- changed while it is preserved ---- */

static int make_for_late_writes(void)
{
	int fd = luo_memfd(2 * MIB);

	return luo_fill(fd, 0, MIB / 2, 6) ?: fd;
}

/* Over data and into holes, by write() and through a mapping. */
static int write_late(int fd)
{
	char *map = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	luo_pattern_bytes(16, 0, map, 8192);
	luo_pattern_bytes(16, MIB, map + MIB, 8192);
	return luo_fill(fd, MIB / 4, 8192, 16) ?: luo_fill(fd, MIB * 3 / 2, 8192, 16);
}

static void check_late_writes(int fd)
{
	CHECK_EQ(2 * MIB, luo_size(fd));
	CHECK_OK(luo_verify(fd, 0, 8192, 16));
	CHECK_OK(luo_verify(fd, 8192, MIB / 4 - 8192, 6));
	CHECK_OK(luo_verify(fd, MIB / 4, 8192, 16));
	CHECK_OK(luo_verify(fd, MIB / 4 + 8192, MIB / 4 - 8192, 6));
	CHECK_OK(luo_verify(fd, MIB, 8192, 16));
	CHECK_OK(luo_verify(fd, MIB * 3 / 2, 8192, 16));
	if (preserved_by_mainline())
		return;
	CHECK_EQ(MIB, lseek(fd, MIB / 2, SEEK_DATA));
	CHECK_EQ(MIB * 3 / 2, lseek(fd, MIB + 8192, SEEK_DATA));
}

/* ---- position, mode, name ---- */

static int make_with_position(void)
{
	int fd = luo_filled_memfd(20000, 7);

	return lseek(fd, 12345, SEEK_SET) < 0 ? -errno : fd;
}

static void check_position(int fd)
{
	CHECK_EQ(12345, lseek(fd, 0, SEEK_CUR));
	CHECK_OK(luo_verify(fd, 0, 20000, 7));
}

static int make_at_zero(void)
{
	return luo_filled_memfd(20000, 8);
}

/* Far beyond the end. */
static int move_late(int fd)
{
	return lseek(fd, 5 * TIB + 1, SEEK_SET) < 0 ? -errno : 0;
}

static void check_late_position(int fd)
{
	CHECK_EQ(5 * TIB + 1, lseek(fd, 0, SEEK_CUR));
}

static void check_link(int fd, const char *name)
{
	char want[300], link[300];

	snprintf(want, sizeof(want), "/memfd:%s (deleted)", name);
	CHECK_OK(luo_fd_link(fd, link, sizeof(link)));
	CHECK_EQ(0, strcmp(want, link));
}

static int make_with_mode(void)
{
	return luo_memfd_flags("mode and name", 4096, MFD_CLOEXEC | MFD_EXEC);
}

static int chmod_late(int fd)
{
	return fchmod(fd, 0640) ? -errno : 0;
}

static void check_mode(int fd)
{
	struct stat st;

	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(0640, st.st_mode & 07777);
	check_link(fd, "mode and name");
}

static void longest_name(char name[250])
{
	memset(name, 'L', 249);
	name[249] = 0;
}

static int make_with_longest_name(void)
{
	char name[250];

	longest_name(name);
	return luo_memfd_flags(name, 4096, MFD_CLOEXEC);
}

static void check_longest_name(int fd)
{
	char name[250];

	longest_name(name);
	check_link(fd, name);
}

/* ---- seals ---- */

static int make_unsealable(void)
{
	return luo_memfd_flags("unsealable", 4096, MFD_CLOEXEC | MFD_EXEC);
}

static void check_unsealable(int fd)
{
	CHECK_EQ(F_SEAL_SEAL, fcntl(fd, F_GET_SEALS));
	CHECK_EQ(-1, fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_EQ(EPERM, errno);
}

static int make_noexec(void)
{
	return luo_memfd_flags("noexec", 4096, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
}

/* A seal on execution must not turn into one on writing. */
static void check_noexec(int fd)
{
	struct stat st;

	CHECK_EQ(seals_after(F_SEAL_EXEC), fcntl(fd, F_GET_SEALS));
	if (restored_by_mainline())
		return;
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(0, st.st_mode & 0111);
	CHECK_EQ(-1, fchmod(fd, 0777));
	CHECK_EQ(1, pwrite(fd, "w", 1, 0));
	CHECK_OK(ftruncate(fd, 8192));
	CHECK_OK(ftruncate(fd, 4096));
}

/* All combinations are in one session, their tokens are the seals. */
void save_every_seal(const struct scenario *s)
{
	int session = outgoing(s);
	int seals, fd;

	CHECK_FD(session);
	for (seals = 0; seals <= LUO_SEALS; seals++) {
		fd = luo_sealed_memfd(4096, seals);
		CHECK_FD(fd);
		CHECK_OK(luo_preserve(session, fd, seals));
		close(fd);
	}
}

static int result(int ret)
{
	return ret < 0 ? -errno : 0;
}

static void check_sealed(int fd, int seals)
{
	const int no_write = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

	CHECK_EQ(seals, fcntl(fd, F_GET_SEALS));
	CHECK_EQ(seals & no_write ? -EPERM : 0, result(pwrite(fd, "x", 1, 0)));
	CHECK_EQ(seals & F_SEAL_GROW ? -EPERM : 0, result(ftruncate(fd, 8192)));
	if (!(seals & F_SEAL_GROW))
		CHECK_EQ(seals & F_SEAL_SHRINK ? -EPERM : 0, result(ftruncate(fd, 4096)));
	CHECK_EQ(seals & F_SEAL_SHRINK ? -EPERM : 0, result(ftruncate(fd, 0)));
}

static void check_seals(const struct scenario *s)
{
	int session = incoming(s);
	int seals, fd;

	CHECK_FD(session);
	for (seals = 0; seals <= LUO_SEALS; seals++) {
		fd = luo_retrieve_fd(session, seals);
		CHECK_FD(fd);
		check_sealed(fd, seals);
		close(fd);
	}
	CHECK_OK(luo_finish(session));
}

#define SCENARIO_FILE(_name, _make, _late, _check, ...) {			\
	.name = _name,								\
	.stage = { save, check_and_hand_on, check_at_the_end },			\
	.make = _make,								\
	.late = _late,								\
	.check = _check,							\
	__VA_ARGS__								\
}

const struct scenario file_scenarios[] = {
	SCENARIO_FILE("empty file", make_empty, NULL, check_empty, .mainline = true),
	SCENARIO_FILE("file of one byte", make_byte, NULL, check_byte, .mainline = true),
	SCENARIO_FILE("dense file", make_dense, NULL, check_dense, .mainline = true),
	SCENARIO_FILE("sparse file", make_sparse, NULL, check_sparse, .mainline = true),
	SCENARIO_FILE("file larger than memory", make_beyond_memory, NULL,
		      check_beyond_memory),
	SCENARIO_FILE("largest file", make_largest, NULL, check_largest),
	SCENARIO_FILE("allocated, not written", make_allocated, NULL, check_allocated),
	SCENARIO_FILE("written while preserved", make_for_late_writes, write_late,
		      check_late_writes, .mainline = true),
	SCENARIO_FILE("position", make_with_position, NULL, check_position,
		      .mainline = true),
	SCENARIO_FILE("position moved while preserved", make_at_zero, move_late,
		      check_late_position, .mainline = true),
	SCENARIO_FILE("mode and name", make_with_mode, chmod_late, check_mode),
	SCENARIO_FILE("longest name of a memfd", make_with_longest_name, NULL,
		      check_longest_name),
	SCENARIO_FILE("memfd that can't be sealed", make_unsealable, NULL,
		      check_unsealable, .mainline = true),
	SCENARIO_FILE("sealed against execution", make_noexec, NULL, check_noexec,
		      .mainline = true),
	{ .name = "every combination of seals", .stage = { save_every_seal, check_seals } },
	{ }
};
