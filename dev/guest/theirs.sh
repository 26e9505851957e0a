#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Those of mainline's selftests that go through an update, all in the same one;
# TAP on stdout.
# shellcheck source=dev/guest/lib.sh disable=SC2119,SC3045
. /guest/lib.sh

echo "# kernel $stage: $(uname -r)" >&2
[ -c /dev/liveupdate ] || fail "no /dev/liveupdate"
image=/boot/bzImage
if [ -d /sys/kernel/liveupdate ]; then
	# Each of them holds the device until the update.
	echo 0 >/sys/kernel/liveupdate/exclusive
	[ ! -e /other/bzImage ] || image=/other/bzImage
fi

cd /selftests || exit
ulimit -n 65536
if [ "$stage" = 1 ]; then
	echo "TAP version 13"
	echo "1..8"
else
	test=5
fi
for program in luo_kexec_simple luo_multi_session luo_stress_files luo_stress_sessions; do
	ok "$program, kernel $stage" eval "./$program -s $stage </dev/null"
done
[ "$stage" = 1 ] || exit 0
go_on
