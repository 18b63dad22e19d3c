// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>

#include "print.h"

const char *print__size(char text[PRINT_MAX], uint64_t bytes)
{
	static const char units[] = "BKMGT";
	unsigned int unit = 0;
	uint64_t tenths;

	while (unit < sizeof(units) - 2 && bytes >> (10 * unit) >= 1024)
		unit++;
	tenths = ((bytes >> (10 * unit)) % 1024) * 10;
	if (unit)
		tenths += ((bytes >> (10 * (unit - 1))) % 1024) * 10 / 1024;
	if (tenths % 10)
		snprintf(text, PRINT_MAX, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
			 units[unit]);
	else
		snprintf(text, PRINT_MAX, "%" PRIu64 "%c", tenths / 10, units[unit]);
	return text;
}

const char *print__time(char text[PRINT_MAX], uint64_t seconds)
{
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
	int size = 0;

	if (days)
		size = snprintf(text, PRINT_MAX, "%" PRIu64 "d ", days);
	snprintf(text + size, PRINT_MAX - size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, hours % 24,
		 minutes % 60, seconds % 60);
	return text;
}

const char *print__text(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "";
}

uint64_t print__number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_object_object_get(object, key));
}

void print__json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
}
