# SPDX-License-Identifier: GPL-2.0-only
#
# Makes a chart (SVG), on stdout, of the rows of a results.json whose name and configuration
# match: a pair of bars for each, KVM's above Dragonfly's. With -v title=TEXT
# -v names=REGEX -v configuration=REGEX.

function text(x, y, class, words) {
	gsub(/&/, "\\&amp;", words)
	gsub(/</, "\\&lt;", words)
	printf "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class, words
}

function bar(y, class, value) {
	if (value == "null") {
		text(left, y + 9, "value", "n/a")
		return
	}
	printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"10\" class=\"%s\"/>\n", left, y,
		value / max * width, class
	text(left + value / max * width + 4, y + 9, "value", value)
}

BEGIN {
	left = 190
	width = 480
}

/"name":/ && field("name") ~ names && field("configuration") ~ configuration {
	name[++n] = field("name")
	unit = field("unit")
	kvm[n] = field("kvm")
	ours[n] = field("dragonfly")
	if (kvm[n] != "null" && kvm[n] + 0 > max)
		max = kvm[n] + 0
	if (ours[n] != "null" && ours[n] + 0 > max)
		max = ours[n] + 0
}

END {
	if (!n || !max)
		exit 1
	height = 50 + n * 30
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\">\n", left + width + 80, height
	print "<style>text { font: 11px sans-serif } .title { font-size: 14px }" \
		" .name { text-anchor: end } .kvm { fill: #999 } .ours { fill: #0a6 }</style>"
	text(10, 20, "title", title " (" unit ")")
	text(left, 40, "kvm", "KVM")
	text(left + 40, 40, "ours", "Dragonfly")
	for (i = 1; i <= n; i++) {
		y = 20 + i * 30
		text(left - 8, y + 14, "name", name[i])
		bar(y, "kvm", kvm[i])
		bar(y + 11, "ours", ours[i])
	}
	print "</svg>"
}
