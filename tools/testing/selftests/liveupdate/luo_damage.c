// SPDX-License-Identifier: GPL-2.0
/*
 * State that is damaged on its way to the next kernel, whichever kernel wrote
 * it: it is found in /dev/mem by what stands there, and written over.
 *
 * What a kernel reads when it boots is damaged before the jump, records after it:
 * mainline writes them last, and they are read when the device is opened.
 */

#include <stddef.h>

#include "../kselftest.h"
#include "luo_test.h"

#define PAGE		4096
#define CHUNK		0x400000
#define HURT		"hurt"
#define WHOLE		"whole"
#define FILE_SIZE	0x100000
/* No memory, aligned as all that is handed over. */
#define NOWHERE		0x200000000000ull

static int mem;
static int changed;

static const char usage[] =
	"Usage: luo_damage save KIND | luo_damage check KIND\n"
	"Save two sessions; in the next kernel, check that nothing is gone but what\n"
	"KIND says was damaged, which is done in the one kernel or in the other.\n"
	"\n"
	"Kinds: tree, map, address, length, list, list-length, scratch, area, blob, name,\n"
	"rename, root, clocks, clocks-size, chain, block, count, handler, data, folios. Needs\n"
	"/dev/mem of a kernel without STRICT_DEVMEM. Exit status: 0, 1 if it failed, 2 if the\n"
	"arguments make no sense.\n";

struct record {
	__u8 name[64];
	__u64 files;
	__u64 count;
};

static void die(const char *what)
{
	fprintf(stderr, "luo_damage: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Within a page. Mapped, as the kernel may not write into what it freed meanwhile. */
static void put(__u64 pa, const void *bytes, size_t len)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, pa & -PAGE);

	if (page == MAP_FAILED)
		die("/dev/mem");
	memcpy(page + pa % PAGE, bytes, len);
	munmap(page, PAGE);
	changed++;
}

static void put_number(__u64 pa, __u64 number)
{
	put(pa, &number, sizeof(number));
}

static __u64 number_at(__u64 pa)
{
	__u64 number;

	if (pread(mem, &number, sizeof(number), pa) != sizeof(number))
		die("/dev/mem");
	return number;
}

/* ---- kinds ---- */

/* Where the bytes stand in a page that is a tree, 0 if it is none. */
static int in_tree(const unsigned char *page, const void *bytes, size_t len)
{
	static const unsigned char magic[] = { 0xd0, 0x0d, 0xfe, 0xed };
	const unsigned char *at;

	if (memcmp(page, magic, sizeof(magic)))
		return 0;
	at = memmem(page, PAGE, bytes, len);
	return at ? at - page : 0;
}

static void hurt_tree(__u64 pa, const unsigned char *page)
{
	int at = in_tree(page, "kho-v4", sizeof("kho-v4"));

	if (at)
		put(pa + at, "kho-v1", 6);
}

/* The first property of eight bytes. */
static void hurt_map(__u64 pa, const unsigned char *page)
{
	static const unsigned char property[] = { 0, 0, 0, 3, 0, 0, 0, 8 };
	int at = in_tree(page, property, sizeof(property));

	if (at && in_tree(page, "kho-v4", sizeof("kho-v4")))
		put_number(pa + at + sizeof(property) + 4, NOWHERE + 1);
}

/*
 * What the next kernel is told of tree and scratch areas when it starts: addresses
 * and lengths, behind their type and their size.
 */
struct told {
	__u32 type;
	__u32 size;
	__u64 tree;
	__u64 tree_length;
	__u64 list;
	__u64 list_length;
};

static void hurt_told(__u64 pa, const unsigned char *page, size_t field, __u64 number)
{
	const struct told *told;
	size_t at;

	for (at = 0; at + sizeof(*told) <= PAGE; at += 8) {
		told = (const void *)(page + at);
		if (told->type == 10 && told->size == 32 &&
		    told->tree && !(told->tree % PAGE) && told->tree_length == PAGE &&
		    told->list && !(told->list % PAGE) && told->list_length)
			put_number(pa + at + field, number);
	}
}

static void hurt_address(__u64 pa, const unsigned char *page)
{
	hurt_told(pa, page, offsetof(struct told, tree), NOWHERE);
}

