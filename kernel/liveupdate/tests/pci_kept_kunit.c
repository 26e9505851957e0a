// SPDX-License-Identifier: GPL-2.0-only
/* Which PCI devices are kept, and what is believed of those that came in. */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/prandom.h>
#include <linux/ratelimit_types.h>
#include <linux/slab.h>

#include "../../../drivers/pci/liveupdate.h"
#include "luo_test.h"

/* ---- records ---- */

#define BRIDGE	PCI_DEVID(0, PCI_DEVFN(2, 0))
#define DEVICE	PCI_DEVID(1, PCI_DEVFN(0, 0))
#define OTHER	PCI_DEVID(1, PCI_DEVFN(0, 1))

static const struct pci_kept_dev_ser bridge_rec = {
	.bdf = BRIDGE,
	.flags = PCI_KEPT_BRIDGE,
	.vendor = 0x1b36,
	.device = 0xc,
	.class_revision = 0x06040000,
	.secondary = 1,
	.subordinate = 3,
};

static struct pci_kept_dev_ser device_rec(u16 bdf)
{
	return (struct pci_kept_dev_ser) {
		.bdf = bdf,
		.vendor = 0x8086,
		.device = 0x2668,
		.class_revision = 0x04030001,
		.driver = "driver",
	};
}

/* Two devices behind a bridge. */
static struct pci_kept_ser *kept_new(struct kunit *test)
{
	struct pci_kept_ser *ser = kunit_kzalloc(test, PCI_KEPT_SIZE, GFP_KERNEL);
	struct pci_kept_dev_ser device = device_rec(DEVICE), other = device_rec(OTHER);

	KUNIT_ASSERT_NOT_NULL(test, ser);
	ser->magic = PCI_KEPT_MAGIC;
	pci_kept_add(ser, &device);
	pci_kept_add(ser, &bridge_rec);
	pci_kept_add(ser, &other);
	pci_kept_add(ser, &bridge_rec);
	return ser;
}

static struct pci_incoming *incoming_of(struct kunit *test, const struct pci_kept_ser *ser)
{
	struct pci_incoming *in = pci_incoming_read(ser);

	KUNIT_ASSERT_NOT_NULL(test, in);
	return in;
}

static void bridge_stays_as_long_as_a_device_behind_it(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);

	KUNIT_EXPECT_EQ(test, ser->count, 3);
	KUNIT_EXPECT_EQ(test, pci_kept_find(ser, 0, BRIDGE)->users, 2);

	pci_kept_remove(ser, 0, DEVICE);
	pci_kept_remove(ser, 0, BRIDGE);
	KUNIT_EXPECT_EQ(test, ser->count, 2);
	KUNIT_EXPECT_NULL(test, pci_kept_find(ser, 0, DEVICE));
	KUNIT_EXPECT_STREQ(test, pci_kept_find(ser, 0, OTHER)->driver, "driver");
	KUNIT_EXPECT_EQ(test, pci_kept_find(ser, 0, BRIDGE)->users, 1);

	pci_kept_remove(ser, 0, BRIDGE);
	pci_kept_remove(ser, 0, OTHER);
	KUNIT_EXPECT_EQ(test, ser->count, 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(ser->devs, 0, 3 * sizeof(ser->devs[0])), NULL);
}

static void segments_are_told_apart(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_kept_dev_ser device = device_rec(DEVICE);
	struct pci_incoming *in;

	device.segment = 1;
	pci_kept_add(ser, &device);
	KUNIT_EXPECT_EQ(test, ser->count, 4);

	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, in->damaged, 0);
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 1, DEVICE)->rec.segment, 1);
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 0, BRIDGE)->users, 2);
	KUNIT_EXPECT_NULL(test, pci_incoming_find(in, 2, DEVICE));
	kvfree(in);
}

static void what_was_kept_comes_in(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in = incoming_of(test, ser);

	KUNIT_EXPECT_TRUE(test, pci_kept_valid(ser));
	KUNIT_EXPECT_EQ(test, in->count, 3);
	KUNIT_EXPECT_EQ(test, in->damaged, 0);
	KUNIT_EXPECT_STREQ(test, pci_incoming_find(in, 0, OTHER)->rec.driver, "driver");
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 0, BRIDGE)->users, 2);
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 0, BRIDGE)->state, PCI_AWAITED);
	kvfree(in);
}

