# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Completion of dragonfly's command line, for bash.

# The first column of what "dragonfly list" and the like print.
_dragonfly_column() {
	dragonfly "$@" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# What comes after an option that takes a value; false if $1 is none.
_dragonfly_values() {
	case $1 in
	--hugepages) echo 2M 1G ;;
	--console) echo stdio pty socket= none ;;
	--device) echo /dev/dragonfly /dev/kvm ;;
	--queue) compgen -P vdpa= -G '/dev/vhost-vdpa-*' ;;
	--net) echo tap= ;;
	--append | --cpus | --mem | --name | --notifier-cpu | --pin) ;;
	*) return 1 ;;
	esac
}

# What comes after the words so far.
_dragonfly_arguments() {
	case "$*" in
	dragonfly) dragonfly --help 2>/dev/null | awk '/^  / { print $1 }' ;;
	"dragonfly queue") echo list assign release ;;
	"dragonfly stat" | "dragonfly stop" | "dragonfly pause" | "dragonfly resume" | "dragonfly console" | \
		"dragonfly queue assign" | "dragonfly queue release") _dragonfly_column list ;;
	"dragonfly queue assign "*) echo vdpa= tap= ;;
	"dragonfly queue release "*) _dragonfly_column queue list ;;
	esac
}

_dragonfly() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words

	COMPREPLY=()
	# "=" is a word of its own here: behind socket= and vdpa= there is a path.
	case $before in
	--kernel | --initrd | =)
		mapfile -t COMPREPLY < <(compgen -f -- "${word#=}")
		return
		;;
	esac
	if ! words=$(_dragonfly_values "$before"); then
		case $COMP_CWORD$word in
		[2-9]-*) words=$(dragonfly "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE -- '--[a-z-]+') ;;
		*) words=$(_dragonfly_arguments dragonfly "${COMP_WORDS[@]:1:COMP_CWORD-1}") ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word" | sort -u)
}

complete -o bashdefault -F _dragonfly dragonfly
