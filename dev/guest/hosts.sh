#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A machine takes files through an update, and is healthy after it. What is to be
# kept, and how often, is said on the kernel's command line:
#
#	files=N size=MIB share=PERCENT start=MIB ballast=MIB huge=MIB late=1 node=N
#					see luo_host --help
#	updates=N			how many in a row (default: 1)
#	last=VERB			what luo_host does in the last kernel (default: check)
#	use=NAME			of the files, see there, too
#	overcommit=N			vm.overcommit_memory of each kernel
#	limit=MIB			memory of the cgroup of who keeps
#	swap=MIB			on a loop device
#	overdo=MIB			a file that is too large, to begin with
#	crash=N				kernel N crashes, the first when it keeps something,
#					others before they took it back: it is in /proc/vmcore
#	image=FILE			the next kernels
#	next=WORD,...			for the command line of the next kernels
#	lost=1				which makes the files get lost, and is to say so
#	lost=off			the same, and there is no live update any more
#	want=FUNCTION,...		of this file: what has to hold in each kernel,
#					while it keeps something
#	first=FUNCTION,...		what has to hold before anything was taken back
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2154 # the kernel sets the words
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# kib NAME: of /proc/meminfo.
kib() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo; }

# refuses_to_load IMAGE INITRD: luoctl does, and /tmp/said holds why.
refuses_to_load() {
	if luoctl load "$1" -- --initrd="$2" 2>/tmp/said; then return 1; fi
	cat /tmp/said >&2
}

# ---- what has to hold ----

