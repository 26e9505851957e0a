#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Round trips through kexec, in each of three kernels; KTAP on stdout. With
# only=TEXT on the kernel's command line those scenarios that hold TEXT.
# shellcheck source=dev/guest/lib.sh disable=SC2154 # only is set by the kernel
. /guest/lib.sh

kcsan=/sys/kernel/debug/kcsan
[ ! -w $kcsan ] || echo on >$kcsan

luo_kexec --stage "$stage" --only "${only:-}" \
	--load '. /guest/lib.sh; load_next >&2' \
	--before-jump '. /guest/lib.sh; save_coverage' \
	--module /lib/luo_test_handlers.ko
status=$?
save_coverage
exit $status
