#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Three kernels in a row, each started by the one before; TAP on stdout.
# shellcheck source=dev/guest/lib.sh disable=SC2119,SC2317 # called by ok
. /guest/lib.sh

logged() { dmesg | grep -E "$1"; }

# The frequency that this kernel has for its TSC, as it logged it.
tsc_khz() {
	dmesg | sed -n 's/.*kho_clocks: as .*TSC \([0-9]*\) kHz.*/\1/p
		s/.*tsc: Refined TSC .*: \([0-9]*\)\.\([0-9]*\) MHz/\1\2/p' | tail -n 1
}

# Only what was measured for good is handed over: a second after boot.
refined() { [ -n "$(tsc_khz)" ]; }

# The next kernel takes its TSC for one of twice the frequency.
mistaken() {
	cmdline=/tmp/cmdline
	sed "s/\$/ tsc_early_khz=$(($(tsc_khz) * 2))/" /proc/cmdline >$cmdline
}

same_tsc() {
	[ "$(tsc_khz)" = "$(sed -n 's/.*measured=\([0-9]*\).*/\1/p' /proc/cmdline)" ] && ! logged 'tsc: Refined'
}

[ "$(uname -s)" = Linux ] || fail "no Linux"
case $stage in
1)
	echo "1..7"
	within 20 refined || fail "the TSC's frequency was not refined"
	cmdline=/tmp/first
	sed "s/\$/ measured=$(tsc_khz)/" /proc/cmdline >$cmdline
	;;
2)
	test=2
	ok "the second kernel has the TSC's frequency from the first" same_tsc
	ok "the second kernel has the APIC timer's frequency from the first" \
		logged 'kho_clocks: as .*APIC timer [1-9][0-9]* Hz'
	mistaken
	;;
3)
	test=5
	ok "a frequency that is not that of the TSC is refused" \
		logged 'kho_clocks: the TSC does not have'
	ok "KVM is offered" [ -c /dev/kvm ]
	ok "kernel 3 runs" true
	exit 0
	;;
esac
ok "kernel $stage runs" true
go_on
