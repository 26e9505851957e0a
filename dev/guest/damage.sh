#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# State that a kernel of mainline hands over to this one is damaged: KIND of
# luo_damage is damage= on the kernel's command line.
# shellcheck source=dev/guest/lib.sh disable=SC2119,SC2154 # damage is set by the kernel
. /guest/lib.sh

echo "# kernel $stage: $(uname -r)" >&2
[ -c /dev/liveupdate ] || fail "no /dev/liveupdate"
if [ "$stage" = 2 ]; then
	[ -d /sys/kernel/liveupdate ] || fail "not this kernel"
	exec luo_damage check "$damage"
fi
load_next || fail "kexec did not load the next kernel"
luo_damage save "$damage" || fail "nothing was saved"
jump
fail "kexec did not jump"
