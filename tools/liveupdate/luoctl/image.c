// SPDX-License-Identifier: GPL-2.0
/*
 * What a kernel can take over, read from its image.
 *
 * Our kernels say so in strings that begin with MARKER. A kernel without any
 * has the names of its formats somewhere, because it compares with them.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "unpack.h"

#define MARKER		"liveupdate-reads: "

static uint32_t le32(const struct bytes *image, size_t at)
{
	const uint8_t *p = image->data + at;

	if (at + 4 > image->len)
		return 0;
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- names ---- */

bool formats_has(const struct formats *formats, const char *name)
{
	int i;

	for (i = 0; i < formats->count; i++) {
		if (!strcmp(formats->names[i], name))
			return true;
	}
	return false;
}

bool formats_add(struct formats *formats, const char *name, int len)
{
	char copy[IMAGE_FORMAT_LENGTH];

	if (len <= 0 || len >= IMAGE_FORMAT_LENGTH)
		return false;
	memcpy(copy, name, len);
	copy[len] = 0;
	if (formats_has(formats, copy))
		return true;
	if (formats->count == IMAGE_FORMATS)
		return false;
	memcpy(formats->names[formats->count++], copy, sizeof(copy));
	return true;
}

/* Words up to the NUL that ends the string. */
static void add_words(struct formats *formats, const char *text, const char *end)
{
	while (text < end && *text) {
		const char *word = text;

		while (text < end && *text && *text != ' ')
			text++;
		formats_add(formats, word, text - word);
		while (text < end && *text == ' ')
			text++;
	}
}

static void find_markers(const struct bytes *kernel, struct formats *formats)
{
	const char *at = (const char *)kernel->data, *end = at + kernel->len;

	while ((at = memmem(at, end - at, MARKER, strlen(MARKER)))) {
		at += strlen(MARKER);
		add_words(formats, at, end);
	}
}

/* A whole string of the form PREFIX-vNUMBER. */
static void find_versions(const struct bytes *kernel, const char *prefix,
			  struct formats *formats)
{
	const char *start = (const char *)kernel->data, *at = start;
	const char *end = at + kernel->len, *digits;

	while ((at = memmem(at, end - at, prefix, strlen(prefix)))) {
		digits = at + strlen(prefix);
		while (digits < end && isdigit((unsigned char)*digits))
			digits++;
		if (digits < end && !*digits && digits > at + strlen(prefix) &&
		    (at == start || !isgraph((unsigned char)at[-1])))
			formats_add(formats, at, digits - at);
		at += strlen(prefix);
	}
}

static void find_formats(const struct bytes *kernel, struct formats *formats)
{
	find_markers(kernel, formats);
	if (formats->count)
		return;
	find_versions(kernel, "kho-v", formats);
	find_versions(kernel, "luo-v", formats);
	find_versions(kernel, "memfd-v", formats);
}

/* ---- images ---- */

#define BOOT_SETUP_SECTS	0x1f1
#define BOOT_HEADER		0x202
#define BOOT_VERSION		0x206
#define BOOT_PAYLOAD_OFFSET	0x248
#define BOOT_PAYLOAD_LENGTH	0x24c
#define BOOT_INIT_SIZE		0x260

#define ARM64_IMAGE_SIZE	0x10

static bool part_of(const struct bytes *image, size_t at, size_t len,
		    struct bytes *part)
{
	if (!len || at > image->len || len > image->len - at)
		return false;
	*part = (struct bytes){ image->data + at, len };
	return true;
}

/* The packed kernel of a bzImage, see Documentation/arch/x86/boot.rst. */
static const char *bzimage_payload(struct bytes *image)
{
	unsigned int sects = image->data[BOOT_SETUP_SECTS] ?: 4;
	uint32_t offset = le32(image, BOOT_PAYLOAD_OFFSET);
	uint32_t len = le32(image, BOOT_PAYLOAD_LENGTH);
	const struct packing *packing;

	if ((le32(image, BOOT_VERSION) & 0xffff) < 0x208)
		return "bzImage of a boot protocol before 2.08";
	if (!part_of(image, (sects + 1) * 512ul + offset, len, image))
		return "bzImage cut off";
	packing = packing_of(image);
	if (!packing)
		return "bzImage packed in an unknown way";
	if (packing_has_size_behind(packing) && image->len > 4)
		image->len -= 4;
	return unpack(packing, image);
}

static const char *zboot_payload(struct bytes *image)
{
	const struct packing *packing;

	if (!part_of(image, le32(image, 8), le32(image, 12), image))
		return "EFI image cut off";
	packing = packing_of(image);
	return packing ? unpack(packing, image) : "EFI image packed in an unknown way";
}

static const char *find_kernel(struct bytes *image)
{
	const struct packing *packing;

	if (bytes_have(image, BOOT_HEADER, "HdrS", 4) && image->len > 0x250)
		return bzimage_payload(image);
	if (bytes_have(image, 0, "MZ\0\0zimg", 8))
		return zboot_payload(image);
	packing = packing_of(image);
	return packing ? unpack(packing, image) : NULL;
}

/* Each kernel has its version in a string that begins like this, and a digit. */
#define BANNER	"Linux version "

static bool has_banner(const struct bytes *kernel)
{
	const char *at = (const char *)kernel->data, *end = at + kernel->len;

	while ((at = memmem(at, end - at, BANNER, strlen(BANNER)))) {
		at += strlen(BANNER);
		if (at < end && isdigit((unsigned char)*at))
			return true;
	}
	return false;
}

static bool is_kernel(const struct bytes *image)
{
	return (bytes_have(image, 0, "\177ELF", 4) || bytes_have(image, 0x38, "ARM\x64", 4)) &&
	       has_banner(image);
}

/* Asked of an image as it is loaded: a bzImage unpacks itself. */
static uint64_t memory_of(const struct bytes *loaded, const struct bytes *kernel)
{
	uint64_t told = 0;

	if (bytes_have(loaded, BOOT_HEADER, "HdrS", 4))
		told = le32(loaded, BOOT_INIT_SIZE);
	else if (bytes_have(kernel, 0x38, "ARM\x64", 4))
		told = le32(kernel, ARM64_IMAGE_SIZE);
	return told > kernel->len ? told : kernel->len;
}

const char *image_read(const char *path, struct image *image)
{
	struct bytes loaded, kernel;
	const char *error;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return strerror(errno);
	error = map_file(fd, &loaded);
	close(fd);
	if (error)
		return error;
	kernel = loaded;
	error = find_kernel(&kernel);
	if (error)
		return error;
	if (!is_kernel(&kernel))
		return "not a kernel image";
	image->formats.count = 0;
	find_formats(&kernel, &image->formats);
	image->memory = memory_of(&loaded, &kernel);
	return NULL;
}
