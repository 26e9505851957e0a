// SPDX-License-Identifier: GPL-2.0
/*
 * The user's arguments for QEMU. Memory that QEMU would make for itself becomes
 * a file that is there already: one of ours.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu.h"

#define DEFAULT_RAM	"luo-ram"
#define DEFAULT_SIZE	(128ull << 20)

/* Bytes of a number with a suffix; without one it is of units. 0 if it is none. */
static uint64_t parse_size(const char *text, size_t len, unsigned int unit_shift)
{
	static const char suffixes[] = "bkmgt";
	char copy[32], *end;
	const char *suffix;
	uint64_t number;

	if (!len || len >= sizeof(copy))
		return 0;
	memcpy(copy, text, len);
	copy[len] = '\0';
	errno = 0;
	number = strtoull(copy, &end, 0);
	if (errno || end == copy || *copy == '-')
		return 0;
	if (*end) {
		suffix = strchr(suffixes, *end | 0x20);
		if (!suffix || end[1])
			return 0;
		unit_shift = 10 * (suffix - suffixes);
	}
	return number > UINT64_MAX >> unit_shift ? 0 : number << unit_shift;
}

/* The value of key in "KEY=VALUE,...", and its length. NULL if it has none. */
static const char *find_value(const char *list, const char *key, size_t *len)
{
	size_t key_len = strlen(key);

	while (list) {
		if (!strncmp(list, key, key_len) && list[key_len] == '=') {
			*len = strcspn(list + key_len + 1, ",");
			return list + key_len + 1;
		}
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	return NULL;
}

static bool is_option(const char *argument, const char *name)
{
	return argument[0] == '-' && !strcmp(argument + 1 + (argument[1] == '-'), name);
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && !strncmp(text, word, len);
}

/* Properties that our file has for itself, or that say what kind it is. */
static bool is_ours(const char *property, size_t len)
{
	static const char * const names[] = {
		"id", "size", "hugetlb", "hugetlbsize", "seal", "share",
	};
	size_t key_len = strcspn(property, "=,"), i;

	if (key_len > len)
		key_len = len;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (is_word(property, key_len, names[i]))
			return true;
	}
	return false;
}

/* What else a backend has, copied. */
static char *other_properties(const char *properties)
{
	char *more = calloc(1, strlen(properties) + 2);
	size_t len;

	while (more && *properties) {
		len = strcspn(properties, ",");
		if (len && !is_ours(properties, len)) {
			strcat(more, ",");
			strncat(more, properties, len);
		}
		properties += len + (properties[len] == ',');
	}
	return more;
}

static struct ram *add_ram(struct guest *guest, const char *id, size_t len, int argument)
{
	struct ram *ram = &guest->rams[guest->ram_count];

	if (guest->ram_count == RAM_MAX || !len || len >= sizeof(ram->id))
		return NULL;
	*ram = (struct ram){ .argument = argument, .fd = -1 };
	memcpy(ram->id, id, len);
	guest->ram_count++;
	return ram;
}

static int parse_huge(struct ram *ram, const char *properties)
{
	size_t len;
	const char *value = find_value(properties, "hugetlb", &len);

	if (!value || strncmp(value, "on", len))
		return 0;
	value = find_value(properties, "hugetlbsize", &len);
	ram->huge = value ? parse_size(value, len, 0) : 2 << 20;
	return ram->huge && !(ram->huge & (ram->huge - 1)) ? 0 :
	       fail("-object of %s: bad hugetlbsize", ram->id);
}

/* argument: where "TYPE,PROPERTIES" stands. */
static int parse_backend(struct guest *guest, int argument)
{
	const char *text = guest->arguments[argument];
	const char *properties = strchr(text, ','), *id, *size;
	size_t id_len = 0, size_len = 0;
	struct ram *ram;

	properties = properties ? properties + 1 : "";
	id = find_value(properties, "id", &id_len);
	size = find_value(properties, "size", &size_len);
	ram = id && size ? add_ram(guest, id, id_len, argument) : NULL;
	if (!ram)
		return fail("-object %s: an id and a size are needed, of %d memories at most",
			    text, RAM_MAX);
	ram->size = parse_size(size, size_len, 0);
	if (!ram->size)
		return fail("-object %s: bad size", text);
	ram->more = other_properties(properties);
	if (!ram->more)
		return fail_errno(ENOMEM, "-object %s", text);
	return parse_huge(ram, properties);
}

static int parse_object(struct guest *guest, int argument)
{
	const char *text = argument < guest->argument_count ? guest->arguments[argument] : "";
	size_t type = strcspn(text, ",");

	if (strstr(text, "memory-backend") && *text == '{')
		return fail("-object %s: write it as TYPE,PROPERTY=VALUE,...", text);
	if (is_word(text, type, "memory-backend-ram") ||
	    is_word(text, type, "memory-backend-memfd"))
		return parse_backend(guest, argument);
	if (!strncmp(text, "memory-backend", strlen("memory-backend")))
		return fail("-object %s: only memory-backend-ram and -memfd can be kept", text);
	return 0;
}