/* All devices were pulled out, or given up, and the session is handed on. */
static void nothing_kept_is_no_damage(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;

	ser->count = 0;
	KUNIT_EXPECT_TRUE(test, pci_kept_valid(ser));
	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, in->count, 0);
	KUNIT_EXPECT_NULL(test, pci_incoming_find(in, 0, DEVICE));
	kvfree(in);
}

static void memory_is_freed_after_a_reset_only(struct kunit *test)
{
	static const struct {
		enum pci_incoming_state state;
		int verdict;
	} verdicts[] = {
		{ PCI_AWAITED, -ENODEV },
		{ PCI_FOUND, -ENODEV },
		{ PCI_LOST, -ENODEV },
		{ PCI_STOPPED, -ENOTTY },
		{ PCI_TAKEN, -EBUSY },
		{ PCI_RELEASED, 0 },
	};
	struct pci_incoming_dev dev = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(verdicts); i++) {
		dev.state = verdicts[i].state;
		KUNIT_EXPECT_EQ(test, pci_incoming_verdict(&dev), verdicts[i].verdict);
	}
}

/* ---- damage ---- */

static void block_with_a_wrong_head_is_not_read(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);

	KUNIT_EXPECT_FALSE(test, pci_kept_valid(NULL));
	ser->magic++;
	KUNIT_EXPECT_FALSE(test, pci_kept_valid(ser));
	ser->magic--;
	ser->reserved = 1;
	KUNIT_EXPECT_FALSE(test, pci_kept_valid(ser));
	ser->reserved = 0;
	ser->count = PCI_KEPT_MAX;
	KUNIT_EXPECT_TRUE(test, pci_kept_valid(ser));
	ser->count = PCI_KEPT_MAX + 1;
	KUNIT_EXPECT_FALSE(test, pci_kept_valid(ser));
}

struct damage {
	const char *what;
	u16 bdf;
	size_t offset;
	u8 value;
	/* Whose records are gone. */
	bool device, bridge;
};

#define DAMAGE(_what, _bdf, _field, _byte, _value, ...) {			\
	.what = _what, .bdf = _bdf, .value = _value,				\
	.offset = offsetof(struct pci_kept_dev_ser, _field) + (_byte), __VA_ARGS__ }

static const struct damage damages[] = {
	DAMAGE("segment of a device", DEVICE, segment, 3, 0x80, .device = true),
	DAMAGE("flags of a device", DEVICE, flags, 0, 4, .device = true),
	DAMAGE("device that is a bridge", DEVICE, flags, 0, 1, .device = true),
	DAMAGE("secondary bus of a device", DEVICE, secondary, 0, 7, .device = true),
	DAMAGE("subordinate bus of a device", DEVICE, subordinate, 0, 7, .device = true),
	DAMAGE("reserved of a device", DEVICE, reserved, 1, 1, .device = true),
	DAMAGE("no users of a device", DEVICE, users, 0, 0, .device = true),
	DAMAGE("users of a device", DEVICE, users, 2, 1, .device = true),
	DAMAGE("no driver", DEVICE, driver, 0, 0, .device = true),
	DAMAGE("place of another device", DEVICE, bdf, 0, PCI_DEVFN(0, 1), .device = true),
	DAMAGE("bus that no bridge leads to", DEVICE, bdf, 1, 9, .device = true),
	DAMAGE("bridge that is a device", BRIDGE, flags, 0, 0, .bridge = true),
	DAMAGE("flags of a bridge", BRIDGE, flags, 1, 1, .bridge = true),
	DAMAGE("secondary bus of a bridge", BRIDGE, secondary, 0, 0, .bridge = true),
	DAMAGE("secondary bus above the last", BRIDGE, secondary, 0, 4, .bridge = true),
	DAMAGE("subordinate bus of a bridge", BRIDGE, subordinate, 0, 0, .bridge = true),
	DAMAGE("no users of a bridge", BRIDGE, users, 0, 0, .bridge = true),
	DAMAGE("driver of a bridge", BRIDGE, driver, 9, 1, .bridge = true),
};

KUNIT_ARRAY_PARAM_DESC(damage, damages, what);

