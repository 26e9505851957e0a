// SPDX-License-Identifier: GPL-2.0
/*
 * Damage of records: every word that there is of a session, of the list of
 * sessions and of FLBs is collected, and a few of them are written over.
 */

#include <stddef.h>

#include "luo_hostile.h"
#include "luo_map.h"

#define PAGE		4096ull
#define HEAD		16
#define SESSION_SIZE	80
#define FILE_SIZE	64
#define HANDLER_SIZE	48
/* memfd-v2 and memfd-hugepages-v1 with the extension behind it, in words. */
#define HANDLE_WORDS	54
#define HANDLE_FOLIOS	32
#define HANDLE_RANGES	408
#define HUGE_HANDLER	"memfd-hugepages-v1"
#define RANGE_WORDS	4
#define FRAME		((1ull << 52) - 1)
/* Whose a page of files or of FLBs is stands at its end. */
#define NOTE_WORDS	2
/* Of a page of a list, so many lead to pages that others may covet. */
#define FOLIOS_PER_LIST	16
/* With the times that stand behind it. */
#define ROOT_WORDS	8

/* Words are chosen by class first, so that the many do not hide the few. */
enum class {
	SESSION,
	BLOCK,
	RECORD,
	HANDLE,
	CHAIN,
	CHUNK,
	FOLIO,
	RANGE,
	LIST_HEAD,
	FLB,
	CLASSES,
};

static const char *const class_names[CLASSES] = {
	"session", "block", "record", "handle", "chain", "chunk", "folio", "range",
	"list of sessions", "FLB",
};

struct word {
	__u64 pa;
	enum class class;
	unsigned int owner;
};

static struct word *words;
static size_t nr_words, room;
/* Pages of records and of folios, by address. */
static struct page {
	__u64 pa;
	unsigned int owner;
} *pages;
static size_t nr_pages, page_room;

struct owner {
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	size_t first, last;
	/* Has a list of several chunks, which few have. */
	bool chained;
};

static struct owner *owners;
static unsigned int nr_owners;
/* What all sessions have in common. */
static struct owner heads, flbs;
static int mem = -1;

/* ---- memory ---- */

static int read_at(__u64 pa, void *buf, size_t size)
{
	return pread(mem, buf, size, pa) == (ssize_t)size ? 0 : -EIO;
}

static __u64 word_at(__u64 pa)
{
	__u64 word = 0;

	read_at(pa, &word, sizeof(word));
	return word;
}

static void *grown(void *array, size_t n, size_t *have, size_t size)
{
	if (n < *have)
		return array;
	*have = *have ? 2 * *have : 1024;
	array = realloc(array, *have * size);
	if (!array) {
		fprintf(stderr, "luo_hostile: no memory\n");
		exit(1);
	}
	return array;
}

/* ---- collecting ---- */

static void add_words(enum class class, __u64 pa, unsigned int n)
{
	for (; n; n--, pa += 8) {
		words = grown(words, nr_words, &room, sizeof(*words));
		words[nr_words++] = (struct word) { pa, class, nr_owners };
	}
}

static void add_page(__u64 pa)
{
	pages = grown(pages, nr_pages, &page_room, sizeof(*pages));
	pages[nr_pages++] = (struct page) { pa & -PAGE, nr_owners };
}

static void collect_folios(__u64 list, unsigned int count)
{
	unsigned int i;

	add_page(list);
	add_words(FOLIO, list, count * 2);
	for (i = 0; i < count && i < FOLIOS_PER_LIST; i++)
		add_page((word_at(list + i * 16) & FRAME) * PAGE);
}

/* Returns how many folios are in the lists that the chunk leads to, count at most. */
static __u64 collect_chunk(__u64 chunk, __u64 count)
{
	__u64 done = 0, list, at;
	unsigned int n;

	add_page(chunk);
	add_words(CHAIN, chunk, 1);
	for (at = 8; at < PAGE && done < count; at += 8, done += n) {
		list = word_at(chunk + at);
		n = count - done < PAGE / 16 ? count - done : PAGE / 16;
		add_words(CHUNK, chunk + at, 1);
		collect_folios(list, n);
	}
	/* The first that is not in use. */
	if (at < PAGE)
		add_words(CHUNK, chunk + at, 1);
	return done;
}

static void collect_list(__u64 chunk, __u64 count)
{
	__u64 done = 0;

	for (; chunk && !(chunk % PAGE) && done < count; chunk = word_at(chunk)) {
		owners[nr_owners].chained |= done > 0;
		done += collect_chunk(chunk, count - done);
	}
}

