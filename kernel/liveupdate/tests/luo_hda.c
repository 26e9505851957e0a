// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stream of an HD audio controller that goes on over live updates.
 *
 * For QEMU's intel-hda with a hda-micro, without IOMMU: the driver has the device
 * record 16000 bytes per second of silence into a ring of 4 MiB, for ever, and
 * without interrupts. /dev/luo_hda-PLACE is the file to preserve. What the device
 * has not written since the file was frozen is there to be seen, as the ring is
 * filled with something else then; it is not told from what was written once more
 * when the stream is around after 262 s.
 *
 * read() gives struct luo_hda_state. A file that is open when its device goes is of
 * no use any more, and a live update with it fails.
 *
 * A place written to the parameter unplug takes that device out, as a controller of
 * its slot does.
 *
 * The driver luo_hda_other takes such devices, too, but for the other to be first.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/kexec_handover.h>
#include <linux/kref.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/slab.h>
#include <uapi/linux/liveupdate.h>

/* ---- the controller ---- */

#define HDA_GCTL		0x08
#define HDA_GCTL_RUNS		BIT(0)
#define HDA_COMMAND		0x60
#define HDA_STATUS		0x68
#define HDA_STATUS_BUSY		BIT(0)
#define HDA_POSITIONS		0x70
#define HDA_POSITIONS_ON	BIT(0)
/* Of the first stream, which is one that records. */
#define HDA_STREAM_CTL		0x80
#define HDA_STREAM_RUN		BIT(1)
#define HDA_STREAM_TAG(_tag)	((_tag) << 20)
#define HDA_STREAM_POSITION	0x84
#define HDA_STREAM_SIZE		0x88
#define HDA_STREAM_LAST		0x8c
#define HDA_STREAM_FORMAT	0x92
#define HDA_STREAM_LIST		0x98

#define HDA_TAG			1
/* 48 kHz / 6, 16 bits, one channel. */
#define HDA_FORMAT		0x0510

/* Verbs for the converter that records. */
#define HDA_VERB(_verb)		((4 << 20) | (_verb))
#define HDA_SET_FORMAT		HDA_VERB(0x20000 | HDA_FORMAT)
#define HDA_SET_TAG		HDA_VERB(0x70600 | HDA_TAG << 4)

#define RING_ORDER		10
#define RING_SIZE		(PAGE_SIZE << RING_ORDER)
#define NOT_WRITTEN		0xa5

#define LUO_HDA_MAGIC		0x3161646868756cULL

struct hda_fragment {
	__le64 address;
	__le32 size;
	__le32 flags;
};

/* What the device reads and writes besides the ring, and the next kernel reads. */
struct hda_page {
	struct hda_fragment list[2];
	u8 padding[96];
	/* Written by the device. */
	__le32 position;
	u32 reserved[31];
	u64 magic;
	u64 token;
	char session[LIVEUPDATE_SESSION_NAME_LENGTH];
	u64 ring;
	u32 segment;
	u32 bdf;
	/* Where the stream was when the file was frozen. */
	u32 frozen_at;
	u32 was_frozen;
};

static_assert(offsetof(struct hda_page, position) == 128);

struct luo_hda_state {
	/* As the device says, and as it has written into memory. */
	__u32 position;
	__u32 position_written;
	/* The longest piece that was not written since the file was frozen. */
	__u32 gap;
	/* How much was to be written since. */
	__u32 since_frozen;
};

/* Guards each of them, and their list. */
static DEFINE_MUTEX(hdas_lock);

struct hda {
	struct list_head node;
	/* The driver, and each open file. */
	struct kref users;
	/* NULL once the driver is gone. */
	struct pci_dev *pci;
	void __iomem *regs;
	/* NULL while the device came in, and once the driver is gone. */
	struct hda_page *page;
	u8 *ring;
	bool preserved;
	struct miscdevice misc;
	char name[32];
};

static LIST_HEAD(hdas);

