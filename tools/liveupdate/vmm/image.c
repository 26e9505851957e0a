// SPDX-License-Identifier: GPL-2.0
/* The state memfd: all of a guest that is not its RAM. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm.h"

#define DIGEST_LANES	4
#define DIGEST_PRIME	0x9fb21c651e98df25ULL

/*
 * Each step is a bijection of the lane for a given word and of the word for a
 * given lane: a change of a single word always changes the result. Not against
 * an adversary.
 */
uint64_t digest(const void *data, size_t bytes)
{
	uint64_t lane[DIGEST_LANES] = { 1, 2, 3, 4 };
	const uint64_t *word = data;
	size_t words = bytes / sizeof(*word), i;
	unsigned int n;

	for (i = 0; i + DIGEST_LANES <= words; i += DIGEST_LANES) {
		for (n = 0; n < DIGEST_LANES; n++) {
			lane[n] = (lane[n] ^ word[i + n]) * DIGEST_PRIME;
			lane[n] = lane[n] << 29 | lane[n] >> 35;
		}
	}
	for (; i < words; i++)
		lane[0] = (lane[0] ^ word[i]) * DIGEST_PRIME;
	for (n = 1; n < DIGEST_LANES; n++) {
		lane[0] = (lane[0] ^ lane[n]) * DIGEST_PRIME;
		lane[0] ^= lane[0] >> 32;
	}
	return lane[0];
}

int image_create(struct image **image)
{
	int fd = memfd_create("guest-state", MFD_CLOEXEC);
	int err;

	if (fd < 0)
		return fail(-errno, "memfd_create");
	if (ftruncate(fd, sizeof(**image)) < 0)
		err = fail(-errno, "state memfd");
	else
		err = image_map(fd, image);
	if (err) {
		close(fd);
		return err;
	}
	memset(*image, 0, sizeof(**image));
	return fd;
}

int image_map(int fd, struct image **image)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(-errno, "state memfd");
	if (st.st_size < (off_t)sizeof(**image))
		return fail(-EBADMSG, "state memfd of %lld bytes",
			    (long long)st.st_size);
	*image = mmap(NULL, sizeof(**image), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (*image == MAP_FAILED) {
		*image = NULL;
		return fail(-errno, "mapping of the state memfd");
	}
	return 0;
}

void image_unmap(struct image *image)
{
	if (image)
		munmap(image, sizeof(*image));
}

static uint64_t image_sum(const struct image *image)
{
	return digest(&image->ram_bytes,
		      sizeof(*image) - offsetof(struct image, ram_bytes));
}

void image_seal(struct image *image)
{
	image->magic = IMAGE_MAGIC;
	image->version = IMAGE_VERSION;
	image->size = sizeof(*image);
	image->sum = image_sum(image);
}

void image_spoil(struct image *image)
{
	image->magic = 0;
}

int image_verify(const struct image *image)
{
	if (image->magic != IMAGE_MAGIC)
		return fail_text(-ESTALE, "no state to resume, or resumed before");
	if (image->version != IMAGE_VERSION || image->size != sizeof(*image))
		return fail_text(-ENOTSUP, "state of version %u, %u bytes",
				 image->version, image->size);
	if (image->sum != image_sum(image))
		return fail_text(-EBADMSG, "checksum of the state");
	return 0;
}

int image_save_vcpu(struct image *image, struct vm *vm)
{
	image->serial = vm->serial;
	return vcpu_save(vm->kvm, vm->vcpu, &image->vcpu);
}

void image_save_meta(struct image *image, struct vm *vm, bool with_digest)
{
	vm_get_report(vm, &image->report, NULL);
	image->ram_bytes = vm->ram_bytes;
	image->has_digest = with_digest;
	image->ram_digest = with_digest ? digest(vm->ram, vm->ram_bytes) : 0;
}

int image_restore(const struct image *image, struct vm *vm)
{
	vm->serial = image->serial;
	vm->report = image->report;
	return vcpu_restore(vm->vcpu, &image->vcpu);
}
