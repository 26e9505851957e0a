// SPDX-License-Identifier: GPL-2.0
/* All that a vCPU is, out of one KVM VM and into another. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm.h"

struct vcpu_part {
	const char *name;
	unsigned long get;
	unsigned long set;
	size_t offset;
};

#define VCPU_PART(_what, _member) {				\
	.name = #_what,						\
	.get = KVM_GET_##_what,					\
	.set = KVM_SET_##_what,					\
	.offset = offsetof(struct vcpu_state, _member),		\
}

#define KVM_GET_BIG_XSAVE	KVM_GET_XSAVE2
#define KVM_SET_BIG_XSAVE	KVM_SET_XSAVE

/*
 * In the order they are restored. SREGS turn the local APIC on, REGS drop
 * pending exceptions, which EVENTS then bring back. Saved from the last to the
 * first: reading MP_STATE may still change what the others say.
 */
static const struct vcpu_part vcpu_parts[] = {
	VCPU_PART(SREGS, sregs),
	VCPU_PART(REGS, regs),
	VCPU_PART(XCRS, xcrs),
	VCPU_PART(BIG_XSAVE, xsave),
	VCPU_PART(DEBUGREGS, debugregs),
	VCPU_PART(LAPIC, lapic),
	VCPU_PART(VCPU_EVENTS, events),
	VCPU_PART(MP_STATE, mp_state),
};

/*
 * MSRs with state that no other part has. Ranges, last included. The deadline
 * of the timer comes after the local APIC is in its timer's mode.
 */
static const struct msr_range {
	uint32_t first;
	uint32_t last;
} msr_ranges[] = {
	{ 0x3b, 0x3b },			/* TSC_ADJUST */
	{ 0x48, 0x48 },			/* SPEC_CTRL */
	{ 0x174, 0x176 },		/* SYSENTER */
	{ 0x1a0, 0x1a0 },		/* MISC_ENABLE */
	{ 0x200, 0x20f },		/* variable MTRRs */
	{ 0x250, 0x250 },		/* fixed MTRRs */
	{ 0x258, 0x259 },
	{ 0x268, 0x26f },
	{ 0x277, 0x277 },		/* PAT */
	{ 0x2ff, 0x2ff },		/* MTRR default type */
	{ 0xda0, 0xda0 },		/* XSS */
	{ 0xc0000081, 0xc0000084 },	/* STAR, LSTAR, CSTAR, SFMASK */
	{ 0xc0000102, 0xc0000103 },	/* KERNEL_GS_BASE, TSC_AUX */
	{ 0x6e0, 0x6e0 },		/* TSC_DEADLINE */
};

#define MSR_TSC	0x10

static int msr_rank(uint32_t index)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(msr_ranges); i++) {
		if (index >= msr_ranges[i].first && index <= msr_ranges[i].last)
			return i;
	}
	return -1;
}

static int msr_compare(const void *a, const void *b)
{
	const struct kvm_msr_entry *x = a, *y = b;
	int rank = msr_rank(x->index) - msr_rank(y->index);

	return rank ? rank : x->index < y->index ? -1 : x->index > y->index;
}

uint64_t tsc_now(void)
{
	return __builtin_ia32_rdtsc();
}

uint32_t vcpu_tsc_khz(int vcpu)
{
	int khz = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);

	return khz > 0 ? khz : 0;
}

/* The MSRs of our list which this kernel can read and write. */
static int msrs_of_kernel(int kvm, struct vcpu_state *state)
{
	struct kvm_msr_list probe = { 0 }, *list;
	uint32_t i;
	int err = 0;

	if (ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &probe) == 0 || errno != E2BIG)
		return fail(-EIO, "KVM_GET_MSR_INDEX_LIST: no size");
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return fail(-ENOMEM, "list of MSRs");
	list->nmsrs = probe.nmsrs;
	if (ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list) < 0)
		err = fail(-errno, "KVM_GET_MSR_INDEX_LIST");

	state->msr_count = 0;
	for (i = 0; !err && i < list->nmsrs; i++) {
		if (msr_rank(list->indices[i]) < 0)
			continue;
		if (state->msr_count == VCPU_MSRS_MAX)
			err = fail(-E2BIG, "list of MSRs");
		else
			state->msrs[state->msr_count++].index = list->indices[i];
	}
	free(list);
	qsort(state->msrs, state->msr_count, sizeof(state->msrs[0]),
	      msr_compare);
	return err;
}

static int msr_access(int vcpu, unsigned long cmd, struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1, .entry = *entry };
	int done = ioctl(vcpu, cmd, &one);

	if (done < 0)
		return -errno;
	*entry = one.entry;
	return done == 1 ? 0 : -EINVAL;
}

/*
 * What the list offers may still be denied to this vCPU, because its CPUID
 * lacks the feature: then there is nothing to carry over.
 */
static int vcpu_save_msrs(int kvm, int vcpu, struct vcpu_state *state)
{
	uint32_t i, kept = 0;
	int err = msrs_of_kernel(kvm, state);

	if (err)
		return err;
	for (i = 0; i < state->msr_count; i++) {
		if (!msr_access(vcpu, KVM_GET_MSRS, &state->msrs[i]))
			state->msrs[kept++] = state->msrs[i];
	}
	state->msr_count = kept;
	return 0;
}

