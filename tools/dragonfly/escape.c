// SPDX-License-Identifier: GPL-2.0-only
#include "escape.h"

#define PREFIX 1 /* Ctrl-A */
#define LEAVE 'x'

size_t escape__filter(struct escape *escape, const char *keys, size_t size, char *text)
{
	size_t nr = 0;

	for (size_t i = 0; i < size && !escape->left; i++) {
		bool prefixed = escape->prefixed;

		escape->prefixed = keys[i] == PREFIX && !prefixed;
		escape->left = keys[i] == LEAVE && prefixed;
		if (escape->prefixed || escape->left)
			continue;
		if (prefixed && keys[i] != PREFIX)
			text[nr++] = PREFIX;
		text[nr++] = keys[i];
	}
	return nr;
}
