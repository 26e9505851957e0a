// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "qemu.h"

static char message[512];

int fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	return -1;
}

int fail_errno(int err, const char *format, ...)
{
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (len >= 0 && (size_t)len < sizeof(message))
		snprintf(message + len, sizeof(message) - len, ": %s", strerror(abs(err)));
	return -1;
}

const char *fail_message(void)
{
	return message;
}

void complain(const char *verb, const char *name)
{
	char shown[ESCAPED(sizeof(message))];

	fprintf(stderr, "luo-qemu: %s%s%s%s%s\n", verb ?: "", verb ? ": " : "",
		name ?: "", name ? ": " : "",
		escape(shown, sizeof(shown), message, sizeof(message)));
}
