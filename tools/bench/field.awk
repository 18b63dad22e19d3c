# SPDX-License-Identifier: GPL-2.0-only
#
# Of a row of results.json the value that a key has, without quotes; "" if it has none.

function field(key) {
	if (!match($0, "\"" key "\": (\"[^\"]*\"|[^,}]*)"))
		return ""
	key = substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4)
	gsub(/"/, "", key)
	return key
}