static int vcpu_restore_msrs(int vcpu, const struct vcpu_state *state)
{
	struct kvm_msr_entry entry;
	uint32_t i;
	int err;

	for (i = 0; i < state->msr_count; i++) {
		entry = state->msrs[i];
		err = msr_access(vcpu, KVM_SET_MSRS, &entry);
		if (err)
			return fail(err, "MSR 0x%x", entry.index);
	}
	return 0;
}

static struct kvm_device_attr tsc_attr(uint64_t *offset)
{
	return (struct kvm_device_attr) {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
}

static int vcpu_save_tsc(int vcpu, struct vcpu_state *state)
{
	struct kvm_device_attr attr = tsc_attr(&state->tsc_offset);
	struct kvm_msr_entry tsc = { .index = MSR_TSC };
	int err;

	if (ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attr) < 0)
		return fail(-errno, "KVM_VCPU_TSC_OFFSET");
	err = msr_access(vcpu, KVM_GET_MSRS, &tsc);
	if (err)
		return fail(err, "time-stamp counter");
	state->tsc_guest = tsc.data;
	state->tsc_host = tsc_now();
	state->tsc_khz = vcpu_tsc_khz(vcpu);
	return 0;
}

/*
 * The host's counter goes on through the jump, so the same offset lets the
 * guest see the time that has passed. A counter that went back was reset: the
 * guest's then goes on where it was.
 */
static int vcpu_restore_tsc(int vcpu, const struct vcpu_state *state)
{
	uint64_t now = tsc_now();
	uint64_t offset = now >= state->tsc_host ?
			  state->tsc_offset : state->tsc_guest - now;
	struct kvm_device_attr attr = tsc_attr(&offset);

	if (ioctl(vcpu, KVM_SET_DEVICE_ATTR, &attr) < 0)
		return fail(-errno, "KVM_VCPU_TSC_OFFSET");
	return 0;
}

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[VCPU_CPUID_MAX];
};

static int cpuid_load(int vcpu, const struct cpuid *cpuid)
{
	if (ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		return fail(-errno, "KVM_SET_CPUID2");
	return 0;
}

int vcpu_set_cpuid(int kvm, int vcpu)
{
	struct cpuid cpuid = { .head.nent = VCPU_CPUID_MAX };
	uint32_t i;

	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
		return fail(-errno, "KVM_GET_SUPPORTED_CPUID");
	for (i = 0; i < cpuid.head.nent; i++) {
		/* x2APIC and TSC deadline come with the in-kernel local APIC. */
		if (cpuid.entries[i].function == 1)
			cpuid.entries[i].ecx |= 1U << 21 | 1U << 24;
	}
	return cpuid_load(vcpu, &cpuid);
}

static int vcpu_save_cpuid(int vcpu, struct vcpu_state *state)
{
	struct cpuid cpuid = { .head.nent = VCPU_CPUID_MAX };

	if (ioctl(vcpu, KVM_GET_CPUID2, &cpuid) < 0)
		return fail(-errno, "KVM_GET_CPUID2");
	state->cpuid_count = cpuid.head.nent;
	memcpy(state->cpuid, cpuid.entries, sizeof(cpuid.entries));
	return 0;
}

static int vcpu_restore_cpuid(int vcpu, const struct vcpu_state *state)
{
	struct cpuid cpuid = { .head.nent = state->cpuid_count };

	memcpy(cpuid.entries, state->cpuid, sizeof(cpuid.entries));
	return cpuid_load(vcpu, &cpuid);
}

int vcpu_save(int kvm, int vcpu, struct vcpu_state *state)
{
	const struct vcpu_part *part;
	int err;

	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2) > VCPU_XSAVE_MAX)
		return fail(-E2BIG, "vector registers");

	for (part = vcpu_parts + ARRAY_SIZE(vcpu_parts); part-- > vcpu_parts;) {
		if (ioctl(vcpu, part->get, (char *)state + part->offset) < 0)
			return fail(-errno, "KVM_GET_%s", part->name);
	}
	err = vcpu_save_msrs(kvm, vcpu, state);
	if (!err)
		err = vcpu_save_tsc(vcpu, state);
	if (!err)
		err = vcpu_save_cpuid(vcpu, state);
	return err;
}

int vcpu_restore(int vcpu, const struct vcpu_state *state)
{
	const struct vcpu_part *part;
	int err;

	if (state->msr_count > VCPU_MSRS_MAX ||
	    state->cpuid_count > VCPU_CPUID_MAX)
		return fail(-EBADMSG, "vCPU state");

	err = vcpu_restore_cpuid(vcpu, state);
	if (!err)
		err = vcpu_restore_tsc(vcpu, state);
	if (err)
		return err;
	for (part = vcpu_parts; part < vcpu_parts + ARRAY_SIZE(vcpu_parts); part++) {
		if (ioctl(vcpu, part->set, (char *)state + part->offset) < 0)
			return fail(-errno, "KVM_SET_%s", part->name);
	}
	return vcpu_restore_msrs(vcpu, state);
}