static void damaged_record_is_not_believed(struct kunit *test)
{
	const struct damage *damage = test->param_value;
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;

	((u8 *)pci_kept_find(ser, 0, damage->bdf))[damage->offset] = damage->value;
	in = incoming_of(test, ser);
	KUNIT_EXPECT_GT(test, in->damaged, 0);
	KUNIT_EXPECT_EQ(test, !pci_incoming_find(in, 0, DEVICE), damage->device);
	KUNIT_EXPECT_EQ(test, !pci_incoming_find(in, 0, BRIDGE), damage->bridge);
	kvfree(in);
}

static void bridge_to_nothing_known_is_released(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;

	pci_kept_find(ser, 0, DEVICE)->reserved = 1;
	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 0, BRIDGE)->state, PCI_AWAITED);
	kvfree(in);

	pci_kept_find(ser, 0, OTHER)->reserved = 1;
	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, pci_incoming_find(in, 0, BRIDGE)->state, PCI_RELEASED);
	KUNIT_EXPECT_EQ(test, in->damaged, 3);
	kvfree(in);
}

static void driver_without_end_is_not_believed(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_kept_dev_ser *rec = pci_kept_find(ser, 0, DEVICE);
	struct pci_incoming *in;

	memset(rec->driver, 'x', sizeof(rec->driver));
	in = incoming_of(test, ser);
	KUNIT_EXPECT_NULL(test, pci_incoming_find(in, 0, DEVICE));
	kvfree(in);
}

static void device_that_is_not_there_is_not_believed(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;

	pci_kept_find(ser, 0, DEVICE)->vendor = 0xffff;
	in = incoming_of(test, ser);
	KUNIT_EXPECT_NULL(test, pci_incoming_find(in, 0, DEVICE));
	kvfree(in);
}

static void records_of_one_place_are_all_dropped(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;

	ser->devs[ser->count++] = *pci_kept_find(ser, 0, DEVICE);
	ser->devs[ser->count++] = *pci_kept_find(ser, 0, DEVICE);
	in = incoming_of(test, ser);
	KUNIT_EXPECT_NULL(test, pci_incoming_find(in, 0, DEVICE));
	KUNIT_EXPECT_NOT_NULL(test, pci_incoming_find(in, 0, OTHER));
	KUNIT_EXPECT_EQ(test, in->count, 2);
	kvfree(in);
}

#define SEEDS	1000

/* Anything may stand anywhere, but the block has to be read at all. */
static void damage_at_random(struct pci_kept_ser *ser, struct rnd_state *rnd)
{
	const size_t len = (ser->count + 1) * sizeof(ser->devs[0]);
	u32 i, n = 1 + prandom_u32_state(rnd) % 8;
	u8 *bytes = (u8 *)ser->devs;

	for (i = 0; i < n; i++)
		bytes[prandom_u32_state(rnd) % len] ^= 1 << prandom_u32_state(rnd) % 8;
	if (prandom_u32_state(rnd) % 4 == 0)
		ser->count = 1 + prandom_u32_state(rnd) % 8;
}

static bool is_sound(const struct pci_kept_dev_ser *rec)
{
	size_t len = strnlen(rec->driver, sizeof(rec->driver));

	if (rec->segment > INT_MAX || rec->reserved || rec->flags & ~PCI_KEPT_FLAGS ||
	    rec->vendor == 0xffff || !rec->users)
		return false;

	if (pci_kept_is_bridge(rec))
		return rec->secondary > PCI_BUS_NUM(rec->bdf) &&
		       rec->subordinate >= rec->secondary && !len;
	return !rec->secondary && !rec->subordinate && len && len < sizeof(rec->driver);
}

static void expect_sound(struct kunit *test, struct pci_incoming *in, u32 seed)
{
	struct pci_incoming_dev *dev;

	for (dev = in->devs; dev < in->devs + in->count; dev++) {
		KUNIT_EXPECT_TRUE_MSG(test, is_sound(&dev->rec), "seed %u", seed);
		KUNIT_EXPECT_PTR_EQ_MSG(test, dev, pci_incoming_find(in, dev->rec.segment,
								     dev->rec.bdf),
					"seed %u", seed);
	}
}

