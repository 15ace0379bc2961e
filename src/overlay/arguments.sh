# What overlayctl is called with. Sourced by overlayctl.sh.

# read_arguments [COMMAND [ARGUMENT]...]: sets command, first_word and second_word, and a variable for each option.
read_arguments() {
	command=${1:-help}
	[ $# = 0 ] || shift
	force='' sha256='' json='' only='' reboot='' keep='' no_keep='' copy_option='' first_word='' second_word=''
	while [ $# -gt 0 ]; do
		option=$1
		check_option
		case $1 in
		--json) json=yes ;;
		--reboot) reboot=yes ;;
		--no-keep) no_keep=yes ;;
		--copy) copy_option=yes ;;
		--help) command=help ;;
		--force) force=yes ;;
		--overlay | --keep | --sha256)
			[ $# -gt 1 ] || usage "$1 needs a value"
			read_value "$2"
			shift
			;;
		'') usage "an empty argument says nothing: leave it out" ;;
		--*) usage "there is no option $1" ;;
		*)
			[ ! "$second_word" ] || usage "$1 is one too many"
			if [ "$first_word" ]; then second_word=$1; else first_word=$1; fi
			;;
		esac
		shift
	done
	case $command in
	--help | -h) command=help ;;
	esac
	check_words
}

# check_option: what an option is for is not to be lost on another command.
check_option() {
	case $option in
	--json) takes status ;;
	--no-keep | --keep) takes reset ;;
	--copy) takes storage ;;
	--force | --sha256) takes update ;;
	--overlay) takes status diff snapshot restore delete merge reset export import ready ;;
	--reboot) takes snapshot restore delete merge reset storage update rollback ;;
	esac
}

# takes COMMAND...: whether the command is one of those.
takes() {
	for one; do
		[ "$one" != "$command" ] || return 0
	done
	usage "$command takes no $option"
}

# read_value VALUE: that of the option.
read_value() {
	case $option in
	--overlay)
		find_overlay "$1" || usage "there is no overlay $1"
		only=$only$path$newline
		;;
	--sha256) sha256=${1:-nothing} ;;
	--keep)
		case $1 in
		*"$newline"* | *[[:blank:]]) usage "--keep takes no line break, and no blank at the end; ? stands for either: not \"$1\"" ;;
		*/./* | */. | */../* | */.. | *\\*) usage "--keep takes no \".\" or \"..\" as a folder, and no backslash: not \"$1\"" ;;
		/*)
			kept_somewhere "$1" || usage "no overlay has anything of $1; overlayctl status lists them"
			keep=$keep$1$newline
			;;
		*) usage "--keep needs an absolute path: not \"$1\"" ;;
		esac
		;;
	esac
}

# kept_somewhere PATTERN: whether an overlay may hold what it matches.
kept_somewhere() {
	# shellcheck source=/dev/null # shellcheck looks at it from preinit.sh
	. "$library/reset.sh"
	while read -r key name id path; do
		pattern=$1
		[ "$key" = overlay ] && within_overlay && return
	done <"$config"
	return 1
}

check_words() {
	case $command in
	snapshot | restore | delete | merge | update) [ ! "$second_word" ] || usage "$second_word is one too many" ;;
	status | diff | reset)
		[ ! "$first_word" ] || usage "$command takes no $first_word; --overlay PATH names an overlay"
		;;
	rollback | confirm | cancel | ready)
		[ ! "$first_word" ] || usage "$command takes no $first_word"
		;;
	esac
}

# valid_name NAME: ends where that is no name for a snapshot.
valid_name() {
	case $1 in
	'') usage "$command needs the name of a snapshot; overlayctl status lists them" ;;
	[!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) usage "a snapshot's name has letters, digits, dots, dashes and underscores: not \"$1\"" ;;
	factory) usage "factory is what the image was built with" ;;
	esac
}
