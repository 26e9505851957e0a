// SPDX-License-Identifier: GPL-2.0
/*
 * A PCI device that goes on with its work over live updates. Needs luo_hda.ko beside
 * the other modules, and QEMU's intel-hda on each of the buses 1 to 13, behind a root
 * port of its own at 00:04.0 and after; 3 of them where names begin with pci-.
 */

#include "kexec_pci.h"

#define MODULE		"luo_hda.ko"
#define DEVICES		BUS "devices/"
#define DRIVERS		BUS "drivers/"
#define BUS		"/sys/bus/pci/"

/* Of 16000 bytes per second: what 15 ms hold. */
#define GAP_MAX		240

#define NOBODYS		"0000:01:00.0"
#define OTHERS		"0000:02:00.0"
#define KEPT		"0000:03:00.0"
#define UNCLAIMED	"0000:04:00.0"
#define TWICE		"0000:05:00.0"
#define PULLED		"0000:06:00.0"
#define GONE		"0000:07:00.0"
#define MOVED		"0000:08:00.0"
#define STUBBORN	"0000:0b:00.0"
#define LEFT		"0000:0d:00.0"

/* As in luo_hda.c. */
struct luo_hda_state {
	__u32 position;
	__u32 position_written;
	__u32 gap;
	__u32 since_frozen;
};

const char *pci_attribute(const char *device, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), DEVICES "%s/%s", device, name);
	return path;
}

static __u32 read_config(const char *device, const char *name, int offset)
{
	__u32 value;
	int fd = open(pci_attribute(device, name), O_RDONLY | O_CLOEXEC);

	CHECK_FD(fd);
	CHECK_EQ(4, pread(fd, &value, 4, offset));
	close(fd);
	return value;
}

static int open_config(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		printf("    # %s: %s\n", path, strerror(errno));
	return fd;
}

int pci_bus_of(const char *device)
{
	return strtol(device + 5, NULL, 16);
}

const char *pci_port_attribute(const char *device, const char *name)
{
	static char port[32];

	snprintf(port, sizeof(port), "0000:00:%02x.0", pci_bus_of(device) + 3);
	return pci_attribute(port, name);
}