/* What is read makes sense, and that something is not is known. */
static void whatever_is_damaged_is_read(struct kunit *test)
{
	struct pci_kept_ser *whole = kept_new(test), *ser = kept_new(test);
	struct rnd_state rnd;
	u32 seed;

	for (seed = 0; seed < SEEDS; seed++) {
		struct pci_incoming *in;

		memcpy(ser, whole, PCI_KEPT_SIZE);
		prandom_seed_state(&rnd, seed);
		damage_at_random(ser, &rnd);
		in = incoming_of(test, ser);
		KUNIT_EXPECT_LE_MSG(test, in->count, ser->count, "seed %u", seed);
		KUNIT_EXPECT_TRUE_MSG(test, in->damaged || in->count == ser->count,
				      "seed %u", seed);
		expect_sound(test, in, seed);
		kvfree(in);
	}
}

static void damaged_records_do_not_flood_the_log(struct kunit *test)
{
	const char *text = "its record is damaged";
	unsigned int before = luo_test_kernel_lines(test, text), may;
	struct pci_kept_ser *ser = kept_new(test);
	unsigned long begin = jiffies;
	struct pci_incoming *in;

	ser->count = PCI_KEPT_MAX;
	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, in->damaged, PCI_KEPT_MAX - 3);
	may = 1 + (jiffies - begin) / DEFAULT_RATELIMIT_INTERVAL;
	KUNIT_EXPECT_LE(test, luo_test_kernel_lines(test, text) - before,
			may * DEFAULT_RATELIMIT_BURST);
	kvfree(in);
}

static void most_records_are_read(struct kunit *test)
{
	struct pci_kept_ser *ser = kept_new(test);
	struct pci_incoming *in;
	u32 i;

	for (i = 0; ser->count < PCI_KEPT_MAX; i++) {
		struct pci_kept_dev_ser device = device_rec(0x1000 - i);

		pci_kept_add(ser, &device);
	}
	in = incoming_of(test, ser);
	KUNIT_EXPECT_EQ(test, in->count, PCI_KEPT_MAX);
	KUNIT_EXPECT_EQ(test, in->damaged, 0);
	KUNIT_EXPECT_NOT_NULL(test, pci_incoming_find(in, 0, DEVICE));
	KUNIT_EXPECT_NOT_NULL(test, pci_incoming_find(in, 0, 0x1000));
	kvfree(in);
}

/* ---- refusals ---- */

static struct pci_dev *device_new(struct kunit *test)
{
	struct pci_dev *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->bus = kunit_kzalloc(test, sizeof(*dev->bus), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev->bus);
	device_initialize(&dev->dev);
	/* Nobody asks what is not there. */
	dev->error_state = pci_channel_io_perm_failure;
	/* As one that was found, which nobody lets rest. */
	pm_runtime_forbid(&dev->dev);
	pm_runtime_set_active(&dev->dev);
	pm_runtime_enable(&dev->dev);
	return dev;
}

static void ordinary_device_is_not_refused(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, pci_liveupdate_refuses(device_new(test)), 0);
}

static void make_bridge(struct pci_dev *dev)
{
	dev->hdr_type = PCI_HEADER_TYPE_BRIDGE;
}

static void make_virtual(struct pci_dev *dev)
{
	dev->is_virtfn = 1;
}

static void use_ats(struct pci_dev *dev)
{
	dev->ats_enabled = 1;
}

static void use_pasid(struct pci_dev *dev)
{
	dev->pasid_enabled = 1;
}

static void use_pri(struct pci_dev *dev)
{
	dev->pri_enabled = 1;
}

static void be_behind_iommu(struct pci_dev *dev)
{
	dev->dev.iommu_group = ERR_PTR(-EPERM);
}

static void have_acs_quirk(struct pci_dev *dev)
{
	dev->dev_flags = PCI_DEV_FLAGS_ACS_ENABLED_QUIRK;
}

static unsigned long aliases[BITS_TO_LONGS(U8_MAX)];

static void have_alias(struct pci_dev *dev)
{
	bitmap_zero(aliases, U8_MAX);
	__set_bit(PCI_DEVFN(0, 1), aliases);
	dev->dma_alias_mask = aliases;
}

struct refusal {
	const char *what;
	void (*make)(struct pci_dev *dev);
};

static const struct refusal refusals[] = {
	{ "bridge", make_bridge },
	{ "virtual function", make_virtual },
	{ "ATS", use_ats },
	{ "PASID", use_pasid },
	{ "PRI", use_pri },
	{ "IOMMU", be_behind_iommu },
	{ "ACS quirk", have_acs_quirk },
	{ "DMA alias", have_alias },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusals, what);

