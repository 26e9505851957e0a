// SPDX-License-Identifier: GPL-2.0
#include "kexec_scenarios.h"

const struct scenario handler_scenarios[] = {
	{ }
};
