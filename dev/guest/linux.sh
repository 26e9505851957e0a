#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# First program of a Linux guest that is taken through an update. On its serial line it
# says again and again: `line UPTIME WALL SLEPT WRONG PASSES', where UPTIME is in
# hundredths, SLEPT how many hundredths a sleep of 20 took, WRONG how often its memory
# or disk was not what it had written, and PASSES how often it has looked at all of
# that memory: chunks= on its command line, of 1 MiB. With a network vm0 listens and
# vm1 sends to it over one connection, once a second: `tcp NUMBER'; and pings it. Its
# power button switches it off.
# shellcheck shell=dash disable=SC2154 # the kernel sets name and chunks
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /tmp
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs -o size=90% tmpfs /tmp
exec >/dev/ttyS0 2>&1 </dev/null

now() { read -r up _ </proc/uptime; up=${up%.*}${up#*.}; }

# Both clocks, once more where they were not read at once: the host may be busy.
clocks() {
	local before
	while :; do
		now
		before=$up wall=$(date +%s)
		now
		[ $((up - before)) -gt 100 ] || return
	done
}

talk() {
	ip link set eth0 up
	if [ "$name" = vm0 ]; then
		ip addr add 10.9.0.1/24 dev eth0
		tail -f /dev/null | nc -l -p 5000 | while read -r line; do echo "tcp $line"; done
		return
	fi
	ip addr add 10.9.0.2/24 dev eth0
	until ping -c 1 -W 1 10.9.0.1 >/dev/null; do sleep 1; done
	ping 10.9.0.1 &
	while sleep 1; do echo $((sent = sent + 1)); done | nc 10.9.0.1 5000
	echo "the connection is lost"
}

# Not from the cache.
block_is_right() {
	echo 1 >/proc/sys/vm/drop_caches
	[ "$(dd if=/dev/vda bs=512 skip=$block count=1 2>/dev/null | tr -d '\0' | head -n 1)" = "$(cat "/tmp/block$block")" ]
}

# What was written now is read back, and first what was written there before.
disk_is_right() {
	block=$(((block + 1) % 16))
	[ ! -e "/tmp/block$block" ] || block_is_right || return
	echo "$block $up" >"/tmp/block$block"
	dd if="/tmp/block$block" of=/dev/vda bs=512 seek=$block conv=sync,fsync 2>/dev/null
	block_is_right
}

memory_is_right() {
	chunk=$(((chunk + 1) % chunks))
	[ $chunk -gt 0 ] || passes=$((passes + 1))
	md5sum -c -s "/tmp/sum$chunk"
}

sent=0 wrong=0 block=0 chunk=0 passes=0
! grep -q eth0 /proc/net/dev 2>/dev/null || talk &
[ ! -e /dev/input/event0 ] || { head -c 1 /dev/input/event0 >/dev/null && echo "switched off" && poweroff -f; } &
for i in $(seq 0 $((chunks - 1))); do
	head -c 1048576 /dev/urandom >"/tmp/data$i"
	md5sum "/tmp/data$i" >"/tmp/sum$i"
done
while :; do
	now
	before=$up
	sleep 0.2
	now
	slept=$((up - before))
	clocks
	memory_is_right || wrong=$((wrong + 1))
	[ ! -b /dev/vda ] || disk_is_right || wrong=$((wrong + 1))
	echo "line $up $wall $slept $wrong $passes"
done
