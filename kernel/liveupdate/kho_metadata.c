// SPDX-License-Identifier: GPL-2.0-only
/* Which kernel started this one, and how many were started in a row. */

#define pr_fmt(fmt) "KHO: " fmt

#include <linux/err.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/limits.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include <linux/kho/abi/kexec_metadata.h>

#include "kho_incoming.h"
#include "kho_metadata.h"

static_assert(sizeof_field(struct kho_kexec_metadata, release) == __NEW_UTS_LEN + 1);

/* Zeroes behind a version are in many pages, and the page is to be freed. */
static bool kho_release_is_sane(const char *release)
{
	size_t len = strnlen(release, __NEW_UTS_LEN + 1);

	return len <= __NEW_UTS_LEN && kho_name_is_sane(release, len);
}

/* What the previous kernel left, or somebody else. */
bool kho_metadata_is_sane(const struct kho_kexec_metadata *metadata, size_t size)
{
	return size >= sizeof(*metadata) &&
	       metadata->version == KHO_KEXEC_METADATA_VERSION &&
	       kho_release_is_sane(metadata->release);
}

/* What the next kernel is told if this one is the @count-th after the first. */
void kho_metadata_fill(struct kho_kexec_metadata *next, u32 count)
{
	next->version = KHO_KEXEC_METADATA_VERSION;
	strscpy_pad(next->release, init_uts_ns.name.release);
	next->count = count == U32_MAX ? count : count + 1;
}

/* How many kexecs led to this kernel, as far as it is known. */
static u32 __init kho_count_kexecs(void)
{
	const struct kho_kexec_metadata *metadata;
	phys_addr_t phys;
	u32 count;
	size_t size;

	if (kho_retrieve_subtree(KHO_KEXEC_METADATA, &phys, &size))
		return 0;

	/* Of a blob that makes no sense the memory may be somebody else's. */
	metadata = kho_peek(phys, sizeof(*metadata));
	if (!metadata || !kho_metadata_is_sane(metadata, size)) {
		pr_warn("blob '%s' is damaged, kexecs are counted anew\n",
			KHO_KEXEC_METADATA);
		return 0;
	}

	count = metadata->count;
	pr_info("started by Linux %*pE, kexec %u since the machine was started\n",
		(int)strlen(metadata->release), metadata->release, count);
	kho_restore_free(phys_to_virt(phys));

	return count;
}

static int __init kho_metadata_init(void)
{
	struct kho_kexec_metadata *next;
	int err;

	if (!kho_is_enabled())
		return 0;

	next = kho_alloc_preserve(sizeof(*next));
	if (IS_ERR(next))
		return PTR_ERR(next);

	kho_metadata_fill(next, kho_count_kexecs());
	err = kho_add_subtree(KHO_KEXEC_METADATA, next, sizeof(*next));
	if (err)
		kho_unpreserve_free(next);

	return err;
}
/* After debugfs has copied what came in. */
arch_initcall(kho_metadata_init);