has_5_levels() { [ "$stage" != 1 ] || grep -qw la57 /proc/cpuinfo; }
has_4_levels_next() { [ "$stage" = 1 ] || ! grep -qw la57 /proc/cpuinfo; }
# In MiB, as luo_host keep says; the last kernel keeps nothing.
spans_4_gib() { [ "$stage" -gt "${updates:-1}" ] || { [ "$low" -lt 4096 ] && [ "$high" -ge 4096 ]; }; }
says_nothing_of_scratch() { ! dmesg | grep 'KHO: .*scratch memory' >&2; }
# sets_aside PER_MILLE: so much of all memory, at most, is scratch.
sets_aside() {
	local size sum=0 total
	total=$(kib MemTotal)
	while read -r size; do
		sum=$((sum + size / 1024))
	done </sys/kernel/debug/kho/out/scratch_len
	echo "# scratch: $sum KiB of $total KiB" >&2
	[ $sum -gt 0 ] && [ $((sum * 1000)) -le $((total * $1)) ]
}
sets_aside_at_most_3_percent() { sets_aside 30; }
sets_aside_at_most_half_a_percent() { sets_aside 5; }
# An area that is asked for with reserve_mem= stays where it was.
hands_its_area_on() { [ "$stage" = 1 ] || dmesg | grep "Revived memory reservation 'big' from KHO" >&2; }
# What luoctl may load next is bounded by what the kernel has room for.
refuses_too_much() {
	truncate -s "$(cat /sys/kernel/liveupdate/image_room)" /tmp/too-much || return
	refuses_to_load /boot/bzImage /tmp/too-much || return
	grep -q 'with its initrd, there are' /tmp/said && rm /tmp/too-much
}
# What has no room to be loaded is refused while everything goes on.
refuses_its_initrd() {
	refuses_to_load /boot/bzImage /boot/initrd || return
	grep -q 'with its initrd, there are' /tmp/said
}
has_empty_node() { [ "$(cat $nodes/has_cpu $nodes/has_memory | xargs)" = "0-1 0" ]; }
# Nodes of 512 MiB.
spans_nodes() {
	[ "$(cat $nodes/has_memory)" = 0-1 ] || return
	[ "$stage" -gt "${updates:-1}" ] || { [ "$low" -lt 512 ] && [ "$high" -ge 512 ]; }
}
# What was preserved on both and is not any more is not in the map.
forgets_files_on_nodes() {
	[ "$stage" = 1 ] || return 0
	# shellcheck disable=SC2086 # options
	luo_host undo $what >/tmp/undone && read -r low high in_scratch </tmp/undone && spans_nodes
}
# Nor is what begins on one and ends on another, which only the kernel itself has.
forgets_ranges_across_nodes() {
	local suite=/sys/kernel/debug/kunit/kho_handover
	[ "$stage" = 1 ] || return 0
	echo 1 >$suite/run && grep -q '^ *ok [0-9]* range_across_[a-z_]*$' $suite/results && return
	cat $suite/results >&2
	return 1
}
# The first ends at 254 MiB, the last begins at 958.
spans_four_nodes() {
	[ "$(cat $nodes/has_memory)" = 0-3 ] || return
	[ "$stage" -gt "${updates:-1}" ] || { [ "$low" -lt 254 ] && [ "$high" -ge 958 ]; }
}
# What lies there would have to be moved, page by page.
keeps_out_of_scratch() { [ "$stage" -gt "${updates:-1}" ] || [ "$in_scratch" = 0 ]; }
pool=hugepages-$((huge * 1024))kB
# hugepages= is a number or one for each node, in ascending order.
has_asked_for_pages() {
	local asked now
	asked=$(sed 's/.*hugepages=\([0-9:,]*\).*/\1/' /proc/cmdline)
	case $asked in
	*:*) now=$(cat $nodes/node?/hugepages/$pool/nr_hugepages | awk '{ printf "%s%d:%d", (NR > 1 ? "," : ""), NR - 1, $1 }') ;;
	*) now=$(cat /sys/kernel/mm/hugepages/$pool/nr_hugepages) ;;
	esac
	[ "$now" = "$asked" ] || { echo "huge pages: $asked asked for, $now are there" >&2; return 1; }
}
has_as_many_pages_of_each_node() {
	local now
	now=$(cat $nodes/node?/hugepages/$pool/nr_hugepages | xargs)
	[ "$(echo "$now" | tr ' ' '\n' | sort -u | wc -l)" = 1 ] || { echo "huge pages of nodes: $now" >&2; return 1; }
}
# The firmware leaves codes for a terminal on the channel of results, without the end
# of a line.
has_efi() { echo && [ -d /sys/firmware/efi ]; }
# All of an area that is kept for 1 GiB pages is taken, and given back: nobody stays
# there for long.
gives_2_gib() {
	local number=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages
	grep '^Cma' /proc/meminfo >&2
	echo 2 >$number && [ "$(cat $number)" = 2 ] && echo 0 >$number
}
# All that nobody keeps are free, and none is left over.
has_free_pages() {
	local used=0 now
	[ "$stage" -gt "${updates:-1}" ] || used=$((${files:-4} * ${size:-16} / huge))
	now=$(cd /sys/kernel/mm/hugepages/$pool &&
		echo $(($(cat nr_hugepages) - $(cat free_hugepages))) "$(cat surplus_hugepages)")
	[ "$now" = "$used 0" ] || { echo "huge pages in use and surplus: $now, not $used 0" >&2; return 1; }
}
# None that was kept is one page here.
pool_is_empty() { [ "$stage" -le "${updates:-1}" ] || [ "$(cat /sys/kernel/mm/hugepages/$pool/nr_hugepages)" = 0 ]; }
passes_luo_hugetlb() {
	luo_hugetlb -t size_and_content_are_kept_while_preserved -t pool_is_whole_when_all_is_closed >/tmp/tap
	cat /tmp/tap >&2
	[ "$(grep -c '^ok .*gib' /tmp/tap)" = 2 ] && ! grep -q 'SKIP.*1 GiB' /tmp/tap
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
	now=$(kib MemFree)
	[ -z "$free" ] || [ "$now" -ge $((free - 49152)) ] || { echo "free memory: $free KiB, $now KiB" >&2; return 1; }
	[ "$stage" = 1 ] || free=${free:-$now}
}

# All of what cma= sets aside can be had, whoever holds memory for long.
gives_its_area() {
	local area=/sys/kernel/debug/cma/reserved pages
	pages=$(cat $area/count) && [ "$pages" -gt 0 ] && echo "$pages" >$area/alloc && echo "$pages" >$area/free
}
# What was swapped out, which is where it went.
was_in_zswap() {
	[ "$stage" -gt "${updates:-1}" ] || [ "$(sed -n 's/^zswpout //p' /proc/vmstat)" -gt 1000 ] ||
		{ grep zswp /proc/vmstat >&2; return 1; }
}
has_generations() { [ $(($(cat /sys/kernel/mm/lru_gen/enabled) & 1)) = 1 ]; }
# Memory errors are not handed over as content.
refuses_what_was_lost() {
	[ "$stage" -gt 1 ] || { luoctl load /boot/bzImage -- --initrd=/boot/initrd && luo_host poison; }
}

