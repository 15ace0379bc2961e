# What was written over the root that is fallen back to while another one is on trial, where the policy for a new root is reset: the
# state over it is kept in the file before, with its layers, until the trial is over. Sourced by preinit.sh when there is something.

# keep_before: done again after a cut, it keeps the same.
keep_before() {
	cp "$folder/state" "$folder/before+new" && flush "$folder" && mv -f "$folder/before+new" "$folder/before" && flush "$folder"
}

# settle_before FOLDER: when the trial is over, the state before is the one that counts where its root is back, and else goes. So does at
# once what is no file, and nothing of ours: a folder that could not be removed like a file would be in the way at each boot.
settle_before() {
	folder=$1
	[ ! -f "$folder/before" ] || [ ! -e "$run/trial" ] || return 0
	if read_state_file "$folder/before" && [ "$root" = "$id" ]; then
		say "$path is again what it was before the root that did not stay"
		mv -f "$folder/before" "$folder/state"
	else
		rm -rf "$folder/before"
	fi && flush "$folder"
}