static void collect_ranges(__u64 record, __u64 handle)
{
	char handler[HANDLER_SIZE] = "";
	__u64 ranges = word_at(handle + HANDLE_RANGES);

	read_at(record, handler, sizeof(handler) - 1);
	if (strcmp(handler, HUGE_HANDLER) || !ranges || ranges % PAGE)
		return;
	add_page(ranges);
	add_words(RANGE, ranges, RANGE_WORDS);
}

static void collect_file(__u64 record)
{
	__u64 handle = word_at(record + HANDLER_SIZE);

	add_words(RECORD, record, FILE_SIZE / 8);
	if (!handle || handle % PAGE)
		return;
	add_page(handle);
	add_words(HANDLE, handle, HANDLE_WORDS);
	collect_ranges(record, handle);
	collect_list(word_at(handle + HANDLE_FOLIOS), word_at(handle + HANDLE_FOLIOS - 8));
}

static void collect_files(__u64 block)
{
	__u64 i, count;

	for (; block; block = word_at(block)) {
		add_page(block);
		add_words(BLOCK, block, HEAD / 8);
		add_words(BLOCK, block + PAGE - NOTE_WORDS * 8, NOTE_WORDS);
		count = word_at(block + 8);
		for (i = 0; i < count && i < (PAGE - HEAD) / FILE_SIZE; i++)
			collect_file(block + HEAD + i * FILE_SIZE);
	}
}

static void collect_session(__u64 record)
{
	static size_t have;
	struct owner *owner;

	owners = grown(owners, nr_owners, &have, sizeof(*owners));
	owner = &owners[nr_owners];
	read_at(record, owner->name, sizeof(owner->name));
	owner->first = nr_words;
	owner->chained = false;
	add_words(SESSION, record, SESSION_SIZE / 8);
	collect_files(word_at(record + sizeof(owner->name)));
	owner->last = nr_words;
	nr_owners++;
}

static void collect_flbs(__u64 page)
{
	__u64 count = word_at(page + 8);

	if (!page)
		return;
	add_words(FLB, page, (HEAD + count * FILE_SIZE) / 8);
	add_words(FLB, page + PAGE - NOTE_WORDS * 8, NOTE_WORDS);
}

static bool is_tail(__u64 record)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH] = "";

	read_at(record, name, sizeof(name) - 1);
	return !strncmp(name, HOSTILE_TAIL, strlen(HOSTILE_TAIL));
}

static bool is_of_tail(__u64 block)
{
	__u64 i, count = word_at(block + 8);

	for (i = 0; i < count; i++) {
		if (!is_tail(block + HEAD + i * SESSION_SIZE))
			return false;
	}
	return true;
}

/*
 * What a head leads to is lost with it: so of the list of sessions only what is
 * behind all those that matter.
 */
static void collect_heads(__u64 block)
{
	__u64 next;

	for (; block; block = next) {
		next = word_at(block);
		if (!next || is_of_tail(next))
			add_words(LIST_HEAD, block, 1);
		if (is_of_tail(block))
			add_words(LIST_HEAD, block + 8, 1);
	}
}

static int compare_pages(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return x->pa < y->pa ? -1 : x->pa > y->pa;
}

int hostile_read_records(void)
{
	struct {
		char format[8];
		__u64 number, sessions, flb;
	} root;
	__u64 block, i;

	mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	if (luo_read_text("/sys/kernel/debug/kho/in/sub_fdts/LUO", &root, sizeof(root)) !=
	    sizeof(root))
		return -ENOENT;
	for (block = root.sessions; block; block = word_at(block)) {
		for (i = 0; i < word_at(block + 8); i++)
			collect_session(block + HEAD + i * SESSION_SIZE);
	}
	heads.first = nr_words;
	collect_heads(root.sessions);
	heads.last = nr_words;
	flbs.first = nr_words;
	collect_flbs(root.flb);
	flbs.last = nr_words;
	qsort(pages, nr_pages, sizeof(*pages), compare_pages);
	return nr_owners;
}

/* ---- damage ---- */

