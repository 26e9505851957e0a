#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs on the host of `make host`, in all three kernels: waits for the guests, updates,
# and judges what they say: dev/guest/linux.sh. TAP and the table on ttyS1.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC1091,SC2154 # told.sh; bad and test are of lib.sh
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
. /guest/lib.sh
. /guest/told.sh

state=/var/lib/liveupdate-host
guests="vm0 vm1"

# The last line may not be whole.
log() { tr -d '\r' <"/var/log/$1.serial" | head -n -1; }
lines() { log "$1" | grep '^line '; }
passes() { lines "$1" | tail -n 1 | cut -d' ' -f6; }
has_passes() { [ "$(passes "$1")" -ge "$2" ]; }
runs() { within 300 has_passes "$1" 0; }
# So long that it has looked at all of its memory.
goes_on() { within 600 has_passes "$1" $(($(passes "$1") + 2)); }
numbers() { log vm0 | grep -c '^tcp '; }
has_numbers() { [ "$(numbers)" -ge "$1" ]; }
is_active() { systemctl is-active "luo-qemu@$1"; }
still_ms() { luo-qemu status "$1" | sed -n 's/^still_ms //p'; }

# is_whole GUEST: after the update, by what is new in its log.
is_whole() {
	local from=1 status
	[ $stage = 1 ] || from=$(($(cat "$state/$1.lines") + 1))
	[ $stage = 1 ] || set -- "$1" "$(tail -n 1 "$state/$1.$((stage - 1))")" "$(still_ms "$1")"
	lines "$1" | tail -n +$from | judge "${2-}" "${3-}" >"$state/$1.$stage"
	status=$?
	cat "$state/$1.$stage"
	return $status
}

# What of its log is new in the next kernel.
mark() {
	local guest
	for guest in $guests; do lines "$guest" | wc -l >"$state/$guest.lines"; done
	numbers >"$state/numbers"
	echo $test >"$state/test"
}

# Each number once: one connection, and nothing of it lost.
connection_lives() {
	within 300 has_numbers $(($1 + 5)) || return
	log vm0 | awk '$1 == "tcp" { if ($2 != ++n) { print "lost:", $0; bad = 1 } } END { print n, "numbers"; exit bad }'
}

# No more is lost than what is sent while networks and the other guest come back.
ping_goes_on() {
	log vm1 | sed -n 's/.*bytes from.* seq=\([0-9]*\) .*/\1/p' |
		awk '$1 - last > 60 { print "lost from", last, "to", $1; bad = 1 }
			{ last = $1 } END { print NR, "answers, the last:", last; exit bad || !NR }'
}

is_kernel() {
	uname -r
	[ "$(uname -r)" = "$1" ]
}
nothing_is_left() {
	luoctl status | grep "Nothing is left to finish." && grep -x normal /sys/kernel/liveupdate/state || return
	luoctl --json status >$state/status || return
	cat $state/status
	grep -q '"left": \[\], ' $state/status && grep -q '{"name": "vm0", "phase": "running", ' $state/status &&
		grep -q '{"name": "vm1", "phase": "running", ' $state/status
}
file_systems_are_clean() { ! dmesg | grep -i -E "recovery complete|recovering journal|orphan cleanup|not properly unmounted"; }
# Those that vm1 has not touched are set aside for it: it has 64 of 72.
has_huge_pages() {
	grep '^HugePages' /proc/meminfo
	[ "$(awk '/^HugePages_/ { n[$1] = $2 }
		END { print n["HugePages_Total:"], n["HugePages_Free:"] - n["HugePages_Rsvd:"] }' /proc/meminfo)" = "72 8" ]
}
lock_down() { echo integrity >/sys/kernel/security/lockdown && grep -F '[integrity]' /sys/kernel/security/lockdown; }
# Nothing has stopped by then.
refuses_unsigned() {
	! luoctl load "/boot/vmlinuz-$first" >$state/refused 2>&1 || return
	cat $state/refused
	grep -E "Required key not available|Permission denied|Operation not permitted" $state/refused
}
sign() { cp /root/signed "/boot/vmlinuz-$first"; }
no_unit_failed() {
	systemctl --failed --no-legend
	[ -z "$(systemctl --failed --no-legend)" ]
}

row() {
	tail -q -n 1 "$state/$1.$((stage - 1))" "$state/$1.$stage" | tr '\n' , | awk -F, -v name="$1" -v still="$(still_ms "$1")" '{
		printf "  %-5s %12.2f s %9.2f s %8.2f s %8.2f s %8d s %10d ms\n", name, $5 / 100, $10 / 100, $3 / 100, $8 / 100, $9 - $4, still }'
}

# since PROPERTY [UNIT]: seconds from the start of the kernel.
since() { systemctl show --value -p "$@" | awk '{ printf "%.1f", $1 / 1000000 }'; }

# What a guest waits for in the next kernel.
boot() {
	local unit
	printf '  boot: systemd %s s' "$(since UserspaceTimestampMonotonic)"
	for unit in luo-qemu-resume.service local-fs.target sysinit.target basic.target network.target; do
		printf ', %s %s s' $unit "$(since ActiveEnterTimestampMonotonic $unit)"
	done
	for unit in $guests; do
		printf ', %s started %s s, runs %s s' "$unit" "$(since ExecMainStartTimestampMonotonic "luo-qemu@$unit")" \
			"$(since ActiveEnterTimestampMonotonic "luo-qemu@$unit")"
	done
	echo
}