static void device_of_a_kind_is_refused(struct kunit *test)
{
	const struct refusal *refusal = test->param_value;
	struct pci_dev *dev = device_new(test);

	refusal->make(dev);
	KUNIT_EXPECT_EQ(test, pci_liveupdate_refuses(dev), -EOPNOTSUPP);
}

/* By a reset, say. */
static void device_that_is_locked_is_not_kept(struct kunit *test)
{
	struct pci_dev *dev = device_new(test);

	KUNIT_EXPECT_EQ(test, pci_liveupdate_preserve(dev), -ENODEV);
	device_lock(&dev->dev);
	KUNIT_EXPECT_EQ(test, pci_liveupdate_preserve(dev), -EBUSY);
	device_unlock(&dev->dev);
}

static void device_at_work_is_not_kept_again(struct kunit *test)
{
	struct pci_dev *dev = device_new(test);

	set_bit(PCI_DEV_CAME_IN, &dev->priv_flags);
	KUNIT_EXPECT_EQ(test, pci_liveupdate_preserve(dev), -EBUSY);
	clear_bit(PCI_DEV_CAME_IN, &dev->priv_flags);
	set_bit(PCI_DEV_KEPT, &dev->priv_flags);
	KUNIT_EXPECT_EQ(test, pci_liveupdate_preserve(dev), -EBUSY);
}

/* ---- a reset that comes with it ---- */

struct reset {
	struct pci_dev *dev;
	struct completion begins, ended;
	int err;
};

static int reset_device(void *data)
{
	struct reset *reset = data;

	complete(&reset->begins);
	reset->err = pci_reset_function(reset->dev);
	complete(&reset->ended);
	return 0;
}

static void reset_that_waited_finds_the_device_kept(struct kunit *test)
{
	struct reset reset = { .dev = device_new(test) };
	struct task_struct *task;
	unsigned int tries = 0;

	/* Something to try first. */
	reset.dev->reset_methods[0] = 1;
	init_completion(&reset.begins);
	init_completion(&reset.ended);

	device_lock(&reset.dev->dev);
	task = kthread_run(reset_device, &reset, "pci_kept_reset");
	if (!IS_ERR(task)) {
		wait_for_completion(&reset.begins);
		while (READ_ONCE(task->__state) != TASK_UNINTERRUPTIBLE && tries++ < 1000)
			fsleep(1000);
		set_bit(PCI_DEV_KEPT, &reset.dev->priv_flags);
	}
	device_unlock(&reset.dev->dev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));

	wait_for_completion(&reset.ended);
	KUNIT_EXPECT_EQ(test, reset.err, -EBUSY);
}

static struct kunit_case pci_kept_cases[] = {
	KUNIT_CASE(bridge_stays_as_long_as_a_device_behind_it),
	KUNIT_CASE(segments_are_told_apart),
	KUNIT_CASE(what_was_kept_comes_in),
	KUNIT_CASE(nothing_kept_is_no_damage),
	KUNIT_CASE(memory_is_freed_after_a_reset_only),
	KUNIT_CASE(block_with_a_wrong_head_is_not_read),
	KUNIT_CASE_PARAM(damaged_record_is_not_believed, damage_gen_params),
	KUNIT_CASE(bridge_to_nothing_known_is_released),
	KUNIT_CASE(driver_without_end_is_not_believed),
	KUNIT_CASE(device_that_is_not_there_is_not_believed),
	KUNIT_CASE(records_of_one_place_are_all_dropped),
	KUNIT_CASE(whatever_is_damaged_is_read),
	KUNIT_CASE(damaged_records_do_not_flood_the_log),
	KUNIT_CASE(most_records_are_read),
	KUNIT_CASE(ordinary_device_is_not_refused),
	KUNIT_CASE_PARAM(device_of_a_kind_is_refused, refusal_gen_params),
	KUNIT_CASE(device_that_is_locked_is_not_kept),
	KUNIT_CASE(device_at_work_is_not_kept_again),
	KUNIT_CASE(reset_that_waited_finds_the_device_kept),
	{}
};

static struct kunit_suite pci_kept_suite = {
	.name = "pci_kept",
	.test_cases = pci_kept_cases,
};
kunit_test_suite(pci_kept_suite);
