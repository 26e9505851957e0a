#!/bin/sh
# Round trips through kexec, in each of three kernels; KTAP on stdout. With
# only=TEXT on the kernel's command line those scenarios that hold TEXT.
# shellcheck source=dev/guest/lib.sh disable=SC2154 # only is set by the kernel
. /guest/lib.sh

exec luo_kexec --stage "$stage" --only "${only:-}" \
	--load '. /guest/lib.sh; load_next >&2' \
	--module /lib/luo_test_handlers.ko
