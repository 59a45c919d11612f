# Output on every console, not only on /dev/console, which is just the last `console=` of the command line.

# The consoles that the kernel found, one a line, such as `ttyS0`.
consoles() {
	tr ' ' '\n' </sys/class/tty/console/active | sort -u
}

# Sends this script's output to every console and to /run/rc.log.
open_console() {
	local tty ttys=""
	if [ ! -p /run/rc.out ]; then
		mkfifo /run/rc.out
		for tty in $(consoles); do
			# A console that cannot be opened (no such hardware) would end tee.
			(: >"/dev/$tty") 2>/dev/null && ttys="$ttys /dev/$tty"
		done
		# Opened for reading and writing, tee sees no end of file when a script ends. The log comes last: what is
		# in it has been on the consoles.
		tee $ttys /run/rc.log <>/run/rc.out >/dev/null 2>&1 &
	fi
	exec >/run/rc.out 2>&1
}

# Waits until everything written so far is on the consoles.
drain_console() {
	local tries=50
	echo "$1"
	until grep -qxF "$1" /run/rc.log || [ $((tries -= 1)) = 0 ]; do
		sleep 0.1
	done
}
