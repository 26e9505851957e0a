/* SPDX-License-Identifier: GPL-2.0 */
/* One JSON value on stdout, on a line of its own. A key of NULL is for arrays. */
#ifndef LUOCTL_JSON_H
#define LUOCTL_JSON_H

#include <stddef.h>

void json_open(const char *key, char bracket);
void json_close(char bracket);
void json_number(const char *key, unsigned long long number);
void json_null(const char *key);
/*
 * At most max bytes of a text. Each byte that is not ASCII becomes the
 * character of its number, so that no name is lost.
 */
void json_text(const char *key, const char *text, size_t max);

#endif /* LUOCTL_JSON_H */