static void hurt_length(__u64 pa, const unsigned char *page)
{
	hurt_told(pa, page, offsetof(struct told, tree_length), 0);
}

static void hurt_list(__u64 pa, const unsigned char *page)
{
	hurt_told(pa, page, offsetof(struct told, list), NOWHERE);
}

static void hurt_list_length(__u64 pa, const unsigned char *page)
{
	hurt_told(pa, page, offsetof(struct told, list_length), 1 << 24);
}

/* Of debugfs, which has a line for each scratch area. */
static int read_scratch(const char *name, __u64 *numbers, int max)
{
	unsigned long long number;
	char path[64];
	int nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kho/out/%s", name);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (nr < max && fscanf(f, "%llx", &number) == 1)
		numbers[nr++] = number;
	fclose(f);
	return nr;
}

/* The address of the first of the scratch areas that the loaded image is to find. */
static void hurt_first_area(__u64 pa, const unsigned char *page, __u64 change)
{
	static __u64 addresses[16], sizes[16];
	static int nr;
	__u64 area[2];
	int i;

	if (!nr) {
		nr = read_scratch("scratch_phys", addresses, 16);
		if (read_scratch("scratch_len", sizes, 16) != nr || !nr)
			die("scratch areas");
	}
	for (i = 0; i < nr; i++) {
		memcpy(area, page + i * sizeof(area), sizeof(area));
		if (area[0] != addresses[i] || area[1] != sizes[i])
			return;
	}
	put_number(pa, addresses[0] + change);
}

static void hurt_scratch(__u64 pa, const unsigned char *page)
{
	hurt_first_area(pa, page, 1);
}

static void hurt_area(__u64 pa, const unsigned char *page)
{
	hurt_first_area(pa, page, NOWHERE);
}

/*
 * What is said of a blob: its size and its address, which stand behind its padded
 * name, each behind token, length and name.
 */
#define SIZE_AT		12
#define ADDRESS_AT	(SIZE_AT + 8 + 12)

/* Where the name of LUO's blob stands, in each tree. */
static __u64 blob_name(__u64 pa, const unsigned char *page)
{
	static const unsigned char node[] = { 0, 0, 0, 1, 'L', 'U', 'O', 0 };
	int at = in_tree(page, node, sizeof(node));

	return at ? pa + at + 4 : 0;
}

/* The name, and all that is said of it. */
static void hurt_blob(__u64 pa, const unsigned char *page)
{
	__u64 name = blob_name(pa, page);

	if (!name)
		return;
	put(name, "\033", 1);
	put_number(name + 4 + SIZE_AT, 0);
}

/* What is said of it is sound. */
static void hurt_name(__u64 pa, const unsigned char *page)
{
	__u64 name = blob_name(pa, page);

	if (name)
		put(name, "\033", 1);
}

static void hurt_rename(__u64 pa, const unsigned char *page)
{
	__u64 name = blob_name(pa, page);

	if (name)
		put(name, "M", 1);
}

/* Where the padded name of the blob of clocks ends, 0 if there is none. */
static __u64 clocks_said(__u64 pa, const unsigned char *page)
{
	static const unsigned char node[16] = "\0\0\0\1x86-clocks\0";
	int at = in_tree(page, node, sizeof(node));

	return at ? pa + at + sizeof(node) : 0;
}

/* In a tree of the kernel before this one, it leads anywhere. */
static __u64 follow(__u64 pa)
{
	__u64 number;

	return pread(mem, &number, sizeof(number), pa) == sizeof(number) ? number : 0;
}

/* Of the only file in the second session, which is the whole one. */
static __u64 whole_handle(__u64 root)
{
	__u64 record = follow(root + 16) + 16 + sizeof(struct record);

	return follow(follow(record + offsetof(struct record, files)) + 16 + 48);
}

/* A page that is handed over, but nothing that may be freed as clocks. */
static void hurt_clocks(__u64 pa, const unsigned char *page)
{
	__u64 said = clocks_said(pa, page), name = blob_name(pa, page), root;

	if (!said || !name)
		return;
	memcpy(&root, page + (name - pa) + 4 + ADDRESS_AT, sizeof(root));
	put_number(said + ADDRESS_AT, whole_handle(root));
}