static int hda_command(struct hda *hda, u32 verb)
{
	unsigned int tries;

	writel(verb, hda->regs + HDA_COMMAND);
	writew(HDA_STATUS_BUSY, hda->regs + HDA_STATUS);
	for (tries = 0; tries < 100; tries++) {
		if (!(readw(hda->regs + HDA_STATUS) & HDA_STATUS_BUSY))
			return 0;
		usleep_range(10, 100);
	}
	return -EIO;
}

static void hda_describe_ring(struct hda *hda)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hda->page->list); i++)
		hda->page->list[i] = (struct hda_fragment) {
			.address = cpu_to_le64(virt_to_phys(hda->ring) + i * RING_SIZE / 2),
			.size = cpu_to_le32(RING_SIZE / 2),
		};
}

static int hda_run(struct hda *hda)
{
	u64 page = virt_to_phys(hda->page);
	int err;

	writel(0, hda->regs + HDA_GCTL);
	writel(HDA_GCTL_RUNS, hda->regs + HDA_GCTL);
	err = hda_command(hda, HDA_SET_FORMAT) ?: hda_command(hda, HDA_SET_TAG);
	if (err)
		return err;

	lo_hi_writeq((page + offsetof(struct hda_page, position)) | HDA_POSITIONS_ON,
		     hda->regs + HDA_POSITIONS);
	lo_hi_writeq(page, hda->regs + HDA_STREAM_LIST);
	writel(RING_SIZE, hda->regs + HDA_STREAM_SIZE);
	writew(ARRAY_SIZE(hda->page->list) - 1, hda->regs + HDA_STREAM_LAST);
	writew(HDA_FORMAT, hda->regs + HDA_STREAM_FORMAT);
	pci_set_master(hda->pci);
	writel(HDA_STREAM_TAG(HDA_TAG) | HDA_STREAM_RUN, hda->regs + HDA_STREAM_CTL);
	return 0;
}

static void hda_free_memory(struct hda *hda)
{
	if (hda->ring)
		folio_put(virt_to_folio(hda->ring));
	if (hda->page)
		folio_put(virt_to_folio(hda->page));
	hda->ring = NULL;
	hda->page = NULL;
}

static void hda_stop(struct hda *hda)
{
	/*
	 * QEMU tells the codec of that tag. One that is not told waits for its stream,
	 * and all others that are fed by the same audiodev with it.
	 */
	writel(HDA_STREAM_TAG(HDA_TAG), hda->regs + HDA_STREAM_CTL);
	pci_clear_master(hda->pci);
	hda_free_memory(hda);
}

static int hda_start(struct hda *hda)
{
	struct folio *ring = folio_alloc(GFP_KERNEL | __GFP_ZERO, RING_ORDER);
	struct folio *page = folio_alloc(GFP_KERNEL | __GFP_ZERO, 0);
	int err = -ENOMEM;

	hda->ring = ring ? folio_address(ring) : NULL;
	hda->page = page ? folio_address(page) : NULL;
	if (ring && page) {
		hda_describe_ring(hda);
		err = hda_run(hda);
	}
	if (err)
		hda_free_memory(hda);
	return err;
}

/* ---- the file ---- */

/* In bytes, of the part that was to be written since the file was frozen. */
static u32 hda_longest_gap(const struct hda *hda, u32 length)
{
	u32 i, run = 0, gap = 0;

	for (i = 0; i < length; i++) {
		if (hda->ring[(hda->page->frozen_at + i) % RING_SIZE] == NOT_WRITTEN)
			gap = max(gap, ++run);
		else
			run = 0;
	}
	return gap;
}

static struct hda *hda_of(const struct file *file)
{
	return container_of(file->private_data, struct hda, misc);
}

static void hda_free(struct kref *users)
{
	kfree(container_of(users, struct hda, users));
}

static int hda_open(struct inode *inode, struct file *file)
{
	kref_get(&hda_of(file)->users);
	return 0;
}

