#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Records of $seeds sessions, from number $first on, are damaged between two
# kernels; then the map of preserved memory, $maps times; TAP on stdout. The
# numbers are on the kernel's command line.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# shellcheck disable=SC2154 # set by the kernel
last=$((3 + maps))
# shellcheck disable=SC2154
case $stage in
1)
	echo "TAP version 13"
	echo "1..$((last + 2))"
	ok "$seeds sessions are saved" luo_hostile save "$first" "$seeds"
	;;
2)
	test=2
	ok "what is damaged is contained" luo_hostile check "$first" "$seeds"
	ok "kernel 2 is healthy" healthy
	;;
3)
	test=4
	ok "what was handed over once more can be ended" luo_hostile rest
	ok "kernel 3 is healthy" healthy
	;;
*)
	test=$((stage + 2))
	ok "kernel after the damaged map $((first + stage - 4)) is healthy" healthy
	;;
esac
[ "$stage" -lt $last ] || exit 0
load_next || fail "kexec did not load the next kernel"
if [ "$stage" -ge 3 ]; then
	luo_hostile save 0 8 || fail "nothing was saved"
	luo_hostile map $((first + stage - 3)) || fail "the map can't be damaged"
fi
jump
fail "kexec did not jump"
