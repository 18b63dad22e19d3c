# SPDX-License-Identifier: GPL-2.0-only
#
# Compares two results.json, of which the first is the earlier one: each exact figure of
# Dragonfly's may be 3 % more, and has to be there still. Says what is not so, and fails.

function complain(text) {
	print "bench: " id " " text
	lost = 1
}

!/"name":/ {
	next
}

{
	id = field("name") " (" field("configuration") ")"
}

FNR == NR {
	if (field("exact") == "true" && field("dragonfly") != "null")
		before[id] = field("dragonfly")
	next
}

id in before {
	now = field("dragonfly")
	if (now == "null")
		complain("has no value; it was " before[id])
	else if (now + 0 > before[id] * 1.03)
		complain("is " now " " field("unit") "; it was " before[id])
	delete before[id]
}

END {
	for (id in before)
		complain("is not measured; it was " before[id])
	exit lost
}