/* Options that take the guest out of our hands. */
static int refuse(const char *argument)
{
	static const char * const names[] = {
		"daemonize", "incoming", "mem-path", "readconfig", "loadvm",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (is_option(argument, names[i]))
			return fail("%s: not with luo-qemu", argument);
	}
	return 0;
}

/* The size of -m, which may be "size=SIZE,...". */
static int parse_m(const char *text, uint64_t *size)
{
	size_t len;
	const char *value = find_value(text, "size", &len);

	if (!value) {
		value = text;
		len = strcspn(text, ",");
	}
	*size = parse_size(value, len, 20);
	return *size ? 0 : fail("-m %s: bad size", text);
}

static bool names_memory(const char *option, const char *value)
{
	return ((is_option(option, "machine") || is_option(option, "M")) &&
		strstr(value, "memory-backend=")) ||
	       (is_option(option, "numa") && strstr(value, "memdev="));
}

int arguments_parse(struct guest *guest)
{
	uint64_t size = DEFAULT_SIZE;
	bool named = false;
	int i, err = 0;

	for (i = 0; i < guest->argument_count && !err; i++) {
		const char *option = guest->arguments[i];
		const char *value = i + 1 < guest->argument_count ? guest->arguments[i + 1] : "";

		err = refuse(option);
		if (!err && is_option(option, "object"))
			err = parse_object(guest, i + 1);
		else if (!err && is_option(option, "m"))
			err = parse_m(value, &size);
		else if (names_memory(option, value))
			named = true;
	}
	if (err || named)
		return err;
	if (!add_ram(guest, DEFAULT_RAM, strlen(DEFAULT_RAM), -1))
		return fail("more than %d memories", RAM_MAX);
	guest->rams[guest->ram_count - 1].size = size;
	return 0;
}

/* What is written to them ends with QEMU. */
int arguments_check(const struct guest *guest)
{
	int i;

	for (i = 0; i < guest->argument_count; i++) {
		const char *text = guest->arguments[i];

		if (is_option(text, "snapshot"))
			return fail("%s: not with luo-qemu", text);
		if (i && is_option(guest->arguments[i - 1], "drive") && strstr(text, "snapshot=on"))
			return fail("-drive %s: no snapshot=on with luo-qemu", text);
	}
	return 0;
}

/* ---- making a command line ---- */

struct list {
	char **arguments;
	size_t count;
	bool failed;
};

static void add(struct list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct list *list, const char *format, ...)
{
	va_list values;
	char *text;
	int len;

	va_start(values, format);
	len = vasprintf(&text, format, values);
	va_end(values);
	if (len < 0)
		list->failed = true;
	else
		list->arguments[list->count++] = text;
}

static void add_backend(struct list *list, const struct ram *ram)
{
	add(list, "memory-backend-file,id=%s,size=%llu,mem-path=/proc/self/fd/%d,share=on%s",
	    ram->id, (unsigned long long)ram->size, ram->fd, ram->more ?: "");
}

static const struct ram *ram_of(const struct guest *guest, int argument)
{
	int i;

	for (i = 0; i < guest->ram_count; i++) {
		if (guest->rams[i].argument == argument)
			return &guest->rams[i];
	}
	return NULL;
}

#define OUR_ARGUMENTS	16

char **arguments_make(const struct guest *guest, bool incoming)
{
	struct list list = {
		.arguments = calloc(guest->argument_count + OUR_ARGUMENTS, sizeof(char *)),
	};
	const struct ram *ram;
	int i;

	if (!list.arguments)
		return NULL;
	/* Whoever ends all other processes of the machine is to spare both or none. */
	add(&list, "%s%s", *program_invocation_name == '@' ? "@" : "", guest->program);
	for (i = 0; i < guest->argument_count; i++) {
		ram = ram_of(guest, i);
		if (ram)
			add_backend(&list, ram);
		else
			add(&list, "%s", guest->arguments[i]);
	}
	ram = ram_of(guest, -1);
	if (ram) {
		add(&list, "-object");
		add_backend(&list, ram);
		add(&list, "-machine");
		add(&list, "memory-backend=%s", ram->id);
	}
	add(&list, "-chardev");
	add(&list, "socket,id=luo-qmp,path=%s/%s.qmp,server=on,wait=off",
	    guest->directory, guest->name);
	add(&list, "-mon");
	add(&list, "chardev=luo-qmp,mode=control");
	if (incoming) {
		/* The type that an alias as `q35' meant then. */
		add(&list, "-machine");
		add(&list, "type=%s", guest->shared->machine);
		add(&list, "-incoming");
		add(&list, "defer");
		add(&list, "-S");
	}
	if (list.failed) {
		arguments_free(list.arguments);
		return NULL;
	}
	return list.arguments;
}

void arguments_free(char **arguments)
{
	char **argument;

	for (argument = arguments; *argument; argument++)
		free(*argument);
	free(arguments);
}
