#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A machine takes files through an update, and is healthy after it. What is to be
# kept, and how often, is said on the kernel's command line:
#
#	files=N size=MIB start=MIB ballast=MIB huge=MIB node=N
#					see luo_host --help
#	updates=N			how many in a row (default: 1)
#	next=WORD			for the command line of the next kernels
#	want=FUNCTION,...		of this file: what has to hold in each kernel,
#					while it keeps something
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2154 # the kernel sets the words
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# ---- what has to hold ----

has_5_levels() { [ "$stage" != 1 ] || grep -qw la57 /proc/cpuinfo; }
has_4_levels_next() { [ "$stage" = 1 ] || ! grep -qw la57 /proc/cpuinfo; }
# In MiB, as luo_host keep says; the last kernel keeps nothing.
spans_4_gib() { [ "$stage" -gt "${updates:-1}" ] || { [ "$low" -lt 4096 ] && [ "$high" -ge 4096 ]; }; }
says_nothing_of_scratch() { ! dmesg | grep 'KHO: .*scratch memory' >&2; }
# What luoctl may load next is bounded by what the kernel has room for.
refuses_too_much() {
	truncate -s "$(cat /sys/kernel/liveupdate/image_room)" /tmp/too-much || return
	if luoctl load /boot/bzImage -- --initrd=/tmp/too-much 2>/tmp/said; then return 1; fi
	cat /tmp/said >&2
	grep -q 'with its initrd, there are' /tmp/said && rm /tmp/too-much
}
has_empty_node() { [ "$(cat $nodes/has_cpu $nodes/has_memory | xargs)" = "0-1 0" ]; }
# Nodes of 512 MiB.
spans_nodes() {
	[ "$(cat $nodes/has_memory)" = 0-1 ] || return
	[ "$stage" -gt "${updates:-1}" ] || { [ "$low" -lt 512 ] && [ "$high" -ge 512 ]; }
}
# hugepages= is a number or one for each node, in ascending order.
has_asked_for_pages() {
	local asked now
	asked=$(sed 's/.*hugepages=\([0-9:,]*\).*/\1/' /proc/cmdline)
	case $asked in
	*:*) now=$(cat $nodes/node?/hugepages/hugepages-2048kB/nr_hugepages | awk '{ printf "%s%d:%d", (NR > 1 ? "," : ""), NR - 1, $1 }') ;;
	*) now=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages) ;;
	esac
	[ "$now" = "$asked" ] || { echo "huge pages: $asked asked for, $now are there" >&2; return 1; }
}
has_as_many_pages_of_each_node() {
	local now
	now=$(cat $nodes/node?/hugepages/hugepages-2048kB/nr_hugepages | xargs)
	[ "$(echo "$now" | tr ' ' '\n' | sort -u | wc -l)" = 1 ] || { echo "huge pages of nodes: $now" >&2; return 1; }
}
has_1_gib_pages() { [ "$(cat /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages)" = 2 ]; }
# What is added lies above 4 GiB, or where added=MIB says.
memory_was_added() { [ "$stage" -gt 1 ] || [ "$high" -ge "${added:-4096}" ]; }
# Which the kernel itself can't use. Half of a GiB is more than it leaves.
fills_zone_movable() { luo_host fill --size 512 >&2; }
# What is freed there goes to nobody who can't move.
scratch_is_cma() {
	local now
	now=$(awk '/^Number of blocks/ { for (at = 5; $at != "CMA"; at++) ; next }
		at { sum += $at }
		END { print sum }' /proc/pagetypeinfo)
	if [ "$now" -gt 0 ] && [ "$now" -ge "${cma_blocks:=$now}" ]; then return; fi
	echo "pageblocks of CMA: $cma_blocks, $now" >&2
	return 1
}
# What the page allocator does not give away is a part of the memory that it has. With
# less than 512 MiB at boot, there are no huge pages to keep some for.
wants_as_much_free() {
	[ "$stage" != 1 ] || min_free=$(cat /proc/sys/vm/min_free_kbytes)
	[ "$stage" -le "${updates:-1}" ] || within 20 about_as_much_free ||
		{ grep . /proc/sys/vm/min_free_kbytes >&2; return 1; }
}
about_as_much_free() {
	local now
	now=$(cat /proc/sys/vm/min_free_kbytes)
	[ "$now" -ge $((min_free * 95 / 100)) ] && [ "$now" -le $((min_free * 105 / 100)) ]
}
# Less than is kept once: caches differ by some MiB from boot to boot.
loses_no_memory() {
	local now
	now=$(sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	[ -z "$free" ] || [ "$now" -ge $((free - 49152)) ] || { echo "free memory: $free KiB, $now KiB" >&2; return 1; }
	[ "$stage" = 1 ] || free=${free:-$now}
}

nodes=/sys/devices/system/node

hold() {
	local function
	for function in $(echo "$want" | tr , ' '); do
		"$function" || fail "kernel $stage: not so: $function"
	done
}

keep() {
	# shellcheck disable=SC2086 # options
	luo_host keep $what >/tmp/kept || fail "nothing is kept"
	read -r low high </tmp/kept
	echo "# kernel $stage keeps memory from $low MiB to $high MiB" >&2
}

go_on_as_told() {
	cmdline=/tmp/cmdline
	[ "$stage" -gt 1 ] || words="${next:+ $next}${min_free:+ min_free=$min_free}${cma_blocks:+ cma_blocks=$cma_blocks}"
	sed "s/ free=[0-9]*//; s/\$/${free:+ free=$free}$words/" /proc/cmdline >$cmdline
	go_on
}

words=
what="--files ${files:-4} --size ${size:-16} --start ${start:-0} --ballast ${ballast:-0}${huge:+ --huge $huge}${node:+ --node $node}"
if [ "$stage" -gt 1 ]; then
	[ -z "$huge" ] || has_asked_for_pages || fail "kernel $stage: not so before files are retrieved"
	# shellcheck disable=SC2086
	luo_host check $what || fail "kernel $stage: what was kept is not there"
fi
[ "$stage" -gt "${updates:-1}" ] || keep
hold
[ "$stage" -gt "${updates:-1}" ] || go_on_as_told
[ -z "$(luoctl --no-header list)" ] || fail "a session was left behind"
healthy >&2