static void hurt_clocks_size(__u64 pa, const unsigned char *page)
{
	__u64 said = clocks_said(pa, page);

	if (said)
		put_number(said + SIZE_AT, 8);
}

/* A constant of the kernel may begin a page, too, but nothing stands behind it. */
static void hurt_root(__u64 pa, const unsigned char *page)
{
	static const unsigned char nothing[24];

	if (!memcmp(page, "luo-v5\0", 8) && memcmp(page + 8, nothing, sizeof(nothing)))
		put(pa, "luo-v1", 6);
}

/* What is done to the record at pa, and to the block of its files. */
static void hurt_chain(__u64 pa, const struct record *record)
{
	put_number(record->files, 0x123456789000);
}

/* More records than there is space for. */
static void hurt_block(__u64 pa, const struct record *record)
{
	put_number(record->files + 8, PAGE / 64);
}

static void hurt_count(__u64 pa, const struct record *record)
{
	put_number(pa + offsetof(struct record, count), record->count + 1);
}

static void hurt_handler(__u64 pa, const struct record *record)
{
	put(record->files + 16, "nobody-v1", sizeof("nobody-v1"));
}

static void hurt_data(__u64 pa, const struct record *record)
{
	put_number(record->files + 16 + 48, 0x1000);
}

/* One folio more than the list of the first file has. */
static void hurt_folios(__u64 pa, const struct record *record)
{
	__u64 count = number_at(record->files + 16 + 48) + 24;

	put_number(count, number_at(count) + 1);
}

typedef void (*page_fn)(__u64 pa, const unsigned char *page);
typedef void (*record_fn)(__u64 pa, const struct record *record);

static const struct kind {
	const char *name;
	page_fn page;
	record_fn record;
	/* What becomes of both sessions, and of the first file of the hurt one... */
	int whole, hurt, file;
	/* ...which is not finished as long as its handler may come. */
	int finish;
} kinds[] = {
	{ "tree", .page = hurt_tree, .whole = -ENOENT, .hurt = -ENOENT },
	{ "scratch", .page = hurt_scratch, .whole = -ENOENT, .hurt = -ENOENT },
	{ "map", .page = hurt_map, .whole = -ENOENT, .hurt = -ENOENT },
	{ "address", .page = hurt_address, .whole = -ENOENT, .hurt = -ENOENT },
	{ "length", .page = hurt_length, .whole = -ENOENT, .hurt = -ENOENT },
	{ "list", .page = hurt_list, .whole = -ENOENT, .hurt = -ENOENT },
	{ "list-length", .page = hurt_list_length, .whole = -ENOENT, .hurt = -ENOENT },
	{ "area", .page = hurt_area, .whole = -ENOENT, .hurt = -ENOENT },
	{ "name", .page = hurt_name, .whole = -ENOENT, .hurt = -ENOENT },
	{ "rename", .page = hurt_rename, .whole = -ENOENT, .hurt = -ENOENT },
	{ "blob", .page = hurt_blob, .whole = -ENOENT, .hurt = -ENOENT },
	{ "root", .page = hurt_root, .whole = -ENOENT, .hurt = -ENOENT },
	{ "clocks", .page = hurt_clocks },
	{ "clocks-size", .page = hurt_clocks_size },
	{ "chain", .record = hurt_chain, .hurt = -EBADMSG },
	{ "block", .record = hurt_block, .hurt = -EBADMSG },
	{ "count", .record = hurt_count, .hurt = -EBADMSG },
	{ "handler", .record = hurt_handler, .file = -ENODEV, .finish = -ENODEV },
	{ "data", .record = hurt_data, .file = -EBADMSG },
	{ "folios", .record = hurt_folios, .file = -EBADMSG },
	{ }
};

/*
 * Session records stand 80 bytes apart behind a head of 16: the address of the
 * next block, and how many there are.
 */
static void hurt_records(const struct kind *kind, __u64 pa, const unsigned char *page)
{
	struct record record;
	__u64 head[2], i, at;

	memcpy(head, page, sizeof(head));
	if (head[0] % PAGE || head[1] > (PAGE - sizeof(head)) / sizeof(record))
		return;
	for (i = 0; i < head[1]; i++) {
		at = sizeof(head) + i * sizeof(record);
		memcpy(&record, page + at, sizeof(record));
		if (memcmp(record.name, HURT, sizeof(HURT)) || record.count != 2 ||
		    !record.files || record.files % PAGE)
			continue;
		kind->record(pa + at, &record);
	}
}

