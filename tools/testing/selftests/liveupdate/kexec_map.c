// SPDX-License-Identifier: GPL-2.0
/*
 * The map of preserved memory, damaged on its way to the next kernel: what has
 * become doubtful is lost, the rest is not, and no memory has two owners.
 *
 * The map is found through debugfs and written through /dev/mem right before
 * the jump. Pages of a preserved memfd stand in for nodes: they are where KHO
 * can preserve them, and known to be ours.
 */

#include "kexec_scenarios.h"
#include "luo_map.h"

#define PAGE		LUO_PAGE

/* Tokens */
#define WHOLE		1
#define HURT		2
#define BESIDE		3

#define HURT_PAGES	64
#define HURT_SIZE	(HURT_PAGES * PAGE)

struct row {
	const char *name;
	void (*damage)(struct row *row);
	/* What becomes of the file that is hurt, and of the one beside it. */
	int err, err_beside;
	/* Both, and how many pages of the former are in use as nodes. */
	char *hurt, *beside;
	unsigned int nodes;
};

static int mem = -1;
static __u64 root;

static __u64 get(__u64 pa)
{
	__u64 value = 0;

	if (pread(mem, &value, sizeof(value), pa) != sizeof(value))
		printf("    # can't read %llx: %s\n", pa, strerror(errno));
	return value;
}

static void put(__u64 pa, __u64 value)
{
	if (!pa)
		return;
	if (pwrite(mem, &value, sizeof(value), pa) != sizeof(value))
		printf("    # can't write %llx: %s\n", pa, strerror(errno));
}

/* ---- what is in it ---- */

static __u64 key_of(__u64 pfn, unsigned int order)
{
	return 1ull << (LUO_KEY_BITS - order) | pfn >> order;
}

static __u64 slot_in(__u64 table, __u64 key, int level)
{
	return table + (key >> luo_slot_shift(level) & (LUO_TABLE_ENTRIES - 1)) * sizeof(__u64);
}

/* The node of a level that @key leads to, or 0. */
static __u64 node_of(__u64 key, int level)
{
	__u64 node = root;
	int l;

	for (l = LUO_ROOT_LEVEL; l > level && node; l--)
		node = get(slot_in(node, key, l));
	return node;
}

/* ---- a file that can be hurt ---- */

static __u64 pfn_of(const char *map, unsigned int page)
{
	__u64 pfn = 0;

	return luo_frames(map + page * PAGE, 1, &pfn) ? 0 : pfn;
}

/* An empty node; as a block of the file it is doubtful from then on. */
static __u64 take_node(struct row *row)
{
	memset(row->hurt + row->nodes * PAGE, 0, PAGE);
	return pfn_of(row->hurt, row->nodes++) * PAGE;
}

/* Two neighbours, of which the first is even: one of the file, one beside it. */
static __u64 hurt_pair(const char *hurt, const char *beside)
{
	unsigned int i, j;
	__u64 pfn;

	for (i = 0; i < HURT_PAGES; i++) {
		pfn = pfn_of(hurt, i);
		for (j = 0; j < HURT_PAGES && !(pfn & 1); j++) {
			if (pfn_of(beside, j) == pfn + 1)
				return pfn;
		}
	}
	return 0;
}

