// SPDX-License-Identifier: GPL-2.0-only
/* The example of Documentation/core-api/liveupdate.rst, to be run. */

#include "../../../Documentation/core-api/liveupdate-example.c"
