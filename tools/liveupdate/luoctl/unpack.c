// SPDX-License-Identifier: GPL-2.0
/*
 * Unpacking kernels: by the library of their packing if luoctl was built with
 * it, else by its program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_LZ4
#include <lz4.h>
#endif
#ifdef HAVE_LZMA
#include <lzma.h>
#endif
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "cli.h"
#include "unpack.h"

/* What was unpacked so far, in memory that grows. */
struct kernel {
	uint8_t *data;
	size_t len, space;
};

#define SPACE	(16u << 20)

bool bytes_have(const struct bytes *bytes, size_t at, const char *text, size_t len)
{
	return at + len <= bytes->len && !memcmp(bytes->data + at, text, len);
}

/* Room for more at the end, or NULL. */
static inline uint8_t *make_room(struct kernel *kernel, size_t len)
{
	size_t space = kernel->space;
	uint8_t *data;

	while (space - kernel->len < len)
		space += space ?: SPACE;
	if (space > KERNEL_MAX)
		return NULL;
	if (space != kernel->space) {
		data = realloc(kernel->data, space);
		if (!data)
			return NULL;
		kernel->data = data;
		kernel->space = space;
	}
	return kernel->data + kernel->len;
}

/*
 * Each returns whether all of the packed bytes were read to the end that their
 * format has.
 */

#ifdef HAVE_ZLIB
static bool unpack_gzip(const struct bytes *packed, struct kernel *kernel)
{
	z_stream stream = { .next_in = (Bytef *)packed->data, .avail_in = packed->len };
	int status = inflateInit2(&stream, MAX_WBITS + 16);

	while (status == Z_OK) {
		stream.next_out = make_room(kernel, SPACE / 2);
		if (!stream.next_out)
			break;
		stream.avail_out = SPACE / 2;
		status = inflate(&stream, Z_NO_FLUSH);
		kernel->len += SPACE / 2 - stream.avail_out;
	}
	inflateEnd(&stream);
	return status == Z_STREAM_END;
}
#else
#define unpack_gzip	NULL
#endif

#ifdef HAVE_LZMA
static bool run_lzma(lzma_stream *stream, const struct bytes *packed,
		     struct kernel *kernel)
{
	lzma_ret status = LZMA_OK;

	stream->next_in = packed->data;
	stream->avail_in = packed->len;
	while (status == LZMA_OK) {
		stream->next_out = make_room(kernel, SPACE / 2);
		if (!stream->next_out)
			break;
		stream->avail_out = SPACE / 2;
		status = lzma_code(stream, LZMA_FINISH);
		kernel->len += SPACE / 2 - stream->avail_out;
	}
	lzma_end(stream);
	return status == LZMA_STREAM_END;
}

static bool unpack_xz(const struct bytes *packed, struct kernel *kernel)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	return lzma_stream_decoder(&stream, UINT64_MAX, 0) == LZMA_OK &&
	       run_lzma(&stream, packed, kernel);
}

static bool unpack_lzma(const struct bytes *packed, struct kernel *kernel)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	return lzma_alone_decoder(&stream, UINT64_MAX) == LZMA_OK &&
	       run_lzma(&stream, packed, kernel);
}
#else
#define unpack_xz	NULL
#define unpack_lzma	NULL
#endif

#ifdef HAVE_ZSTD
static bool unpack_zstd(const struct bytes *packed, struct kernel *kernel)
{
	ZSTD_inBuffer in = { .src = packed->data, .size = packed->len };
	ZSTD_DStream *stream = ZSTD_createDStream();
	size_t left = 1;

	/* Kernels are packed with a window that is larger than the default's. */
	if (stream)
		ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 30);
	while (stream && left && !ZSTD_isError(left)) {
		ZSTD_outBuffer out = { .dst = make_room(kernel, SPACE / 2), .size = SPACE / 2 };

		if (!out.dst)
			break;
		left = ZSTD_decompressStream(stream, &out, &in);
		kernel->len += out.pos;
		if (in.pos == in.size && out.pos < out.size)
			break;
	}
	ZSTD_freeDStream(stream);
	return !left;
}
#else
#define unpack_zstd	NULL
#endif

