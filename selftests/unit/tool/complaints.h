/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tool complains of is kept, for a look at it.
 */
#ifndef UNIT_TOOL_COMPLAINTS_H
#define UNIT_TOOL_COMPLAINTS_H

#include "kselftest_harness.h"

#include <string.h>

#include "dragonfly.h"

static char why[512];

static void __attribute__((constructor)) keep_complaints(void)
{
	complain_to(why, sizeof(why));
}

#define EXPECT_SAYS(text)                                  \
	EXPECT_NE(NULL, strstr(why, text))                 \
	{                                                  \
		TH_LOG("\"%s\" is not in: %s", text, why); \
	}

#endif