# phases GUEST: what it stood still for, by the clocks of both kernels.
phases() {
	luoctl status | awk -v name="$1" -v still="$(still_ms "$1")" -v kernel="$(since UserspaceTimestampMonotonic)" \
		-v started="$(since ExecMainStartTimestampMonotonic "luo-qemu@$1")" -v runs="$(since ActiveEnterTimestampMonotonic "luo-qemu@$1")" '
		$1 == "freeze" || $1 == "jump" || $1 == "setup" { jump += $2 / 1000 }
		END { printf "  %s stood still: until the jump %.1f s, jump %.1f s, kernel %.1f s, until its unit %.1f s, QEMU %.1f s\n",
			name, still / 1000 - jump - runs, jump, kernel, started - kernel, runs - started }'
}

# Nor did they wait for services that take long.
went_ahead() {
	local guest basic
	basic=$(since ActiveEnterTimestampMonotonic basic.target)
	for guest in $guests; do
		since ExecMainStartTimestampMonotonic "luo-qemu@$guest" | awk -v basic="$basic" '{ print; exit !($1 < basic) }' || return
	done
}

table() {
	local guest
	echo
	echo "  Guest  uptime: before       after  sleep of 0.2 s: before, after  clock behind  stood still"
	for guest in $guests; do row "$guest"; done
	echo "  connection: $(cat "$state/numbers") numbers before, $(numbers) after; ping: $(ping_goes_on)"
	for guest in $guests; do phases "$guest"; done
	boot
	luoctl status | sed 's/^/  /'
	echo
}

end() {
	local guest
	[ "$1" = 0 ] || for guest in $guests; do
		systemctl status --no-pager -l "luo-qemu@$guest"
		log "$guest" | tail -n 5
	done
	stty -F /dev/ttyS1 raw -echo
	echo "exit $1"
	exec systemctl --force --force poweroff
}

# update_to KERNEL NAME: the guests go along. NAME is that of the test whether it can be.
update_to() {
	local guest
	ok "its formats are known" luoctl check "/boot/vmlinuz-$1"
	ok "$2" luoctl --dry-run update "/boot/vmlinuz-$1"
	for guest in $guests; do ok "$guest is whole" is_whole "$guest"; done
	mark
	stty -F /dev/ttyS1 raw -echo
	if [ $bad = 0 ] && luoctl update "/boot/vmlinuz-$1"; then exit; fi
	end 1
}

before() {
	local guest
	echo "# $(systemctl --version | head -n 1), $(qemu-system-x86_64 --version | head -n 1)"
	ok "the kernel is the first one" is_kernel "$first"
	ok "it has live update" luoctl status
	for guest in $guests; do ok "$guest starts" systemctl enable --now luo-qemu@"$guest"; done
	for guest in $guests; do ok "$guest runs" runs "$guest"; done
	ok "they have a connection" connection_lives 0
	ok "the package of the next kernel installs" apt-get -q -y install /root/next.deb
	update_to "$next" "an update is possible"
}

# came_to KERNEL: the guests did, and all is well.
came_to() {
	local guest
	test=$(cat "$state/test")
	ok "the kernel is $1" is_kernel "$1"
	for guest in $guests; do ok "$guest is back" within 300 is_active "$guest"; done
	ok "they were resumed ahead of services" went_ahead
	for guest in $guests; do
		ok "$guest goes on" goes_on "$guest"
		ok "$guest is whole, its uptime and its clock right" is_whole "$guest"
	done
	ok "their connection lives" connection_lives "$(cat "$state/numbers")"
	ok "their ping goes on" ping_goes_on
	ok "huge pages are as asked for" has_huge_pages
	ok "nothing is left to finish" nothing_is_left
	ok "no file system had to be repaired" file_systems_are_clean
	ok "no unit failed" no_unit_failed
	table
}

# The way back, as it is under secure boot.
after() {
	came_to "$next"
	ok "it is locked down" lock_down
	ok "a kernel without a signature is refused" refuses_unsigned
	ok "the first kernel is signed" sign
	update_to "$first" "the way back is open"
}

# But what the administrator has written.
packages_purge() {
	apt-get -q -y purge "linux-image-$next" liveupdate-tools libliveupdate1 || return
	! find /etc /usr /var/lib /boot \( -name 'luo*' -o -name 'libliveupdate*' -o -name 'liveupdate-tools*' -o \
		-name '*-liveupdate.cfg' -o -name '*-liveupdate.install' -o -name "*$next*" \) \
		-not -path '/etc/luo-qemu*' -not -path '/usr/lib/modules/*' | grep . &&
		! grep -r 'liveupdate=on' /efi/loader/entries
}

back() {
	local guest
	came_to "$first"
	ok "their power buttons are pressed" systemctl stop luo-qemu@vm0 luo-qemu@vm1
	for guest in $guests; do ok "$guest has switched itself off" within 5 grep 'switched off' "/var/log/$guest.serial"; done
	ok "the packages purge, and nothing is left" packages_purge
	end $bad
}

first=$(cat $state/first)
next=$(cat $state/next)
stage=$(($(cat $state/stage) + 1))
echo $stage >$state/stage
case $stage in
1) before ;;
2) after ;;
*) back ;;
esac
