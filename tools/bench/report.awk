# SPDX-License-Identifier: GPL-2.0-only
#
# Makes a table, on stdout, and results.json, in the file json, of lines "WHO NAME UNIT
# VALUE KIND", where WHO is kvm or dragonfly, "configuration TEXT" before those that it
# is for, and "host NAME TEXT". Rows come in the order in which their names first did. The
# first file is the targets.

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

function line(text) {
	sub(/ +$/, "", text)
	print text
}

function row(a, b, c, d, e, f) {
	line(sprintf("%-28s %-13s %12s %12s %8s  %s", a, b, c, d, e, f))
}

function ratio(r) {
	return kvm[r] != "null" && ours[r] != "null" && kvm[r] + 0 > 0 ? sprintf("%.3f", ours[r] / kvm[r]) : "null"
}

function object(r) {
	return pair("name", quote(name[r])) ", " pair("unit", quote(unit[r])) ", " \
		pair("kvm", kvm[r]) ", " pair("dragonfly", ours[r]) ", " pair("ratio", ratio(r)) ", " \
		pair("configuration", quote(configuration[r])) ", " \
		pair("exact", varies[r] ? "false" : "true")
}

function print_rows(	r, now) {
	for (r = 1; r <= n; r++) {
		if (configuration[r] != now) {
			now = configuration[r]
			print "\n" now ":"
			row("name", "unit", "kvm", "dragonfly", "ratio", "")
		}
		row(name[r], unit[r], shown(kvm[r]), shown(ours[r]),
		    ratio(r) == "null" ? "" : ratio(r), varies[r] ? "~" : "")
	}
	print "\n~ is not the same in each run; all else is."
}

# Of a target that is a part of KVM's figure.
function limit(r) {
	return target[name[r]] ~ /x$/ ? target[name[r]] * kvm[r] : target[name[r]]
}

function print_targets(	r) {
	print "\ntarget / now:"
	row("name", "unit", "target", "now", "", "")
	for (r = 1; r <= n; r++) {
		if (!(name[r] in target) || ours[r] == "null" || told[name[r]]++)
			continue
		row(name[r], unit[r], limit(r), ours[r], "",
		    ours[r] + 0 <= limit(r) + 0 ? "met" : sprintf("%.0f %% over", 100 * (ours[r] / limit(r) - 1)))
	}
}

function print_json(	r) {
	print "{" >json
	print "  " pair("commit", quote(commit)) "," >json
	print "  " pair("host_kernel", quote(host["kernel"])) "," >json
	print "  " pair("host_cpu", quote(host["cpu"])) "," >json
	print "  " pair("engine", quote(engine)) "," >json
	print "  " pair("unit", quote("instructions are of host and guest on one emulated CPU, ticks of a TSC; never a time")) "," >json
	print "  " pair("results", "[") >json
	for (r = 1; r <= n; r++)
		print "    {" object(r) "}" (r < n ? "," : "") >json
	print "  ]\n}" >json
}

FNR == NR {
	if (NF == 2 && !/^#/)
		target[$1] = $2
	next
}

$1 == "host" {
	key = $2
	sub(/^host [^ ]+ /, "")
	host[key] = $0
	next
}

$1 == "configuration" {
	sub(/^configuration /, "")
	current = $0
	next
}

NF == 5 && ($1 == "kvm" || $1 == "dragonfly") {
	if (!((current, $2) in place)) {
		place[current, $2] = ++n
		name[n] = $2
		unit[n] = $3
		configuration[n] = current
		kvm[n] = ours[n] = "null"
	}
	r = place[current, $2]
	if ($1 == "kvm")
		kvm[r] = number($4)
	else
		ours[r] = number($4)
	if ($5 != "exact")
		varies[r] = 1
}

END {
	if (!n)
		exit 1
	print_rows()
	print_targets()
	print_json()
}