static void look_at(const struct kind *kind, __u64 start, __u64 end)
{
	const unsigned char *pages;
	__u64 pa, at, len;

	end &= ~(PAGE - 1ull);
	for (pa = start & ~(PAGE - 1ull); pa < end; pa += len) {
		len = end - pa < CHUNK ? end - pa : CHUNK;
		pages = mmap(NULL, len, PROT_READ, MAP_SHARED, mem, pa);
		if (pages == MAP_FAILED)
			die("/dev/mem");
		for (at = 0; at < len; at += PAGE) {
			if (kind->page)
				kind->page(pa + at, pages + at);
			else
				hurt_records(kind, pa + at, pages + at);
		}
		munmap((void *)pages, len);
	}
}

static int damage(const struct kind *kind)
{
	unsigned long long start, end;
	char line[256];
	FILE *f = fopen("/proc/iomem", "re");

	mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (mem < 0 || !f)
		die("/dev/mem");
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' || !strstr(line, "System RAM"))
			continue;
		/* Below 1 MiB there is nothing of ours. */
		if (sscanf(line, "%llx-%llx", &start, &end) == 2 && start >= 1 << 20)
			look_at(kind, start, end + 1);
	}
	fclose(f);
	close(mem);
	if (changed)
		return 0;
	fprintf(stderr, "luo_damage: %s: not found in memory\n", kind->name);
	return 1;
}

/* ---- sessions ---- */

static int save(int dev, const char *name, int files)
{
	int session = luo_create(dev, name), i, fd, err = 0;

	for (i = 1; i <= files && session >= 0 && !err; i++) {
		fd = luo_filled_memfd(FILE_SIZE, i);
		err = fd < 0 ? fd : luo_preserve(session, fd, i);
	}
	return session < 0 ? session : err;
}

static int open_device(void)
{
	int dev = luo_open();

	if (dev >= 0)
		return dev;
	errno = -dev;
	die(LUO_DEVICE);
	return -1;
}

/* Sessions are there as long as this process is, so it stays. */
static int save_both(const struct kind *kind)
{
	int dev = open_device();
	int err = save(dev, HURT, 2) ?: save(dev, WHOLE, 1);

	if (err) {
		errno = -err;
		die("sessions are not preserved");
	}
	if (kind->page && damage(kind))
		return 1;
	if (daemon(1, 1))
		die("daemon");
	pause();
	return 0;
}

static int expect(const char *what, int wanted, int seen)
{
	if (seen == wanted || (!wanted && seen > 0))
		return 0;
	printf("# %s: %d instead of %d\n", what, seen, wanted);
	return 1;
}

static int check_file(int session, __u64 token, int wanted)
{
	int fd = luo_retrieve_fd(session, token);

	if (expect("file", wanted, fd))
		return 1;
	return wanted ? 0 : expect("content", 0, luo_verify(fd, 0, FILE_SIZE, token));
}

static int check_both(const struct kind *kind)
{
	int dev, session, bad;

	if (kind->record && damage(kind))
		return 1;
	dev = open_device();
	session = luo_retrieve(dev, WHOLE);
	bad = expect("session " WHOLE, kind->whole, session);
	if (session >= 0)
		bad |= check_file(session, 1, 0) | expect("finish", 0, luo_finish(session));

	session = luo_retrieve(dev, HURT);
	bad |= expect("session " HURT, kind->hurt, session);
	if (session >= 0)
		bad |= check_file(session, 1, kind->file) | check_file(session, 2, 0) |
		       expect("finish", kind->finish, luo_finish(session));
	return bad;
}

int main(int argc, char **argv)
{
	const struct kind *kind = kinds;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	while (argc == 3 && kind->name && strcmp(kind->name, argv[2]))
		kind++;
	if (argc == 3 && kind->name && !strcmp(argv[1], "save"))
		return save_both(kind);
	if (argc == 3 && kind->name && !strcmp(argv[1], "check"))
		return check_both(kind);
	fputs(usage, stderr);
	return 2;
}