static int hda_release(struct inode *inode, struct file *file)
{
	kref_put(&hda_of(file)->users, hda_free);
	return 0;
}

static int hda_check(const struct hda *hda)
{
	lockdep_assert_held(&hdas_lock);
	if (!hda->pci)
		return -ENODEV;
	return hda->page ? 0 : -EBUSY;
}

static ssize_t hda_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct hda *hda = hda_of(file);
	struct luo_hda_state state = {};
	int err;

	guard(mutex)(&hdas_lock);
	err = hda_check(hda);
	if (err)
		return err;

	state.position = readl(hda->regs + HDA_STREAM_POSITION);
	state.position_written = le32_to_cpu(READ_ONCE(hda->page->position));
	if (hda->page->was_frozen) {
		state.since_frozen = (state.position + RING_SIZE - hda->page->frozen_at) %
				     RING_SIZE;
		state.gap = hda_longest_gap(hda, state.since_frozen);
	}
	*pos = 0;
	return simple_read_from_buffer(buf, len, pos, &state, sizeof(state));
}

static const struct file_operations hda_fops = {
	.owner		= THIS_MODULE,
	.open		= hda_open,
	.release	= hda_release,
	.read		= hda_read,
};

/* ---- live update ---- */

static bool hda_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &hda_fops;
}

static int hda_preserve_memory(struct hda *hda)
{
	int err = kho_preserve_folio(virt_to_folio(hda->ring));

	if (err)
		return err;

	err = kho_preserve_folio(virt_to_folio(hda->page));
	if (err)
		kho_unpreserve_folio(virt_to_folio(hda->ring));
	return err;
}

static void hda_describe(struct hda *hda, const struct liveupdate_file_op_args *args)
{
	struct hda_page *page = hda->page;

	page->magic = LUO_HDA_MAGIC;
	page->token = args->token;
	strscpy(page->session, liveupdate_session_name(args->session));
	page->ring = virt_to_phys(hda->ring);
	page->segment = pci_domain_nr(hda->pci->bus);
	page->bdf = pci_dev_id(hda->pci);
}

static int hda_preserve(struct liveupdate_file_op_args *args)
{
	struct hda *hda = hda_of(args->file);
	int err;

	guard(mutex)(&hdas_lock);
	err = hda_check(hda) ?: pci_liveupdate_preserve(hda->pci);
	if (err)
		return err;

	err = hda_preserve_memory(hda);
	if (err) {
		pci_liveupdate_unpreserve(hda->pci);
		return err;
	}
	hda_describe(hda, args);
	hda->preserved = true;
	args->serialized_data = virt_to_phys(hda->page);
	args->preserved_bytes = RING_SIZE + PAGE_SIZE;
	return 0;
}

/* If that was not done before, when the device went. */
static void hda_let_go(struct hda *hda)
{
	lockdep_assert_held(&hdas_lock);
	if (!hda->preserved)
		return;

	hda->preserved = false;
	kho_unpreserve_folio(virt_to_folio(hda->page));
	kho_unpreserve_folio(virt_to_folio(hda->ring));
	pci_liveupdate_unpreserve(hda->pci);
}

static void hda_unpreserve(struct liveupdate_file_op_args *args)
{
	guard(mutex)(&hdas_lock);
	hda_let_go(hda_of(args->file));
}

/*
 * What the device writes meanwhile is not judged. One that was pulled out without a
 * word says that it is at ~0; the next kernel will miss it.
 */
static int hda_freeze(struct liveupdate_file_op_args *args)
{
	struct hda *hda = hda_of(args->file);
	u32 position;

	guard(mutex)(&hdas_lock);
	if (!hda->preserved)
		return -ENODEV;

	memset(hda->ring, NOT_WRITTEN, RING_SIZE);
	position = readl(hda->regs + HDA_STREAM_POSITION);
	hda->page->frozen_at = position < RING_SIZE ? position : 0;
	hda->page->was_frozen = 1;
	return 0;
}

