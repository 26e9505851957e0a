#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs on the host of `make host`, in both kernels: waits for the guests, updates, and
# judges what they say: `GENERATION WRONG' for each time that they looked at their
# memory, in hex. TAP and the table on ttyS1.
# shellcheck shell=dash
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo

state=/var/lib/liveupdate-host
guests="vm0 vm1"

ok() {
	local name=$1 result=ok
	shift
	"$@" >/tmp/output 2>&1 || result="not ok"
	sed 's/^/# /' /tmp/output
	echo "$result $name"
	[ "$result" = ok ] || bad=1
}

# within SECONDS COMMAND...
within() {
	local tries=$1
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { "$@"; return 1; }
		sleep 1
	done
}

lines() { wc -l <"/var/log/$1.serial"; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }
goes_on() { within 300 has_lines "$1" $(($(lines "$1") + 5)); }
is_active() { systemctl is-active "luo-qemu@$1"; }
has_link() { ip -oneline link show master br0 | grep -w "$1"; }
still_ms() { luo-qemu status "$1" | sed -n 's/^still_ms //p'; }

# is_whole GUEST: no word was wrong, and it has told of each generation once, so that it
# was never started anew.
is_whole() {
	local told
	told=$(tr -d '\r' <"/var/log/$1.serial" | sed '$d' |
		awk 'length != 17 || $2 != "00000000" || $1 "" <= last "" { print "wrong:", $0; bad = 1 }
			{ last = $1 } END { print NR, last; exit bad }')
	status=$?
	echo "$told"
	told=$(echo "$told" | tail -n 1)
	[ $status = 0 ] && [ "${told% *}" -eq $((0x${told#* })) ] && echo "${told% *}" >"$state/$1.$stage"
}

is_kernel() {
	uname -r
	[ "$(uname -r)" = "$1" ]
}
nothing_is_left() { luoctl status | grep "Nothing is left to finish."; }
file_systems_are_clean() { ! dmesg | grep -i -E "recovery complete|recovering journal|orphan cleanup|not properly unmounted"; }
no_unit_failed() {
	systemctl --failed --no-legend
	[ -z "$(systemctl --failed --no-legend)" ]
}

table() {
	local guest
	echo
	echo "  Guest   passes over its memory: before      after   stood still"
	for guest in $guests; do
		printf '  %-5s %32s %10s %10s ms\n' "$guest" "$(cat $state/"$guest".1)" "$(cat $state/"$guest".2)" "$(still_ms "$guest")"
	done
	luoctl status | sed 's/^/  /'
	echo
}

end() {
	local guest
	[ "$1" = 0 ] || for guest in $guests; do
		systemctl status --no-pager -l "luo-qemu@$guest"
		tail -n 3 "/var/log/$guest.serial"
	done
	stty -F /dev/ttyS1 raw -echo
	echo "exit $1"
	exec systemctl --force --force poweroff
}

before() {
	echo "# $(systemctl --version | head -n 1), $(qemu-system-x86_64 --version | head -n 1)"
	ok "the kernel is the first one" is_kernel "$first"
	ok "it has live update" luoctl status
	for guest in $guests; do
		ok "$guest starts" systemctl enable --now luo-qemu@"$guest"
		ok "$guest runs" goes_on "$guest"
		ok "$guest has a network" within 60 has_link "$guest"
	done
	ok "the package of the next kernel installs" apt-get -q -y install /root/next.deb
	for guest in $guests; do ok "$guest is whole" is_whole "$guest"; done
	ok "an update is possible" luoctl --dry-run update "/boot/vmlinuz-$next"
	stty -F /dev/ttyS1 raw -echo
	if [ $bad = 0 ] && luoctl update "/boot/vmlinuz-$next"; then exit; fi
	end 1
}

after() {
	ok "the kernel is the next one" is_kernel "$next"
	for guest in $guests; do
		ok "$guest is back" within 300 is_active "$guest"
		ok "$guest goes on" goes_on "$guest"
		ok "$guest is whole" is_whole "$guest"
		ok "$guest has its network" within 60 has_link "$guest"
	done
	ok "nothing is left to finish" nothing_is_left
	ok "no file system had to be repaired" file_systems_are_clean
	ok "no unit failed" no_unit_failed
	table
	end $bad
}

bad=0
first=$(cat $state/first)
next=$(cat $state/next)
stage=$(($(cat $state/stage) + 1))
echo $stage >$state/stage
[ $stage -gt 1 ] || before
after