#ifdef HAVE_LZ4
/* The old format, which has blocks of this size and no end. */
#define LZ4_BLOCK	(8u << 20)

static uint32_t lz4_length(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool unpack_lz4(const struct bytes *packed, struct kernel *kernel)
{
	const uint8_t *at = packed->data + 4, *end = packed->data + packed->len;
	uint8_t *to;
	uint32_t len;
	int got;

	while (end - at >= 4) {
		len = lz4_length(at);
		at += 4;
		to = make_room(kernel, LZ4_BLOCK);
		if (!to || len > end - at)
			return false;
		got = LZ4_decompress_safe((const char *)at, (char *)to, len, LZ4_BLOCK);
		if (got < 0)
			return false;
		kernel->len += got;
		at += len;
	}
	return at == end && kernel->len;
}
#else
#define unpack_lz4	NULL
#endif

static const struct packing {
	const char *name;
	const char *magic;
	size_t magic_len;
	bool size_behind;
	const char *command[4];
	bool (*unpack)(const struct bytes *packed, struct kernel *kernel);
} packings[] = {
	{ "gzip", "\x1f\x8b", 2, false, { "gzip", "-dc" }, unpack_gzip },
	{ "xz", "\xfd\x37zXZ", 6, true, { "xz", "-dc" }, unpack_xz },
	{ "lzma", "\x5d\x00\x00", 3, true, { "xz", "--format=lzma", "-dc" }, unpack_lzma },
	{ "bzip2", "BZh", 3, true, { "bzip2", "-dc" }, NULL },
	{ "lzo", "\x89LZO", 4, true, { "lzop", "-dc" }, NULL },
	{ "lz4", "\x02\x21\x4c\x18", 4, true, { "lz4", "-dc" }, unpack_lz4 },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, true, { "zstd", "-dc" }, unpack_zstd },
};

const struct packing *packing_of(const struct bytes *bytes)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(packings); i++) {
		if (bytes_have(bytes, 0, packings[i].magic, packings[i].magic_len))
			return &packings[i];
	}
	return NULL;
}

bool packing_has_size_behind(const struct packing *packing)
{
	return packing->size_behind;
}

const char *map_file(int fd, struct bytes *bytes)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > KERNEL_MAX)
		return "not a kernel image";
	map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return strerror(errno);
	*bytes = (struct bytes){ map, st.st_size };
	return NULL;
}

static void unpack_child(const struct packing *packing, int in, int out)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(1);
	execvp(packing->command[0], (char *const *)packing->command);
	_exit(127);
}

/* The program of this packing from one file to another; its exit code. */
static int unpack_file(const struct packing *packing, int in, int out)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		unpack_child(packing, in, out);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int file_of(const struct bytes *bytes)
{
	int fd = memfd_create("packed", MFD_CLOEXEC);
	size_t done = 0;
	ssize_t len;

	while (fd >= 0 && done < bytes->len) {
		len = write(fd, bytes->data + done, bytes->len - done);
		if (len <= 0) {
			close(fd);
			return -1;
		}
		done += len;
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static const char *why_not(const struct packing *packing, bool no_program)
{
	static char text[96];

	snprintf(text, sizeof(text), no_program ?
		 "packed with %s: install the program %s" :
		 "packed with %s: damaged",
		 packing->name, packing->command[0]);
	return text;
}

static const char *unpack_by_program(const struct packing *packing, struct bytes *bytes)
{
	int in = file_of(bytes), out = memfd_create("kernel", MFD_CLOEXEC);
	const char *error = "out of memory";
	int status;

	if (in >= 0 && out >= 0) {
		status = unpack_file(packing, in, out);
		error = status ? why_not(packing, status == 127) :
				 map_file(out, bytes);
	}
	close(in);
	close(out);
	return error;
}

const char *unpack(const struct packing *packing, struct bytes *bytes)
{
	struct kernel kernel = {};

	if (!packing->unpack)
		return unpack_by_program(packing, bytes);
	if (!packing->unpack(bytes, &kernel)) {
		free(kernel.data);
		return why_not(packing, false);
	}
	*bytes = (struct bytes){ kernel.data, kernel.len };
	return NULL;
}