static struct hda_page *hda_peek(const struct liveupdate_file_op_args *args)
{
	struct hda_page *page = kho_peek(args->serialized_data, PAGE_SIZE);

	if (!page || page->magic != LUO_HDA_MAGIC || page->token != args->token ||
	    page->bdf > U16_MAX || page->frozen_at >= RING_SIZE ||
	    strnlen(page->session, sizeof(page->session)) == sizeof(page->session) ||
	    !liveupdate_session_was(args->session, page->session))
		return NULL;
	return kho_peek(page->ring, RING_SIZE) ? page : NULL;
}

static struct hda *hda_find(const struct hda_page *page)
{
	struct hda *hda;

	list_for_each_entry(hda, &hdas, node) {
		if (pci_domain_nr(hda->pci->bus) == page->segment &&
		    pci_dev_id(hda->pci) == page->bdf)
			return hda;
	}
	return NULL;
}

/* Not EBADMSG: finish may still have something to free. */
static int hda_take_over(struct hda *hda, struct hda_page *page)
{
	if (pci_liveupdate_retrieve(hda->pci))
		return -ENODEV;

	kho_restore_folio(page->ring);
	kho_restore_folio(virt_to_phys(page));
	hda->ring = phys_to_virt(page->ring);
	hda->page = page;
	return 0;
}

static int hda_retrieve(struct liveupdate_file_op_args *args)
{
	struct hda_page *page = hda_peek(args);
	struct file *file;
	struct hda *hda;
	int err;

	if (!page)
		return -EBADMSG;

	guard(mutex)(&hdas_lock);
	hda = hda_find(page);
	if (!hda)
		return -ENODEV;

	file = anon_inode_getfile("[luo_hda]", &hda_fops, &hda->misc, O_RDWR);
	if (IS_ERR(file))
		return PTR_ERR(file);

	kref_get(&hda->users);
	err = hda_take_over(hda, page);
	if (err)
		fput(file);
	else
		args->file = file;
	return err;
}

/* Memory that the device may still write to is not given back. */
static void hda_finish(struct liveupdate_file_op_args *args)
{
	struct hda_page *page;

	if (args->retrieve_status == 1)
		return;

	page = hda_peek(args);
	if (!page || pci_liveupdate_finish(page->segment, page->bdf))
		return;

	pr_info("memory of %04x:%02x:%02x.%d is freed\n", page->segment,
		PCI_BUS_NUM(page->bdf), PCI_SLOT(page->bdf), PCI_FUNC(page->bdf));
	folio_put(kho_restore_folio(page->ring));
	folio_put(kho_restore_folio(virt_to_phys(page)));
}

static const struct liveupdate_file_ops hda_luo_ops = {
	.can_preserve	= hda_can_preserve,
	.preserve	= hda_preserve,
	.unpreserve	= hda_unpreserve,
	.freeze		= hda_freeze,
	.retrieve	= hda_retrieve,
	.finish		= hda_finish,
	.owner		= THIS_MODULE,
};

static struct liveupdate_file_handler hda_handler = {
	.ops		= &hda_luo_ops,
	.compatible	= "luo-test-hda-v1",
};

/* ---- drivers ---- */

static int hda_enable(struct hda *hda)
{
	int err = pci_enable_device(hda->pci);

	if (err)
		return err;

	hda->regs = pci_iomap(hda->pci, 0, 0);
	if (hda->regs && !pci_liveupdate_came_in(hda->pci))
		err = hda_start(hda);
	if (hda->regs && !err)
		return 0;

	if (hda->regs)
		pci_iounmap(hda->pci, hda->regs);
	pci_disable_device(hda->pci);
	return err ?: -ENOMEM;
}

/* One that came in and was not retrieved is left to its work. */
static void hda_disable(struct hda *hda)
{
	if (hda->page)
		hda_stop(hda);
	pci_iounmap(hda->pci, hda->regs);
	if (!pci_liveupdate_came_in(hda->pci))
		pci_disable_device(hda->pci);
}