static char *map_memfd(int fd)
{
	char *map = mmap(NULL, HURT_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_POPULATE, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}

#define HURT_TRIES	64

/* Files that have such neighbours, preserved. Where their pages lie is luck. */
static bool preserve_pair(int session, struct row *row)
{
	int fds[HURT_TRIES][2], tries, i;
	char *hurt = NULL, *beside = NULL;
	bool found = false;

	for (tries = 0; tries < HURT_TRIES && !found; tries++) {
		fds[tries][0] = luo_memfd(HURT_SIZE);
		fds[tries][1] = luo_memfd(HURT_SIZE);
		for (i = 0; i < 2 * HURT_PAGES; i++)
			luo_fill(fds[tries][i % 2], i / 2 * PAGE, PAGE, HURT + i % 2);
		/* From then on they stay where they are. */
		if (luo_preserve(session, fds[tries][0], HURT) ||
		    luo_preserve(session, fds[tries][1], BESIDE))
			break;
		hurt = map_memfd(fds[tries][0]);
		beside = map_memfd(fds[tries][1]);
		found = hurt && beside && hurt_pair(hurt, beside);
		if (!found) {
			luo_unpreserve(session, HURT);
			luo_unpreserve(session, BESIDE);
		}
	}
	for (i = 0; i < tries; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
	row->hurt = found ? hurt : NULL;
	row->beside = beside;
	return found;
}

/* ---- changes of the map ---- */

static void set_bit_of(__u64 leaf, __u64 key)
{
	__u64 word = leaf + (key & ((1 << LUO_LEAF_SHIFT) - 1)) / 64 * 8;

	put(word, get(word) | 1ull << (key % 64));
}

static void add_block(struct row *row, __u64 pfn, unsigned int order)
{
	__u64 key = key_of(pfn, order), node = root, slot;
	int level;

	for (level = LUO_ROOT_LEVEL; level; level--) {
		slot = slot_in(node, key, level);
		if (!get(slot))
			put(slot, take_node(row));
		node = get(slot);
	}
	set_bit_of(node, key);
}

/* Memory that the next kernel boots from: nothing in it can be preserved. */
static __u64 scratch_start(int area)
{
	unsigned long long start = 0;
	char line[32];
	FILE *f = fopen(LUO_KHO_OUT "scratch_phys", "re");

	while (f && area-- >= 0 && fgets(line, sizeof(line), f))
		sscanf(line, "%llx", &start);
	if (f)
		fclose(f);
	return start / PAGE;
}

/*
 * Where no leaf is for single pages of scratch memory. Each caller gets
 * another place.
 */
static __u64 empty_slot(__u64 *key)
{
	static __u64 used;
	__u64 pfn = scratch_start(1), slot;
	unsigned int tries;

	for (tries = 0; tries < 16; tries++, pfn += 1 << LUO_LEAF_SHIFT) {
		*key = key_of(pfn, 0);
		slot = slot_in(node_of(*key, 1), *key, 1);
		if (!get(slot) && slot > used) {
			used = slot;
			return slot;
		}
	}
	printf("    # no empty slot\n");
	return 0;
}

/* ---- kinds of damage ---- */

static void overlap(struct row *row)
{
	add_block(row, hurt_pair(row->hurt, row->beside), 1);
}

static void claim_foreign_memory(struct row *row)
{
	int area;

	for (area = 0; area < 3; area++) {
		add_block(row, scratch_start(area), 0);
		add_block(row, scratch_start(area) & ~511ull, 9);
	}
	add_block(row, 0, 0);
	add_block(row, 0, 18);
	add_block(row, 1ull << 36, 0);
}

static void link_what_is_no_node(struct row *row)
{
	__u64 key;

	put(empty_slot(&key), 0x123);
	put(empty_slot(&key), scratch_start(1) * PAGE);
	put(root + 400 * sizeof(__u64), take_node(row));
	put(root + 401 * sizeof(__u64), 1ull << 45);
}

static void use_a_block_as_node(struct row *row)
{
	__u64 key, slot = empty_slot(&key), node = take_node(row);

	set_bit_of(node, key);
	put(slot, node);
}

static void give_a_node_two_parents(struct row *row)
{
	__u64 key, slot = empty_slot(&key), node = take_node(row);

	set_bit_of(node, key);
	put(slot, node);
	put(empty_slot(&key), node);
}

static void link_the_root(struct row *row)
{
	__u64 key;

	put(empty_slot(&key), root);
}

static void link_an_empty_leaf(struct row *row)
{
	__u64 key;

	put(empty_slot(&key), take_node(row));
}

static struct row rows[] = {
	{ "map: block that overlaps", overlap, -EBADMSG, -EBADMSG },
	{ "map: blocks of foreign memory", claim_foreign_memory, -EBADMSG },
	{ "map: what is no node", link_what_is_no_node },
	{ "map: block that is a node", use_a_block_as_node, -EBADMSG },
	{ "map: node with two parents", give_a_node_two_parents, -EBADMSG },
	{ "map: circle", link_the_root },
	{ "map: leaf without blocks", link_an_empty_leaf },
	{ }
};

static struct row *row_of(const struct scenario *s)
{
	struct row *row = rows;

	while (strcmp(row->name, s->name))
		row++;
	return row;
}

/* ---- before and after ---- */

static void save_whole_and_hurt(const struct scenario *s)
{
	struct row *row = row_of(s);
	int session = outgoing(s);

	CHECK_FD(session);
	CHECK_OK(luo_preserve(session, luo_filled_memfd(MIB, WHOLE), WHOLE));
	CHECK(preserve_pair(session, row));
	if (mem < 0)
		mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	CHECK_FD(mem);
	root = luo_map_root();
	CHECK(root);
}

/* Once, for all rows that are ready. */
static void damage_map(void)
{
	struct row *row;

	for (row = rows; row->name; row++) {
		if (row->hurt)
			row->damage(row);
		row->hurt = NULL;
	}
}

static void check_hurt(int fd, int err)
{
	if (err)
		CHECK_EQ(err, fd);
	else
		CHECK_FD(fd);
}

static void check_whole_and_hurt(const struct scenario *s)
{
	const struct row *row = row_of(s);
	int session = incoming(s), fd;

	CHECK_FD(session);
	check_hurt(luo_retrieve_fd(session, HURT), row->err);
	check_hurt(luo_retrieve_fd(session, BESIDE), row->err_beside);
	fd = luo_retrieve_fd(session, WHOLE);
	CHECK_FD(fd);
	CHECK_OK(luo_verify(fd, 0, MIB, WHOLE));
	CHECK_OK(luo_finish(session));
}

/* One for each row. */
#define SCENARIO(_name)								\
	{ .name = _name, .needs_file = "/dev/mem",				\
	  .stage = { save_whole_and_hurt, check_whole_and_hurt }, .jump = damage_map }

const struct scenario map_scenarios[] = {
	SCENARIO("map: block that overlaps"),
	SCENARIO("map: blocks of foreign memory"),
	SCENARIO("map: what is no node"),
	SCENARIO("map: block that is a node"),
	SCENARIO("map: node with two parents"),
	SCENARIO("map: circle"),
	SCENARIO("map: leaf without blocks"),
	{ }
};
