# deadline.sh SECONDS FILE: restarts the system then, if FILE, which says that the root is on trial, is still there: nobody has confirmed
# it. What hangs, a start script or systemd's emergency mode, would otherwise never be given up. preinit leaves it behind, so that it is a child
# of the real init, and of none of its services; systemd puts it into init.scope. It ends with the signals of any shutdown, its own included.

PATH=/usr/sbin:/usr/bin:/sbin:/bin

# ends SECONDS COMMAND...: whether the command, which may hang, has ended well by then.
ends() {
	left=$1
	shift
	"$@" &
	while [ "$left" -gt 0 ]; do
		sleep 1
		kill -0 $! || { wait $!; return; }
		left=$((left - 1))
	done
	return 1
}

cd /
# Somebody may end this sleep and mean another; without any sleep nothing is restarted.
read -r now _ </proc/uptime
due=$((${now%.*} + $1))
while [ "${now%.*}" -lt "$due" ]; do
	sleep $((due - ${now%.*})) || sleep 0 || exit
	read -r now _ </proc/uptime || exit
done
[ -e "$2" ] || exit 0
echo "<3>imgbuild: the root on trial has not been confirmed in $1 seconds: restarting" >/dev/kmsg
# In order, where the disk answers and the init does: programs that still run can save what they have. systemd gives a service that does
# not end 90 seconds. Nothing that hangs may hold it up for ever.
ends 10 sync && ends 60 reboot && sleep 100
reboot -f &
sleep 10
for key in s u b; do
	echo $key >/proc/sysrq-trigger
	sleep 1
done