static int hda_publish(struct hda *hda)
{
	int err;

	snprintf(hda->name, sizeof(hda->name), "luo_hda-%s", pci_name(hda->pci));
	hda->misc = (struct miscdevice) {
		.minor	= MISC_DYNAMIC_MINOR,
		.name	= hda->name,
		.fops	= &hda_fops,
	};
	err = misc_register(&hda->misc);
	if (err)
		return err;

	guard(mutex)(&hdas_lock);
	list_add_tail(&hda->node, &hdas);
	return 0;
}

static int hda_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct hda *hda = kzalloc(sizeof(*hda), GFP_KERNEL);
	int err;

	if (!hda)
		return -ENOMEM;

	kref_init(&hda->users);
	hda->pci = pci;
	err = hda_enable(hda);
	if (err) {
		kfree(hda);
		return err;
	}
	err = hda_publish(hda);
	if (err) {
		hda_disable(hda);
		kfree(hda);
		return err;
	}
	pci_set_drvdata(pci, hda);
	/* In QEMU it goes on with its work while it rests. */
	pm_runtime_put_noidle(&pci->dev);
	return 0;
}

/* A file that is preserved stays so, but there is nothing to hand over. */
static void hda_remove(struct pci_dev *pci)
{
	struct hda *hda = pci_get_drvdata(pci);

	pm_runtime_get_noresume(&pci->dev);
	misc_deregister(&hda->misc);
	scoped_guard(mutex, &hdas_lock) {
		list_del(&hda->node);
		hda_let_go(hda);
		hda_disable(hda);
		hda->pci = NULL;
	}
	kref_put(&hda->users, hda_free);
}

static const struct pci_device_id hda_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x2668) },
	{ }
};

static struct pci_driver hda_driver = {
	.name		= "luo_hda",
	.id_table	= hda_ids,
	.probe		= hda_probe,
	.remove		= hda_remove,
};

static int hda_other_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	return 0;
}

static struct pci_driver hda_other_driver = {
	.name		= "luo_hda_other",
	.id_table	= hda_ids,
	.probe		= hda_other_probe,
};

static int hda_unplug(const char *place, const struct kernel_param *param)
{
	unsigned int segment, bus, slot, function;
	struct pci_dev *pci;

	if (sscanf(place, "%x:%x:%x.%x", &segment, &bus, &slot, &function) != 4)
		return -EINVAL;

	pci = pci_get_domain_bus_and_slot(segment, bus, PCI_DEVFN(slot, function));
	if (!pci)
		return -ENODEV;

	pci_stop_and_remove_bus_device_locked(pci);
	pci_dev_put(pci);
	return 0;
}

static const struct kernel_param_ops hda_unplug_ops = {
	.set	= hda_unplug,
};

module_param_cb(unplug, &hda_unplug_ops, NULL, 0200);
MODULE_PARM_DESC(unplug, "Place of a device to take out, as 0000:01:00.0");

static int __init luo_hda_init(void)
{
	int err = liveupdate_register_file_handler(&hda_handler);

	if (err)
		return err;

	err = pci_liveupdate_register(&hda_handler) ?: pci_register_driver(&hda_driver);
	if (err)
		goto unregister_handler;

	err = pci_register_driver(&hda_other_driver);
	if (err)
		goto unregister_driver;
	return 0;

unregister_driver:
	pci_unregister_driver(&hda_driver);
unregister_handler:
	liveupdate_unregister_file_handler(&hda_handler);
	return err;
}
module_init(luo_hda_init);

static void __exit luo_hda_exit(void)
{
	liveupdate_unregister_file_handler(&hda_handler);
	pci_unregister_driver(&hda_other_driver);
	pci_unregister_driver(&hda_driver);
}
module_exit(luo_hda_exit);

MODULE_DESCRIPTION("A stream that goes on over live updates");
MODULE_LICENSE("GPL");
