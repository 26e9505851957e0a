// SPDX-License-Identifier: GPL-2.0
/*
 * The manifest of a session: JSON in a memfd that says how QEMU was started.
 * It comes from another kernel and maybe another version of this program:
 * nothing in it is taken for granted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu.h"

#define MANIFEST_VERSION	1
#define MANIFEST_MAX		(1 << 20)
/* Numbers grow by less. */
#define RESERVE			4096
#define FORMAT			JSON_INDENT(1)

static json_t *arguments_json(const struct guest *guest)
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < guest->argument_count; i++) {
		if (json_array_append_new(list, json_string(guest->arguments[i]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *rams_json(const struct guest *guest)
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < guest->ram_count; i++) {
		const struct ram *ram = &guest->rams[i];

		json_array_append_new(list, json_pack("{s:s, s:I, s:i}", "id", ram->id,
						      "size", (json_int_t)ram->size,
						      "token", TOKEN_RAM + i));
	}
	return list;
}

/* NULL if the next kernel could not read it. */
static json_t *make(const struct guest *guest)
{
	json_t *manifest;

	manifest = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:O*, s:o, s:o}",
			     "version", MANIFEST_VERSION,
			     "qemu", guest->program, "qemu_version", guest->version,
			     "mark", guest->mark,
			     "machine", guest->shared->machine, "ran", guest->shared->ran,
			     "stopped", (json_int_t)guest->shared->stopped,
			     "state_bytes", (json_int_t)guest->state_bytes,
			     "state_digest", (json_int_t)guest->digest, "mounts", guest->mounts,
			     "arguments", arguments_json(guest), "memory", rams_json(guest));
	if (!manifest) {
		fail("arguments for QEMU have to be UTF-8");
	} else if (json_dumpb(manifest, NULL, 0, FORMAT) > MANIFEST_MAX - RESERVE) {
		fail("arguments for QEMU have to be shorter than %d bytes", MANIFEST_MAX);
		json_decref(manifest);
		manifest = NULL;
	}
	return manifest;
}

int manifest_check(const struct guest *guest)
{
	json_t *manifest = make(guest);

	json_decref(manifest);
	return manifest ? 0 : -1;
}

int manifest_write(struct guest *guest)
{
	json_t *manifest;
	int err;

	if (state_digest(guest, &guest->state_bytes, &guest->digest))
		return -1;
	manifest = make(guest);
	if (!manifest)
		return -1;
	err = ftruncate(guest->manifest, 0) || lseek(guest->manifest, 0, SEEK_SET) ||
	      json_dumpfd(manifest, guest->manifest, FORMAT);
	json_decref(manifest);
	return err ? fail_errno(errno, "writing the manifest") : 0;
}

static int take_arguments(struct guest *guest, json_t *list)
{
	size_t i, count = json_array_size(list);

	guest->arguments = calloc(count + 1, sizeof(char *));
	if (!guest->arguments)
		return fail_errno(ENOMEM, "manifest");
	for (i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		guest->arguments[i] = text ? strdup(text) : NULL;
		if (!guest->arguments[i])
			return fail("the manifest is damaged: arguments");
	}
	guest->argument_count = count;
	return 0;
}

/* The arguments say it all: what stands beside them has to agree. */
static int check_rams(const struct guest *guest, json_t *list)
{
	int i;

	for (i = 0; i < guest->ram_count; i++) {
		json_t *row = json_array_get(list, i);
		const char *id = json_string_value(json_object_get(row, "id"));
		uint64_t size = json_integer_value(json_object_get(row, "size"));

		if (!id || strcmp(id, guest->rams[i].id) || size != guest->rams[i].size)
			return fail("the manifest is damaged: memory %s", guest->rams[i].id);
	}
	return json_array_size(list) == (size_t)guest->ram_count ? 0 :
	       fail("the manifest is damaged: memory");
}

static int take(struct guest *guest, json_t *manifest)
{
	const char *program, *version, *machine, *mark;
	json_t *arguments, *memory;
	json_int_t bytes, digest;
	int number = 0, ran;

	json_unpack(manifest, "{s:i}", "version", &number);
	if (number != MANIFEST_VERSION)
		return fail("a manifest of version %d: a newer luo-qemu is needed", number);
	if (json_unpack(manifest, "{s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:o}", "qemu", &program,
			"qemu_version", &version, "machine", &machine, "ran", &ran,
			"state_bytes", &bytes, "state_digest", &digest,
			"arguments", &arguments, "memory", &memory))
		return fail("the manifest is damaged");
	guest->shared->ran = ran;
	/* Older ones do not have these. */
	mark = json_string_value(json_object_get(manifest, "mark"));
	snprintf(guest->mark, sizeof(guest->mark), "%s", mark ?: "");
	guest->shared->stopped = json_integer_value(json_object_get(manifest, "stopped"));
	guest->mounts = json_incref(json_object_get(manifest, "mounts"));
	guest->state_bytes = bytes;
	guest->digest = digest;
	/* --qemu names another. */
	if (!guest->program)
		guest->program = strdup(program);
	snprintf(guest->version, sizeof(guest->version), "%s", version);
	snprintf(guest->shared->machine, sizeof(guest->shared->machine), "%s", machine);
	if (take_arguments(guest, arguments) || arguments_parse(guest))
		return -1;
	return check_rams(guest, memory);
}

int manifest_read(struct guest *guest)
{
	json_error_t error;
	json_t *manifest;
	struct stat st;
	char *text;
	int err;

	if (fstat(guest->manifest, &st))
		return fail_errno(errno, "manifest");
	if (!st.st_size || st.st_size > MANIFEST_MAX)
		return fail("the manifest is damaged: %lld bytes", (long long)st.st_size);
	text = malloc(st.st_size);
	if (!text || pread(guest->manifest, text, st.st_size, 0) != st.st_size) {
		free(text);
		return fail_errno(errno, "manifest");
	}
	manifest = json_loadb(text, st.st_size, 0, &error);
	free(text);
	if (!manifest)
		return fail("the manifest is damaged: %s", error.text);
	err = take(guest, manifest);
	json_decref(manifest);
	return err;
}