loads_signed_images_only() {
	mount -t securityfs none /sys/kernel/security
	grep -qF '[integrity]' /sys/kernel/security/lockdown || return
	refuses_to_load /boot/bzImage /boot/initrd || return
	sed "s/Linux/linuX/" "$image" >/tmp/changed && ! cmp -s "$image" /tmp/changed || return
	! kexec -s -l /tmp/changed --initrd=/boot/initrd && rm /tmp/changed &&
		luoctl load "$image" -- --initrd=/boot/initrd
}

# Memory in which something is preserved stays; what goes comes back.
keeps_preserved_memory_online() {
	local block refused=0 gone=0
	[ "$stage" -gt 1 ] || return 0
	for block in /sys/devices/system/memory/memory*; do
		if ! echo offline >"$block/state"; then
			refused=$((refused + 1))
			continue
		fi
		gone=$((gone + 1))
		echo online >"$block/state" || return
	done 2>/dev/null
	echo "# memory blocks: $refused stay, $gone went and came back" >&2
	[ $refused -gt 0 ]
}

# Huge pages, which the kernel leaves out where it has less than 512 MiB.
has_huge_pages() { [ "$(cat /sys/kernel/mm/transparent_hugepage/enabled)" = "[always] madvise never" ]; }
# Now and then it comes to stand where it was.
is_moved_by_chance() {
	local now
	now=$(sed -n 's/ T _text$//p' /proc/kallsyms)
	[ -z "$text" ] || [ "$text" = "$now" ] || moved=1
	text=$now
	[ "$stage" -le "${updates:-1}" ] || [ -n "$moved" ]
}
# Who only tells about memory, or looks for some that is free, does not have the
# struct pages of what is preserved set up.
looks_at_all_memory() {
	local before after file
	[ "$stage" -gt 1 ] || return 0
	before=$(cat /sys/kernel/debug/kho/in/lazy_pageblocks)
	[ "$before" -gt 0 ] || { echo "no pageblock is lazy" >&2; return 1; }
	for file in pagetypeinfo kpagecount kpageflags; do
		cat /proc/$file >/dev/null || return
	done
	echo 1 >/proc/sys/vm/compact_memory
	[ ! -w $leaks ] || echo scan >$leaks
	after=$(cat /sys/kernel/debug/kho/in/lazy_pageblocks)
	[ "$after" = "$before" ] || { echo "lazy pageblocks: $before, $after" >&2; return 1; }
}
# Limits and hash tables are those of the whole machine, also if most of it was
# preserved. Sizes are within 15 % of each other, as images and what is allocated
# before differ.
is_sized_as_before() {
	local now
	now=$(sizes)
	[ -n "$sizes" ] || sizes=$(echo "$now" | tr '\n' ,)
	echo "$now" | awk -v before="$sizes" 'BEGIN { split(before, was, ",") }
		$1 < was[NR] * 85 / 100 || $1 > was[NR] * 115 / 100 {
			print "size " NR ": " was[NR] " before, now " $1; bad = 1 }
		END { exit bad || !NR }' >&2
}
sizes() {
	cat /proc/sys/fs/file-max /proc/sys/fs/epoll/max_user_watches /proc/sys/kernel/threads-max
	df -k /dev | awk 'END { print $2 }'
	dmesg | sed -n 's/.*\(Dentry cache\|Inode-cache\|Mount-cache\) hash table entries: \([0-9]*\).*/\2/p'
}

# As live update is on, it can be used again.
says_what_is_lost() {
	dmesg | grep "liveupdate: the previous kernel's sessions are lost" >&2 || return
	[ "$lost" != off ] || { [ ! -e /dev/liveupdate ]; return; }
	[ -z "$(luoctl --no-header list)" ] && luoctl load /boot/bzImage -- --initrd=/boot/initrd >&2
}

# Half of the memory that there is, is what a tmpfs may take, whatever was preserved.
limits_are_of_what_there_is() {
	local half size
	half=$(($(kib MemTotal) / 2))
	mkdir -p /tmp/limits && mount -t tmpfs none /tmp/limits || return
	size=$(df -k /tmp/limits | awk 'END { print $2 }')
	umount /tmp/limits
	[ "$size" -le $((half + 4)) ] || { echo "a tmpfs of $size KiB, where $half are half of all" >&2; return 1; }
}

