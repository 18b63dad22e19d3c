# SPDX-License-Identifier: GPL-2.0-only
#
# Makes a table, on stdout, and results.json, in the file json, of lines "WHO NAME
# UNIT VALUE", where WHO is kvm or dragonfly, and "host NAME WORD...". Rows come in
# the order in which their names first did. limits is "NAME LIMIT ..."; names that
# are not within theirs go to the file over_limit.

function number(v) {
	return v == "" || v == "n/a" ? "null" : v
}

function shown(v) {
	return v == "null" ? "n/a" : v
}

function quote(v) {
	gsub(/["\\]/, "\\\\&", v)
	return "\"" v "\""
}

function pair(key, json_value) {
	return quote(key) ": " json_value
}

function row(a, b, c, d, e, f, g,	line) {
	line = sprintf("%-16s %-6s %12s %12s %8s %8s  %s", a, b, c, d, e, f, g)
	sub(/ +$/, "", line)
	print line
}

function object(name, kvm, ours, ratio) {
	return pair("name", quote(name)) ", " pair("unit", quote(unit[name])) ", " \
		pair("kvm", kvm) ", " pair("dragonfly", ours) ", " pair("ratio", ratio) ", " \
		pair("limit", name in limit ? limit[name] : "null")
}

BEGIN {
	split(limits, word)
	for (i = 1; i in word; i += 2)
		limit[word[i]] = word[i + 1]
}

$1 == "host" {
	key = $2
	sub(/^host [^ ]+ /, "")
	host[key] = $0
	next
}

NF == 4 {
	if (!($2 in unit))
		names[++n] = $2
	unit[$2] = $3
	value[$1, $2] = $4
}

END {
	row("name", "unit", "kvm", "dragonfly", "ratio", "limit")
	for (i = 1; i <= n; i++) {
		name = names[i]
		kvm = number(value["kvm", name])
		ours = number(value["dragonfly", name])
		comparable = kvm != "null" && ours != "null" && kvm + 0 > 0
		ratio = comparable ? sprintf("%.3f", ours / kvm) : "null"
		misses = name in limit && (ours == "null" || ours + 0 > limit[name] + 0)
		if (misses)
			missed = missed " " name
		row(name, unit[name], shown(kvm), shown(ours), comparable ? ratio : "",
			name in limit ? limit[name] : "", misses ? "<-- not met" : "")
		objects = objects (i > 1 ? "," : "") "\n    {" object(name, kvm, ours, ratio) "}"
	}
	for (name in limit)
		if (!(name in unit))
			missed = missed " " name
	print "{" >json
	print "  " pair("configuration", "{") >json
	print "    " pair("commit", quote(commit)) "," >json
	print "    " pair("host_kernel", quote(host["kernel"])) "," >json
	print "    " pair("host_cpu", quote(host["cpu"])) "," >json
	print "    " pair("host_cpus", 1) "," >json
	print "    " pair("engine", quote("bochs")) "," >json
	print "    " pair("rdmsr", quote(rdmsr)) "," >json
	print "    " pair("wrmsr", quote(wrmsr)) "," >json
	print "    " pair("tick", quote("an instruction on one emulated CPU, never a time")) >json
	print "  }," >json
	print "  " pair("results", "[") objects >json
	print "  ]\n}" >json
	if (missed != "")
		print missed >over_limit
}
