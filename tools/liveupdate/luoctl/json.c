// SPDX-License-Identifier: GPL-2.0
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

static struct {
	int depth;
	bool follows;
} json;

static void put_string(const char *text, size_t max)
{
	size_t i;

	putchar('"');
	for (i = 0; i < max && text[i]; i++) {
		unsigned char byte = text[i];

		if (byte < ' ' || byte > '~')
			printf("\\u%04x", byte);
		else
			printf(byte == '"' || byte == '\\' ? "\\%c" : "%c", byte);
	}
	putchar('"');
}

static void put_key(const char *key)
{
	if (json.follows)
		printf(", ");
	json.follows = true;
	if (!key)
		return;
	put_string(key, strlen(key));
	printf(": ");
}

void json_open(const char *key, char bracket)
{
	put_key(key);
	putchar(bracket);
	json.depth++;
	json.follows = false;
}

void json_close(char bracket)
{
	putchar(bracket);
	json.follows = --json.depth;
	if (!json.depth)
		putchar('\n');
}

void json_number(const char *key, unsigned long long number)
{
	put_key(key);
	printf("%llu", number);
}

void json_null(const char *key)
{
	put_key(key);
	printf("null");
}

void json_text(const char *key, const char *text, size_t max)
{
	put_key(key);
	put_string(text, max);
}