bool pci_is_bus_master(const char *device)
{
	return read_config(device, "config", PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static void set_command(const char *device, __u16 bits)
{
	int fd = open_config(pci_attribute(device, "config"));
	__u16 command;

	CHECK_FD(fd);
	CHECK_EQ(2, pread(fd, &command, 2, PCI_COMMAND));
	command |= bits;
	CHECK_EQ(2, pwrite(fd, &command, 2, PCI_COMMAND));
	close(fd);
}

bool pci_is_running(const char *device)
{
	int fd = open(pci_attribute(device, "resource0"), O_RDONLY | O_CLOEXEC);
	__u32 *registers;
	__u32 control;

	CHECK_FD(fd);
	registers = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(registers != MAP_FAILED);
	control = registers[2];
	munmap(registers, 4096);
	close(fd);
	return control & 1;
}

/* As the kernel says, or luo_hda.ko. */
static bool is_said(const char *before, const char *device, const char *after)
{
	char text[128];

	snprintf(text, sizeof(text), "%s%s%s", before, device, after);
	return is_logged(text);
}

bool pci_was_freed(const char *device)
{
	return is_said("memory of ", device, " is freed");
}

static bool was_reset(const char *device)
{
	return is_said("", device, ": live update: was reset");
}

static void check_at_work(const char *device)
{
	CHECK(pci_is_bus_master(device));
	CHECK(read_config(device, "../config", PCI_COMMAND) & PCI_COMMAND_MASTER);
	CHECK_EQ(pci_bus_of(device),
		 read_config(device, "../config", PCI_PRIMARY_BUS) >> 8 & 0xff);
}

static bool is_driver(const char *device, const char *driver)
{
	char link[256] = "";
	const char *name;

	if (readlink(pci_attribute(device, "driver"), link, sizeof(link) - 1) < 0)
		return !driver;
	name = strrchr(link, '/');
	return driver && name && !strcmp(name + 1, driver);
}

int pci_bind(const char *driver, const char *what, const char *device)
{
	char path[256];

	snprintf(path, sizeof(path), DRIVERS "%s/%s", driver, what);
	return luo_write(path, device);
}

void pci_load_drivers(void)
{
	CHECK_OK(luo_write(BUS "drivers_autoprobe", "0"));
	CHECK_OK(load_module_named(MODULE));
}

static void take(const char *device)
{
	pci_load_drivers();
	if (is_driver(device, NULL))
		CHECK_OK(pci_bind("luo_hda", "bind", device));
}

int pci_open_stream(const char *device)
{
	char path[64];
	int fd;

	take(device);
	snprintf(path, sizeof(path), "/dev/luo_hda-%s", device);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct luo_hda_state look_at(int stream)
{
	struct luo_hda_state state;

	CHECK_FD(stream);
	CHECK_EQ(sizeof(state), read(stream, &state, sizeof(state)));
	return state;
}

void pci_check_stream(int stream)
{
	struct luo_hda_state before = look_at(stream), after = before;
	int tries;

	for (tries = 0; tries < 100 && after.position_written == before.position_written;
	     tries++) {
		usleep(100000);
		after = look_at(stream);
	}
	CHECK(after.position_written != before.position_written);
}

static void check_no_gap(int stream)
{
	struct luo_hda_state state = look_at(stream);

	printf("    # %u bytes after the freeze, the longest gap is %u\n", state.since_frozen,
	       state.gap);
	CHECK_AT_LEAST(1, state.since_frozen);
	CHECK_AT_LEAST(state.gap, GAP_MAX);
}

/* Where the kernel has runtime PM: what a device is that may rest. */
static void check_power(const char *device, const char *wanted)
{
	char status[16] = "";

	if (access(pci_attribute(device, "power/control"), F_OK))
		return;
	CHECK_OK(luo_write(pci_attribute(device, "power/control"), "auto"));
	sleep(1);
	CHECK_OK(luo_read_line(pci_attribute(device, "power/runtime_status"), status,
			       sizeof(status)));
	CHECK_OK(strcmp(status, wanted));
}

void pci_keep(const struct scenario *s, const char *device)
{
	int session = outgoing(s), stream = pci_open_stream(device);

	CHECK_FD(session);
	pci_check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	check_at_work(device);
}

/* ---- nobody keeps it ---- */

static void use_stream(const struct scenario *s)
{
	pci_check_stream(pci_open_stream(NOBODYS));
	CHECK(pci_is_bus_master(NOBODYS));
}

/* No module is there yet. */
static void check_stopped(const struct scenario *s)
{
	CHECK(is_driver(NOBODYS, NULL));
	CHECK(!pci_is_bus_master(NOBODYS));
	CHECK(!(read_config(NOBODYS, "../config", PCI_COMMAND) & PCI_COMMAND_MASTER));
}

/* ---- its driver has left it ---- */

static void leave_device(const struct scenario *s)
{
	int stream = pci_open_stream(LEFT);

	pci_check_stream(stream);
	close(stream);
	CHECK_OK(pci_bind("luo_hda", "unbind", LEFT));
	CHECK(!pci_is_bus_master(LEFT));
	set_command(LEFT, PCI_COMMAND_MASTER);
	CHECK(pci_is_bus_master(LEFT));
}

/* By the kernel before. */
static void check_left(const struct scenario *s)
{
	CHECK(!pci_is_bus_master(LEFT));
	CHECK(!is_said("", LEFT, ": live update: "));
}

/* ---- another driver comes ---- */

static void keep_from_others(const struct scenario *s)
{
	pci_keep(s, OTHERS);
	/* Without MSI this is how a driver has it silent. */
	set_command(OTHERS, PCI_COMMAND_INTX_DISABLE);
}

static void check_other_driver(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	/* What has no driver rests at once. */
	check_power(OTHERS, "active");
	check_at_work(OTHERS);
	CHECK_OK(luo_write(pci_attribute(OTHERS, "enable"), "1"));
	CHECK(read_config(OTHERS, "config", PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
	CHECK_OK(luo_write(pci_attribute(OTHERS, "enable"), "0"));
	check_at_work(OTHERS);
	CHECK_OK(luo_write(pci_attribute(OTHERS, "driver_override"), "luo_hda_other"));
	pci_load_drivers();
	CHECK_EQ(-EBUSY, pci_bind("luo_hda_other", "bind", OTHERS));
	CHECK(is_driver(OTHERS, NULL));
	check_at_work(OTHERS);

	CHECK_OK(luo_write(pci_attribute(OTHERS, "driver_override"), "\n"));
	CHECK_OK(pci_bind("luo_hda", "bind", OTHERS));
	check_no_gap(luo_retrieve_fd(session, 1));
	CHECK_OK(luo_finish(session));
}

/* ---- it goes on ---- */

static void keep_stream(const struct scenario *s)
{
	int session = outgoing(s), stream = pci_open_stream(KEPT);

	/* It can be taken out again, and put in. */
	CHECK_FD(session);
	pci_check_stream(stream);
	check_power(KEPT, "suspended");
	CHECK_OK(luo_preserve(session, stream, 1));
	check_power(KEPT, "active");
	CHECK_EQ(-EBUSY, luo_write(pci_attribute(KEPT, "remove"), "1"));
	CHECK_EQ(-EBUSY, luo_write(pci_attribute(KEPT, "../remove"), "1"));
	CHECK_OK(luo_unpreserve(session, 1));
	check_power(KEPT, "suspended");
	pci_check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	check_at_work(KEPT);
}

static void take_stream_over(const struct scenario *s)
{
	int session = incoming(s), stream;

	CHECK_FD(session);
	check_at_work(KEPT);
	CHECK_EQ(-EBUSY, luo_write(pci_attribute(KEPT, "remove"), "1"));
	take(KEPT);
	CHECK(is_driver(KEPT, "luo_hda"));
	check_at_work(KEPT);

	stream = luo_retrieve_fd(session, 1);
	pci_check_stream(stream);
	check_no_gap(stream);
	CHECK_OK(luo_finish(session));
	check_at_work(KEPT);
	pci_check_stream(stream);
	/* A device like any other. */
	close(stream);
	CHECK_OK(luo_write(pci_attribute(KEPT, "remove"), "1"));
}

/* ---- nobody takes it over ---- */

static void keep_for_nobody(const struct scenario *s)
{
	pci_keep(s, UNCLAIMED);
}

static void check_finish(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	take(UNCLAIMED);
	check_at_work(UNCLAIMED);
	CHECK(pci_is_running(UNCLAIMED));
	CHECK_OK(luo_finish(session));
	CHECK(!pci_is_bus_master(UNCLAIMED));
	CHECK(!pci_is_running(UNCLAIMED));
	CHECK(pci_was_freed(UNCLAIMED));
	CHECK_OK(pci_bind("luo_hda", "unbind", UNCLAIMED));
	CHECK_OK(pci_bind("luo_hda_other", "bind", UNCLAIMED));
}

/* ---- nobody takes it over, and it can't be reset ---- */

static void keep_what_stays(const struct scenario *s)
{
	pci_keep(s, STUBBORN);
}

/* Its memory is nobody's any more, as whoever has it next may have it go on. */
static void check_stubborn(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	take(STUBBORN);
	CHECK_OK(luo_write(pci_attribute(STUBBORN, "reset_method"), "\n"));
	CHECK_OK(luo_finish(session));
	CHECK(!pci_is_bus_master(STUBBORN));
	CHECK(pci_is_running(STUBBORN));
	CHECK(is_said("", STUBBORN, ": stopped, but not reset: "));
	CHECK(!pci_was_freed(STUBBORN));
	CHECK_OK(pci_bind("luo_hda", "unbind", STUBBORN));
	pci_check_stream(pci_open_stream(STUBBORN));
	CHECK_OK(luo_write(pci_port_attribute(STUBBORN, "remove"), "1"));
}

/* ---- it is handed over once more ---- */

static void keep_for_two(const struct scenario *s)
{
	pci_keep(s, TWICE);
}

static void check_waiting(const struct scenario *s)
{
	check_at_work(TWICE);
}

static void check_after_two(const struct scenario *s)
{
	int session = incoming(s), stream;

	CHECK_FD(session);
	check_at_work(TWICE);
	take(TWICE);
	stream = luo_retrieve_fd(session, 1);
	pci_check_stream(stream);
	check_no_gap(stream);
	CHECK_OK(luo_finish(session));
}

/* ---- it goes away ---- */

static int unplug(const char *device)
{
	return luo_write("/sys/module/luo_hda/parameters/unplug", device);
}

static void check_useless(int stream)
{
	struct luo_hda_state state;

	CHECK_EQ(-1, read(stream, &state, sizeof(state)));
	CHECK_EQ(ENODEV, errno);
}

/* Files that are open stay, and are good for nothing. */
static void lose_device(const struct scenario *s)
{
	int session = outgoing(s), stream = pci_open_stream(PULLED);

	CHECK_FD(session);
	pci_check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	CHECK_OK(pci_bind("luo_hda", "unbind", PULLED));
	CHECK(!pci_is_bus_master(PULLED));
	check_useless(stream);
	CHECK_EQ(-ENODEV, jump());
	CHECK_OK(luo_unpreserve(session, 1));
	CHECK_EQ(-ENODEV, luo_preserve(session, stream, 1));
	close(stream);
	/* None but this one stands still, which would take half a second to begin. */
	sleep(2);
	pci_check_stream(pci_open_stream(NOBODYS));

	stream = pci_open_stream(PULLED);
	CHECK_OK(luo_preserve(session, stream, 2));
	CHECK_OK(unplug(PULLED));
	check_useless(stream);
	CHECK_EQ(-ENODEV, jump());
	CHECK_OK(luo_unpreserve(session, 2));

	CHECK_OK(luo_write(BUS "rescan", "1"));
	stream = pci_open_stream(PULLED);
	pci_check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 3));
	check_at_work(PULLED);
}

static void lose_what_came_in(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	check_at_work(PULLED);
	take(PULLED);
	CHECK_OK(unplug(PULLED));
	CHECK(is_logged(PULLED ": live update: removed: bus master is off"));
	CHECK_EQ(-ENODEV, luo_retrieve_fd(session, 3));
	CHECK_OK(luo_finish(session));
	CHECK(!pci_was_freed(PULLED));
	CHECK(!was_reset(PULLED));

	/* One like any other, once it was reset. */
	CHECK_OK(luo_write(BUS "rescan", "1"));
	pci_check_stream(pci_open_stream(PULLED));
	CHECK(was_reset(PULLED));
	CHECK_OK(luo_write(pci_port_attribute(PULLED, "remove"), "1"));
}

/* ---- it is not what it was ---- */

/* The slot goes off, and with it what is in there. */
static void eject(void)
{
	const __u16 off = PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF;
	int fd = open_config(pci_port_attribute(GONE, "config"));
	__u8 at = 0, id = 0;

	pread(fd, &at, 1, PCI_CAPABILITY_LIST);
	while (at && pread(fd, &id, 1, at) == 1 && id != PCI_CAP_ID_EXP)
		pread(fd, &at, 1, at + 1);
	if (!at || pwrite(fd, &off, 2, at + PCI_EXP_SLTCTL) != 2)
		printf("    # nothing is ejected\n");
	close(fd);
}

static void keep_what_goes(const struct scenario *s)
{
	pci_keep(s, GONE);
}

static void check_gone(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK(access(pci_attribute(GONE, "config"), F_OK));
	pci_load_drivers();
	CHECK_EQ(-ENODEV, luo_retrieve_fd(session, 1));
	CHECK_OK(luo_finish(session));
	CHECK(is_logged(GONE ": was kept, and is not there"));
	CHECK(is_logged(GONE ": was not found: "));
	CHECK(!pci_was_freed(GONE));
	CHECK_OK(luo_write(pci_port_attribute(GONE, "remove"), "1"));
}

void pci_check_used_anew(const struct scenario *s, const char *device, const char *why)
{
	int session = incoming(s);
	char text[128];

	CHECK_FD(session);
	CHECK(!pci_is_bus_master(device));
	snprintf(text, sizeof(text), ": live update: %s: bus master is off", why);
	CHECK(is_said("", device, text));
	pci_check_stream(pci_open_stream(device));
	CHECK(was_reset(device));
	CHECK_EQ(-ENODEV, luo_retrieve_fd(session, 1));
	CHECK_OK(luo_finish(session));
}

void pci_check_given_up(const struct scenario *s, const char *device, const char *why)
{
	pci_check_used_anew(s, device, why);
	CHECK_OK(luo_write(pci_port_attribute(device, "remove"), "1"));
}

static void keep_what_moves(const struct scenario *s)
{
	pci_keep(s, MOVED);
}

/* To where the windows of the bridges above do not lead. */
static void move(void)
{
	const __u32 nowhere = 0xc0000000;
	int fd = open_config(pci_attribute(MOVED, "config"));

	if (pwrite(fd, &nowhere, 4, PCI_BASE_ADDRESS_0) != 4)
		printf("    # nothing is moved\n");
	close(fd);
}

static void check_moved(const struct scenario *s)
{
	pci_check_given_up(s, MOVED, "a BAR has to move");
	CHECK(pci_was_freed(MOVED));
}

/* ---- the next kernel has live update off ---- */

void pci_keep_for_the_third(const struct scenario *s)
{
	pci_keep(s, KEPT);
}

static void check_stopped_on_the_way(const struct scenario *s)
{
	pci_check_given_up(s, KEPT, "stopped on the way");
}

#define SCENARIO(_name, ...)							\
	{ .name = _name, .needs_module = true, .alone = true, .stage = { __VA_ARGS__ } }
#define CHANGED(_name, _jump, ...)						\
	{ .name = _name, .needs_module = true, .alone = true, .jump = _jump,	\
	  .stage = { __VA_ARGS__ } }

/* Machines of their own have those that begin with another word than "pci:". */
const struct scenario pci_scenarios[] = {
	SCENARIO("pci: nobody keeps it", use_stream, check_stopped),
	SCENARIO("pci: its driver has left it", leave_device, check_left),
	SCENARIO("pci: it goes away", lose_device, lose_what_came_in),
	SCENARIO("pci: another driver comes", keep_from_others, check_other_driver),
	SCENARIO("pci: it goes on", keep_stream, take_stream_over),
	SCENARIO("pci: nobody takes it over", keep_for_nobody, check_finish),
	SCENARIO("pci: nobody takes it over, and it can't be reset", keep_what_stays,
		 check_stubborn),
	SCENARIO("pci: it is handed over once more", keep_for_two, check_waiting,
		 check_after_two),
	CHANGED("pci: it is gone after the jump", eject, keep_what_goes, check_gone),
	CHANGED("pci: a BAR has to move", move, keep_what_moves, check_moved),
	SCENARIO("pci-off: the next kernel has live update off", pci_keep_for_the_third,
		 NULL, check_stopped_on_the_way),
	{ }
};
