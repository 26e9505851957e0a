// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts how often each block of translated instructions runs.
 *
 * Arguments: out=FILE, where the counts go, and mark=ADDRESS: each time the block at
 * that address is about to run, and in the end, a line "mark" and what ran since the
 * mark before is written, in lines "ADDRESS INSTRUCTIONS RUNS".
 *
 * Debian has no header of the interface, so what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT	__attribute__((visibility("default")))
#define SLOTS	(1u << 22)

struct qemu_plugin_tb;

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id,
						  struct qemu_plugin_tb *tb));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
						 void (*cb)(unsigned int vcpu, void *data),
						 enum qemu_plugin_cb_flags flags, void *data);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb,
						     enum qemu_plugin_op op, void *counter,
						     uint64_t add);
extern void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *data),
					   void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

EXPORT int qemu_plugin_version = 1;

/* A block by where it begins and how long it is: it may be translated again. */
struct block {
	uint64_t address;
	uint64_t instructions;
	uint64_t runs;
	uint64_t runs_before;
};

static struct block *blocks;
static uint64_t mark;
static FILE *out;

static struct block *find(uint64_t address, uint64_t instructions)
{
	uint64_t hash = ((address ^ instructions << 56) * 0x9e3779b97f4a7c15ull) >> 42;
	unsigned int tries;

	for (tries = 0; tries < SLOTS; tries++, hash++) {
		struct block *block = &blocks[hash % SLOTS];

		if (!block->instructions) {
			block->address = address;
			block->instructions = instructions;
		}
		if (block->address == address && block->instructions == instructions)
			return block;
	}
	fputs("profile_plugin: too much code\n", stderr);
	exit(1);
}

static void write_counts(void)
{
	unsigned int i;

	fprintf(out, "mark\n");
	for (i = 0; i < SLOTS; i++) {
		struct block *block = &blocks[i];

		if (block->runs == block->runs_before)
			continue;
		fprintf(out, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", block->address,
			block->instructions, block->runs - block->runs_before);
		block->runs_before = block->runs;
	}
}

static void at_mark(unsigned int vcpu, void *data)
{
	write_counts();
}

static void at_end(uint64_t id, void *data)
{
	write_counts();
	fclose(out);
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = find(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));

	if (block->address == mark)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, at_mark, QEMU_PLUGIN_CB_NO_REGS, NULL);
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->runs, 1);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	char *path = NULL;
	int i;

	for (i = 0; i < argc; i++) {
		if (sscanf(argv[i], "out=%ms", &path) != 1 &&
		    sscanf(argv[i], "mark=%" SCNx64, &mark) != 1)
			fprintf(stderr, "profile_plugin: unknown argument: %s\n", argv[i]);
	}
	out = path ? fopen(path, "w") : NULL;
	blocks = calloc(SLOTS, sizeof(*blocks));
	if (!out || !blocks || !mark) {
		fputs("profile_plugin: needs out=FILE, mark=ADDRESS and memory\n", stderr);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_end, NULL);
	return 0;
}
