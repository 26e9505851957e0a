// SPDX-License-Identifier: GPL-2.0
/*
 * A PCI device that goes on with its work over live updates. Needs luo_hda.ko beside
 * the other modules, and five of QEMU's intel-hda, each behind a root port of its
 * own; those on buses 1 to 5 are what the scenarios are about.
 */

#include "kexec_scenarios.h"

#define MODULE		"luo_hda.ko"
#define DEVICES		"/sys/bus/pci/devices/"
#define DRIVERS		"/sys/bus/pci/drivers/"
#define COMMAND		4
#define BUS_MASTER	4
#define BUSES		0x18

/* Of 16000 bytes per second: what 15 ms hold. */
#define GAP_MAX		240

#define NOBODYS		"0000:01:00.0"
#define OTHERS		"0000:02:00.0"
#define KEPT		"0000:03:00.0"
#define UNCLAIMED	"0000:04:00.0"
#define TWICE		"0000:05:00.0"

/* As in luo_hda.c. */
struct luo_hda_state {
	__u32 position;
	__u32 position_written;
	__u32 gap;
	__u32 since_frozen;
};

static const char *attribute(const char *device, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), DEVICES "%s/%s", device, name);
	return path;
}

static __u32 read_config(const char *device, const char *name, int offset)
{
	__u32 value;
	int fd = open(attribute(device, name), O_RDONLY | O_CLOEXEC);

	CHECK_FD(fd);
	CHECK_EQ(4, pread(fd, &value, 4, offset));
	close(fd);
	return value;
}

static bool is_bus_master(const char *device)
{
	return read_config(device, "config", COMMAND) & BUS_MASTER;
}

static void check_at_work(const char *device)
{
	CHECK(is_bus_master(device));
	/* The root port above it. */
	CHECK(read_config(device, "../config", COMMAND) & BUS_MASTER);
	CHECK_EQ(atoi(device + 5), read_config(device, "../config", BUSES) >> 8 & 0xff);
}

static bool is_driver(const char *device, const char *driver)
{
	char link[256] = "";
	const char *name;

	if (readlink(attribute(device, "driver"), link, sizeof(link) - 1) < 0)
		return !driver;
	name = strrchr(link, '/');
	return driver && name && !strcmp(name + 1, driver);
}

static int bind(const char *driver, const char *what, const char *device)
{
	char path[256];

	snprintf(path, sizeof(path), DRIVERS "%s/%s", driver, what);
	return luo_write(path, device);
}

static int open_stream(const char *device)
{
	char path[64];
	int fd;

	CHECK_OK(load_module_named(MODULE));
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

/* What it writes arrives, and goes on doing so. */
static void check_stream(int stream)
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

static void keep(const struct scenario *s, const char *device)
{
	int session = outgoing(s), stream = open_stream(device);

	CHECK_FD(session);
	check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	check_at_work(device);
}

/* ---- nobody keeps it ---- */

static void use_stream(const struct scenario *s)
{
	check_stream(open_stream(NOBODYS));
	CHECK(is_bus_master(NOBODYS));
}

/* No module is there yet. */
static void check_stopped(const struct scenario *s)
{
	CHECK(is_driver(NOBODYS, NULL));
	CHECK(!is_bus_master(NOBODYS));
	CHECK(!(read_config(NOBODYS, "../config", COMMAND) & BUS_MASTER));
}

/* ---- another driver comes ---- */

static void keep_from_others(const struct scenario *s)
{
	keep(s, OTHERS);
}

static void check_other_driver(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	check_at_work(OTHERS);
	CHECK_OK(luo_write(attribute(OTHERS, "driver_override"), "luo_hda_other"));
	CHECK_OK(load_module_named(MODULE));
	CHECK(is_driver(OTHERS, NULL));
	CHECK_EQ(-EBUSY, bind("luo_hda_other", "bind", OTHERS));
	CHECK(is_driver(OTHERS, NULL));
	check_at_work(OTHERS);

	CHECK_OK(luo_write(attribute(OTHERS, "driver_override"), "\n"));
	CHECK_OK(bind("luo_hda", "bind", OTHERS));
	check_no_gap(luo_retrieve_fd(session, 1));
	CHECK_OK(luo_finish(session));
}

/* ---- it goes on ---- */

static void keep_stream(const struct scenario *s)
{
	int session = outgoing(s), stream = open_stream(KEPT);

	/* It can be taken out again, and put in. */
	CHECK_FD(session);
	check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	CHECK_EQ(-EBUSY, luo_write(attribute(KEPT, "remove"), "1"));
	CHECK_EQ(-EBUSY, luo_write(attribute(KEPT, "../remove"), "1"));
	CHECK_OK(luo_unpreserve(session, 1));
	check_stream(stream);
	CHECK_OK(luo_preserve(session, stream, 1));
	check_at_work(KEPT);
}

static void take_stream_over(const struct scenario *s)
{
	int session = incoming(s), stream;

	CHECK_FD(session);
	check_at_work(KEPT);
	CHECK_EQ(-EBUSY, luo_write(attribute(KEPT, "remove"), "1"));
	CHECK_OK(load_module_named(MODULE));
	CHECK(is_driver(KEPT, "luo_hda"));
	check_at_work(KEPT);

	stream = luo_retrieve_fd(session, 1);
	check_stream(stream);
	check_no_gap(stream);
	CHECK_OK(luo_finish(session));
	check_at_work(KEPT);
	check_stream(stream);
	/* A device like any other. */
	close(stream);
	CHECK_OK(luo_write(attribute(KEPT, "remove"), "1"));
}

/* ---- nobody takes it over ---- */

static void keep_for_nobody(const struct scenario *s)
{
	keep(s, UNCLAIMED);
}

static void check_finish(const struct scenario *s)
{
	int session = incoming(s);

	CHECK_FD(session);
	CHECK_OK(load_module_named(MODULE));
	check_at_work(UNCLAIMED);
	CHECK_OK(luo_finish(session));
	CHECK(!is_bus_master(UNCLAIMED));
	CHECK_OK(bind("luo_hda", "unbind", UNCLAIMED));
	CHECK_OK(bind("luo_hda_other", "bind", UNCLAIMED));
}

/* ---- it is handed over once more ---- */

static void keep_for_two(const struct scenario *s)
{
	keep(s, TWICE);
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
	CHECK_OK(load_module_named(MODULE));
	stream = luo_retrieve_fd(session, 1);
	check_stream(stream);
	check_no_gap(stream);
	CHECK_OK(luo_finish(session));
}

#define SCENARIO(_name, ...)							\
	{ .name = "pci: " _name, .needs_module = true, .alone = true,		\
	  .stage = { __VA_ARGS__ } }

/* The first two of the second kernel need it without modules. */
const struct scenario pci_scenarios[] = {
	SCENARIO("nobody keeps it", use_stream, check_stopped),
	SCENARIO("another driver comes", keep_from_others, check_other_driver),
	SCENARIO("it goes on", keep_stream, take_stream_over),
	SCENARIO("nobody takes it over", keep_for_nobody, check_finish),
	SCENARIO("it is handed over once more", keep_for_two, check_waiting, check_after_two),
	{ }
};
