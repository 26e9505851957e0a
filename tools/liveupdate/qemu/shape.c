// SPDX-License-Identifier: GPL-2.0
/*
 * What a machine is made of. The next QEMU makes it by the arguments of the
 * first: a machine that was changed since, by another monitor or by the guest,
 * would get the wrong disks, or not load its state.
 */
#define _GNU_SOURCE
#include "qemu.h"

#define BASIS	0xcbf29ce484222325	/* FNV-1a */
#define PRIME	0x100000001b3

static uint64_t digest_of(const json_t *row, const char * const keys[2])
{
	uint64_t digest = BASIS;
	const char *text;
	int i;

	for (i = 0; i < 2; i++) {
		text = json_string_value(json_object_get(row, keys[i]));
		while (text && *text)
			digest = (digest ^ (uint8_t)*text++) * PRIME;
		digest *= PRIME;
	}
	return digest;
}

/* In which order they are listed does not matter. */
static int add(struct qmp *qmp, const char *command, json_t *arguments,
	       const char * const keys[2], uint64_t *shape)
{
	json_t *rows = qmp_ask(qmp, command, arguments, -1), *row;
	size_t i;

	if (!rows)
		return -1;
	json_array_foreach(rows, i, row) {
		*shape += digest_of(row, keys);
	}
	json_decref(rows);
	return 0;
}

static int look(struct qmp *qmp, uint64_t *shape)
{
	static const char * const nodes[] = { "node-name", "file" };
	static const char * const children[] = { "name", "type" };
	static const char * const memories[] = { "id", "id" };

	*shape = 1;
	return add(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), nodes, shape) ?:
	       add(qmp, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), children,
		   shape) ?:
	       add(qmp, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral-anon"),
		   children, shape) ?:
	       add(qmp, "query-memdev", NULL, memories, shape);
}

int shape_take(struct guest *guest, struct qmp *qmp)
{
	return look(qmp, &guest->shared->shape);
}

int shape_check(const struct guest *guest, struct qmp *qmp)
{
	uint64_t shape;

	if (look(qmp, &shape))
		return -1;
	return shape == guest->shared->shape ? 0 :
	       fail("its devices, disks or memory are others than those it was started with");
}