nodes=/sys/devices/system/node

# hold FUNCTION,...
hold() {
	local function
	for function in $(echo "$1" | tr , ' '); do
		"$function" || fail "kernel $stage: not so: $function"
	done
}

keep() {
	# shellcheck disable=SC2086 # options
	luo_host keep $what >/tmp/kept || fail "nothing is kept"
	read -r low high in_scratch </tmp/kept
	echo "# kernel $stage keeps memory from $low MiB to $high MiB, $in_scratch pages in scratch" >&2
}

go_on_as_told() {
	[ "$stage" -gt 1 ] || words="${next:+ $(echo "$next" | tr , ' ')}${min_free:+ min_free=$min_free}${cma_blocks:+ cma_blocks=$cma_blocks}${sizes:+ sizes=$sizes}"
	change_cmdline "s/ \(free\|text\|moved\)=[^ ]*//g; s/\$/${free:+ free=$free}${text:+ text=$text}${moved:+ moved=1}$words/"
	go_on
}

# What can't be moved to where the next kernel finds it, and nobody is killed for it.
refuses_what_has_no_place() {
	luo_host overdo --size "$overdo" && ! dmesg | grep -i 'out of memory\|oom-kill' >&2
}

set_up_swap() {
	truncate -s "${swap}M" /tmp/swap && losetup /dev/loop0 /tmp/swap && mkswap /dev/loop0 >&2 &&
		swapon /dev/loop0
}

set_up_limit() {
	mkdir -p /tmp/cgroup && mount -t cgroup2 cgroup /tmp/cgroup && echo +memory >/tmp/cgroup/cgroup.subtree_control &&
		mkdir /tmp/cgroup/host && echo "${limit}M" >/tmp/cgroup/host/memory.max &&
		echo 0 >/tmp/cgroup/host/cgroup.procs
}

# The kernel that crashed says so in a panic.
crash() {
	kexec -s -p /boot/bzImage --initrd=/boot/initrd \
		--command-line="$(sed 's/ crashkernel=[^ ]*//' /proc/cmdline)" || return
	echo c >/proc/sysrq-trigger
}

# The kernel that looks at the one that crashed has no business with what is preserved.
look_at_crash() {
	# shellcheck disable=SC2086 # options
	luo_host find $what || fail "what was kept is not in the dump"
	! dmesg | grep 'KHO:' >&2 || fail "the capture kernel takes part in the handover"
	healthy >&2
	exit
}

words=
what="--files ${files:-4} --size ${size:-16} --share ${share:-0} --start ${start:-0} --ballast ${ballast:-0}${huge:+ --huge $huge}${late:+ --late}${node:+ --node $node}${use:+ --use $use}"
ulimit -n 4096
[ -z "$overcommit" ] || echo "$overcommit" >/proc/sys/vm/overcommit_memory
[ "$overcommit" != 2 ] || echo 100 >/proc/sys/vm/overcommit_ratio
[ -z "$swap" ] || set_up_swap || fail "no swap"
[ -z "$limit" ] || set_up_limit || fail "no cgroup"
[ -z "$overdo" ] || [ "$stage" -gt 1 ] || refuses_what_has_no_place || fail "$overdo MiB are not refused as they should"
[ ! -e /proc/vmcore ] || look_at_crash
hold "$first"
[ "$stage" = 1 ] || [ "$stage" != "$crash" ] || crash || fail "no crash"
if [ "$stage" -gt 1 ]; then
	[ -z "$huge" ] || has_asked_for_pages || fail "kernel $stage: not so before files are retrieved"
	[ -z "$lost" ] || { says_what_is_lost && healthy >&2; exit; }
	verb=check
	[ "$stage" -le "${updates:-1}" ] || verb=${last:-check}
	# shellcheck disable=SC2086
	luo_host "$verb" $what || fail "kernel $stage: what was kept is not there"
fi
[ "$stage" -gt "${updates:-1}" ] || keep
hold "$want"
[ "$stage" != "$crash" ] || crash || fail "no crash"
[ "$stage" -gt "${updates:-1}" ] || go_on_as_told
[ -z "$(luoctl --no-header list)" ] || fail "a session was left behind"
limits_are_of_what_there_is || fail "limits are of memory that nobody has"
healthy >&2
