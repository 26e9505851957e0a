# SPDX-License-Identifier: GPL-2.0
CFLAGS_GCOV=-fprofile-arcs -ftest-coverage -fno-tree-loop-im -fno-early-inlining -fprofile-update=atomic
GCOV_PROFILE_kho_radix.o=y
GCOV_PROFILE_kho_gaps.o=y
GCOV_PROFILE_kho_incoming.o=y
GCOV_PROFILE_kho_incoming_nodes.o=y
GCOV_PROFILE_kho_incoming_blocks.o=y
GCOV_PROFILE_kho_incoming_reserve.o=y
GCOV_PROFILE_luo_core.o=y
GCOV_PROFILE_luo_file.o=y
GCOV_PROFILE_luo_flb.o=y
GCOV_PROFILE_luo_ioctl.o=y
GCOV_PROFILE_luo_records.o=y
GCOV_PROFILE_luo_session.o=y
GCOV_PROFILE_luo_sysfs.o=y
GCOV_PROFILE_memfd_luo.o=y
GCOV_PROFILE_kho_metadata.o=y
GCOV_PROFILE_luo_handler.o=y
GCOV_PROFILE_luo_file_outgoing.o=y
GCOV_PROFILE_luo_file_incoming.o=y
GCOV_PROFILE_luo_flb_files.o=y
GCOV_PROFILE_luo_flb_carry.o=y
GCOV_PROFILE_luo_flb_records.o=y
GCOV_PROFILE_memfd_luo_hold.o=y
GCOV_PROFILE_memfd_luo_records.o=y
GCOV_PROFILE_memfd_luo_retrieve.o=y