__u64 hostile_roll(struct hostile_dice *dice)
{
	__u64 x = dice->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

unsigned int hostile_pick(struct hostile_dice *dice, unsigned int sides)
{
	return hostile_roll(dice) % sides;
}

void hostile_name(char *name, unsigned int seed)
{
	snprintf(name, LIVEUPDATE_SESSION_NAME_LENGTH, HOSTILE_PREFIX "%08u", seed);
}

static const struct owner *find_owner(unsigned int seed)
{
	char name[LIVEUPDATE_SESSION_NAME_LENGTH];
	unsigned int i;

	hostile_name(name, seed);
	for (i = 0; i < nr_owners; i++) {
		if (!strncmp(owners[i].name, name, sizeof(name)))
			return &owners[i];
	}
	return NULL;
}

static enum class pick_class(struct hostile_dice *dice, const struct owner *owner)
{
	return owner->chained && hostile_pick(dice, 2) ? CHAIN : hostile_pick(dice, CLASSES);
}

static const struct word *pick_word(struct hostile_dice *dice, const struct owner *owner)
{
	const struct word *found = NULL;
	size_t i, n = 0;

	while (!n) {
		enum class class = pick_class(dice, owner);

		for (i = owner->first; i < owner->last; i++) {
			if (words[i].class == class && !hostile_pick(dice, ++n))
				found = &words[i];
		}
	}
	return found;
}

static __u64 wrong_word(struct hostile_dice *dice, const struct owner *owner, __u64 was)
{
	switch (hostile_pick(dice, 12)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return hostile_roll(dice);
	case 3:
		return was + 1;
	case 4:
		return was - 1;
	case 5:
		return was + PAGE;
	case 6:
		return hostile_roll(dice) >> hostile_pick(dice, 64);
	case 7:
		/* Memory there is, but not preserved. */
		return hostile_roll(dice) % (1ull << 31) & -PAGE;
	case 8:
		return pick_word(dice, owner)->pa & -PAGE;
	case 9:
		return word_at(pick_word(dice, owner)->pa);
	case 10:
		return 1ull << hostile_pick(dice, 64);
	default:
		return was ^ 1ull << hostile_pick(dice, 64);
	}
}

static bool is_whole(const struct page *page)
{
	return strncmp(owners[page->owner].name, HOSTILE_PREFIX, strlen(HOSTILE_PREFIX));
}

/* A page of a session that is whole, which has to stay so, or of one that is not. */
static __u64 foreign_word(struct hostile_dice *dice, const struct word *word, bool whole)
{
	const __u64 was = word_at(word->pa);
	const struct page *page;

	do {
		page = &pages[hostile_pick(dice, nr_pages)];
	} while (is_whole(page) != whole);
	/* Folios are known by their frame, with flags. */
	if (word->class == FOLIO ? hostile_pick(dice, 4) : !hostile_pick(dice, 4))
		return (was & ~FRAME) | page->pa / PAGE;
	return page->pa;
}

static __u64 damaged_word(struct hostile_dice *dice, const struct owner *owner,
			  const struct word *word, enum hostile_way way)
{
	if (way == HOSTILE_ANY)
		return wrong_word(dice, owner, word_at(word->pa));
	return foreign_word(dice, word, way == HOSTILE_COVET);
}

static int damage_owner(unsigned int seed, const struct owner *owner, enum hostile_way way,
			bool verbose)
{
	struct hostile_dice dice = { .state = seed };
	int i, n = 1 + hostile_pick(&dice, 3);

	for (i = 0; owner && i < n; i++) {
		const struct word *word = pick_word(&dice, owner);
		__u64 was = word_at(word->pa), now = damaged_word(&dice, owner, word, way);

		if (pwrite(mem, &now, sizeof(now), word->pa) != sizeof(now))
			return -errno;
		if (!verbose)
			continue;
		printf("# seed %u: %s %#llx: %#llx instead of %#llx\n", seed,
		       class_names[word->class], (unsigned long long)word->pa,
		       (unsigned long long)now, (unsigned long long)was);
	}
	return owner ? n : 0;
}

int hostile_damage_session(unsigned int seed, enum hostile_way way, bool verbose)
{
	return damage_owner(seed, find_owner(seed), way, verbose);
}

int hostile_damage_lists(unsigned int seed, enum hostile_way way)
{
	int heads_done = damage_owner(seed, &heads, way, true);

	if (heads_done > 0 && flbs.first < flbs.last)
		return damage_owner(seed, &flbs, way, true);
	return heads_done;
}

void hostile_print_classes(void)
{
	size_t i, n[CLASSES] = {};

	for (i = 0; i < nr_words; i++)
		n[words[i].class]++;
	for (i = 0; i < CLASSES; i++)
		printf("# %s: %zu words\n", class_names[i], n[i]);
}

/* ---- what the next kernel reads when it boots ---- */

/* Aligned to 4 bytes, as in a tree. */
static __u32 tree[PAGE / 4];

/* Pages that the tree leads to: blobs, and the root of the map. */
static __u64 pick_blob(struct hostile_dice *dice)
{
	__u64 pa, word, found = 0;
	unsigned int i, n = 0;

	for (i = 0; i + 1 < PAGE / 4; i++) {
		memcpy(&pa, &tree[i], sizeof(pa));
		if (pa >= 1 << 20 && !(pa % PAGE) && pa < 1ull << 34 &&
		    !read_at(pa, &word, sizeof(word)) && !hostile_pick(dice, ++n))
			found = pa;
	}
	return found;
}

static __u64 find_tree_in(__u64 start, __u64 end)
{
	static char some[64 * PAGE];
	ssize_t len, at;

	for (start &= -PAGE; start < end; start += len) {
		len = pread(mem, some, end - start < sizeof(some) ? end - start : sizeof(some),
			    start);
		for (at = 0; len - at >= (ssize_t)PAGE; at += PAGE) {
			if (!memcmp(some + at, tree, PAGE))
				return start + at;
		}
		/* What can't be read is passed over. */
		len = len >= (ssize_t)PAGE ? len & -PAGE : PAGE;
	}
	return 0;
}

/* Where the tree itself stands is told by nobody. */
static __u64 find_tree(void)
{
	unsigned long long start, end;
	char line[256];
	__u64 found = 0;
	FILE *f = fopen("/proc/iomem", "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' || !strstr(line, "System RAM") ||
		    sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		/* Below 1 MiB there is nothing of ours. */
		if (start >= 1 << 20)
			found = find_tree_in(start, end + 1);
	}
	if (f)
		fclose(f);
	return found;
}

/* A page of the tree, the deeper the more likely, as there are more of those. */
static __u64 pick_node(struct hostile_dice *dice, int *level)
{
	__u64 node[LUO_TABLE_ENTRIES], pa = luo_map_root(), next;
	int i, n, stop = hostile_pick(dice, LUO_ROOT_LEVEL + 1);

	for (*level = LUO_ROOT_LEVEL; *level > stop; --*level) {
		if (read_at(pa, node, sizeof(node)))
			return 0;
		for (next = 0, i = 0, n = 0; i < LUO_TABLE_ENTRIES; i++) {
			if (node[i] && !hostile_pick(dice, ++n))
				next = node[i];
		}
		if (!next)
			break;
		pa = next;
	}
	return pa;
}

static __u64 wrong_entry(struct hostile_dice *dice, __u64 was, __u64 node)
{
	switch (hostile_pick(dice, 6)) {
	case 0:
		return node;
	case 1:
		return luo_map_root();
	case 2:
		return hostile_roll(dice);
	case 3:
		return hostile_roll(dice) % (1ull << 31) & -PAGE;
	case 4:
		return was + PAGE;
	default:
		return was ^ 1ull << hostile_pick(dice, 64);
	}
}

static __u64 pick_target(struct hostile_dice *dice, const char **what, unsigned int *n)
{
	int level;

	luo_read_text(LUO_KHO_OUT "fdt", tree, sizeof(tree));
	switch (hostile_pick(dice, 4)) {
	case 0:
		*what = "blob";
		*n = ROOT_WORDS;
		return pick_blob(dice);
	case 1:
		*what = "tree";
		/* In the header, in big-endian order. */
		*n = __builtin_bswap32(tree[1]) / 8;
		return find_tree();
	default:
		*what = "node";
		*n = LUO_TABLE_ENTRIES;
		return pick_node(dice, &level);
	}
}

int hostile_damage_map(unsigned int seed)
{
	struct hostile_dice dice = { .state = seed };
	__u64 node[LUO_TABLE_ENTRIES], pa, now;
	const char *what;
	unsigned int i, at, n;

	mem = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	pa = pick_target(&dice, &what, &n);
	if (!pa || !n || read_at(pa, node, sizeof(node)))
		return -ENOENT;
	at = hostile_pick(&dice, n);
	/* Rather a word that is in use. */
	for (i = 0; i < n && !node[at]; i++)
		at = (at + 1) % n;
	now = wrong_entry(&dice, node[at], pa);
	if (pwrite(mem, &now, sizeof(now), pa + at * 8) != sizeof(now))
		return -errno;
	printf("# seed %u: %s %#llx, word %u: %#llx instead of %#llx\n", seed, what,
	       (unsigned long long)pa, at, (unsigned long long)now,
	       (unsigned long long)node[at]);
	return 1;
}
