// SPDX-License-Identifier: GPL-2.0
/*
 * A PCI device that goes on with its work, and what is said of it is damaged on its way
 * to the next kernel.
 */

#include "kexec_pci.h"

#define KEPT		"0000:03:00.0"
#define DAMAGED		"0000:09:00.0"
#define UNBRIDGED	"0000:0a:00.0"
#define MISPLACED	"0000:0c:00.0"

#define BLOCK_SIZE	0x10000
#define BLOCK_MAGIC	0x7665642d74706b70ull

struct record {
	__u32 segment;
	__u16 bdf;
	__u8 more[14];
	__u32 users;
	char driver[40];
};

struct block {
	__u64 magic;
	__u32 count;
	__u32 reserved;
	struct record records[];
};

/* One that is in use has records. */
static struct block *find_block_in(int mem, __u64 start, __u64 end)
{
	struct block head;
	__u64 pa;

	for (pa = (start + BLOCK_SIZE - 1) & -BLOCK_SIZE; pa < end; pa += BLOCK_SIZE) {
		if (pread(mem, &head, sizeof(head), pa) == sizeof(head) &&
		    head.magic == BLOCK_MAGIC && head.count)
			return mmap(NULL, BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				    mem, pa);
	}
	return MAP_FAILED;
}

static struct block *find_block(void)
{
	static struct block *block = MAP_FAILED;
	unsigned long long start, end;
	int mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	FILE *f = fopen("/proc/iomem", "re");
	char line[256];

	while (f && block == MAP_FAILED && fgets(line, sizeof(line), f)) {
		if (line[0] != ' ' && strstr(line, "System RAM") &&
		    sscanf(line, "%llx-%llx", &start, &end) == 2)
			block = find_block_in(mem, start, end + 1);
	}
	if (f)
		fclose(f);
	close(mem);
	if (block == MAP_FAILED)
		printf("    # records of devices: not found in memory\n");
	return block == MAP_FAILED ? NULL : block;
}

static struct record *find_record(struct block *block, __u16 bdf)
{
	__u32 i;

	for (i = 0; block && i < block->count; i++) {
		if (!block->records[i].segment && block->records[i].bdf == bdf)
			return &block->records[i];
	}
	printf("    # no record of %x\n", bdf);
	return NULL;
}

static void keep_with_bad_record(const struct scenario *s)
{
	pci_keep(s, DAMAGED);
}

static void damage_record(void)
{
	struct record *record = find_record(find_block(), pci_bus_of(DAMAGED) << 8);

	if (record)
		record->users = 2;
}

static void check_bad_record(const struct scenario *s)
{
	CHECK(is_logged(DAMAGED ": its record is damaged"));
	pci_check_given_up(s, DAMAGED, "at work without a record");
	CHECK(is_logged(DAMAGED ": nothing is known of it"));
	CHECK(!pci_was_freed(DAMAGED));
}

static void keep_what_is_misplaced(const struct scenario *s)
{
	pci_keep(s, MISPLACED);
}

/* A place like any other behind that bridge. */
static void misplace(void)
{
	struct record *record = find_record(find_block(), pci_bus_of(MISPLACED) << 8);

	if (record)
		record->bdf |= 1 << 3;
}

/* Nobody knows whose memory it has in mind: no driver may have it as it is. */
static void check_misplaced(const struct scenario *s)
{
	pci_load_drivers();
	CHECK(!pci_is_bus_master(MISPLACED));
	CHECK_OK(luo_write(pci_attribute(MISPLACED, "driver_override"), "luo_hda_other"));
	CHECK_OK(luo_write(pci_attribute(MISPLACED, "reset_method"), "\n"));
	CHECK_EQ(-EBUSY, pci_bind("luo_hda_other", "bind", MISPLACED));
	CHECK_OK(luo_write(pci_attribute(MISPLACED, "reset_method"), "default"));

	CHECK_OK(luo_write(pci_attribute(MISPLACED, "enable"), "1"));
	CHECK(pci_is_running(MISPLACED));
	CHECK_OK(pci_bind("luo_hda_other", "bind", MISPLACED));
	CHECK(!pci_is_running(MISPLACED));
	CHECK_OK(pci_bind("luo_hda_other", "unbind", MISPLACED));
	CHECK_OK(luo_write(pci_attribute(MISPLACED, "enable"), "0"));
	CHECK_OK(luo_write(pci_attribute(MISPLACED, "driver_override"), "\n"));

	pci_check_used_anew(s, MISPLACED, "at work without a record");
	CHECK(is_logged(MISPLACED ": nothing is known of it"));
	CHECK(!pci_was_freed(MISPLACED));
	/* Which leads to the place that is waited for. */
	CHECK_EQ(-EBUSY, luo_write(pci_port_attribute(MISPLACED, "remove"), "1"));
}

static void keep_without_bridge(const struct scenario *s)
{
	pci_keep(s, UNBRIDGED);
}

static void drop_bridge(void)
{
	struct block *block = find_block();
	struct record *record = find_record(block, (pci_bus_of(UNBRIDGED) + 3) << 3);

	if (record)
		*record = block->records[--block->count];
}

static void check_without_bridge(const struct scenario *s)
{
	pci_check_given_up(s, UNBRIDGED, "a bridge above was not kept");
}

static void damage_block(void)
{
	struct block *block = find_block();

	if (block)
		block->magic++;
}

static void check_without_records(const struct scenario *s)
{
	pci_check_given_up(s, KEPT, "at work without a record");
	CHECK(is_logged(KEPT ": nothing is known of it"));
}

/* ---- the next kernel can't read anything ---- */

static void damage_tree(void)
{
	if (system("luo_damage save tree"))
		printf("    # nothing is damaged\n");
}

static void check_after_loss(const struct scenario *s)
{
	pci_check_stream(pci_open_stream(KEPT));
}

#define DAMAGED_BY(_name, _jump, ...)						\
	{ .name = _name, .needs_module = true, .needs_file = "/dev/mem",	\
	  .alone = true, .jump = _jump, .stage = { __VA_ARGS__ } }

/* Machines of their own have those that begin with another word than "pci:". */
const struct scenario pci_damage_scenarios[] = {
	DAMAGED_BY("pci: its record is damaged", damage_record, keep_with_bad_record,
		   check_bad_record),
	DAMAGED_BY("pci: its record names another place", misplace,
		   keep_what_is_misplaced, check_misplaced),
	DAMAGED_BY("pci: its bridge has no record", drop_bridge, keep_without_bridge,
		   check_without_bridge),
	DAMAGED_BY("pci-records: all are damaged", damage_block, pci_keep_for_the_third,
		   check_without_records),
	DAMAGED_BY("pci-lost: the next kernel can't read anything", damage_tree,
		   pci_keep_for_the_third, NULL, check_after_loss),
	{ }
};
