#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A PCI device that is kept meets a kernel in which live update is off, and with
# only=pci-lost: one that can't read what it was handed, either; KTAP on stdout, in
# three kernels, of which luo_kexec has the first and the third.
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh

device=0000:03:00.0
only=${only:-pci-off:}
lost=
case $only in pci-lost*) lost=1 ;; esac

# shellcheck disable=SC2317 # called by ok
is_stopped() {
	[ -z "$lost" ] || dmesg | grep "handover tree at " || return
	dmesg | grep "$device: live update: at work without a record: bus master is off" || return
	# Bit 2 of the command.
	set -- "$(od -An -tu1 -j4 -N1 /sys/bus/pci/devices/$device/config)"
	[ $(($1 & 4)) -eq 0 ]
}

switch() { change_cmdline "s/ liveupdate=[a-z]*/ liveupdate=$1/"; }

if [ "$stage" = 2 ]; then
	test=2
	ok "stage 2: the device is stopped" is_stopped
	switch on
	go_on
fi
switch off
exec luo_kexec --stage "$stage" --only "$only" --module /lib/luo_test_handlers.ko \
	--load '. /guest/lib.sh; cmdline=/tmp/cmdline; load_next >&2'
