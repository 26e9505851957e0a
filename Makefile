# SPDX-License-Identifier: GPL-2.0
# Each target is one program of dev/, which says more with --help.
# BUILD=DIR   where everything is made (default: build)
# CONFIG=debug, JOBS=N, T=PATTERN, AGAIN=1, WITHIN=MINUTES, LINUX=PATH, SUITE=NAME,
# TRUSTED_KEYS=FILE: see README.md

export BUILD CONFIG CONFIG_FROM JOBS T AGAIN WITHIN LINUX SUITE TRUSTED_KEYS

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

deps:           ## install the missing Debian packages
	@dev/deps
tree:           ## patched source in build/linux, one commit per patch
	@dev/tree
refresh:        ## take edits made in build/linux back into patches/ and the overlay
	@dev/refresh
kernel: tree    ## build/x86_64/bzImage (CONFIG=debug: build/x86_64-debug/bzImage)
	@dev/kernel
deb: deps tree  ## Debian packages of kernel and tools, in build/deb
	@dev/deb
demo:           ## a VM survives an update of its host's kernel
	@dev/deps demo
	@dev/demo
host: tree      ## a Debian host with guests of QEMU is updated by packages (root, long)
	@dev/deps host
	@dev/host
test: deps      ## all suites (T=PATTERN: those that match; AGAIN=1: those that passed, too)
	@dev/test
hosts: deps     ## machines of many shapes, with those that take long
	@LONG=1 dev/test --timeout=14400 95-hosts
coverage: deps  ## which lines and branches of the series the tests run
	@dev/coverage
mutants: deps   ## break the code in one place after the other: do the tests notice?
	@dev/mutants
hostile: deps   ## damaged records, a thousand seeds: does the kernel contain them?
	@dev/hostile --maps 40
interop: deps   ## updates to mainline 7.3 and back (long)
	@dev/interop
bench: deps     ## what a live update costs, beside mainline 7.3
	@dev/bench
bench-plot:     ## curves of the last bench, into Documentation
	@dev/bench-plot
shell: kernel   ## a shell in the built kernel, in QEMU
	@dev/shell
series: tree    ## build/series: what would be mailed, checked
	@dev/series
series-build: tree ## compile each patch of the series by itself
	@dev/series-build
clean:          ## remove build/
	@dev/clean

.PHONY: help deps tree refresh kernel deb demo host test hosts coverage mutants hostile interop bench bench-plot shell series series-build clean
