# A container of the spec, from its bundle: /containers/KIND/ID with config.json for runc and runtime.json for us.

NO_PIVOT=""
# The kernel refuses pivot_root on an initramfs. LinuxKit copies the system to a tmpfs first; runc can do without.
if grep -q '^rootfs / ' /proc/mounts; then
	NO_PIVOT=--no-pivot
fi

# below BUNDLE PATH: a relative path is one in the container.
below() {
	case $2 in
	/*) echo "$2" ;;
	*) echo "$1/rootfs/$2" ;;
	esac
}

# mount_one TYPE SOURCE DESTINATION OPTIONS
mount_one() {
	local type=$1 source=${2:-none} target=$3 options=$4 option
	mkdir -p "$target" || return
	for option in $(echo "$options" | tr ',' ' '); do
		case $option in
		upperdir=* | workdir=*) mkdir -p "${option#*=}" || return ;;
		esac
	done
	case ,$options, in
	# LinuxKit hands these to one mount(2), which then ignores `private`.
	*,remount,*private,*)
		mount --make-private "$target"
		return
		;;
	esac
	set -- "$source" "$target"
	[ -z "$options" ] || set -- -o "$options" "$@"
	[ -z "$type" ] || set -- -t "$type" "$@"
	mount "$@"
}

# prepare BUNDLE: what runtime.json wants before the container is made; what it wants after goes to BUNDLE's hooks file.
prepare() {
	local bundle=$1 plan word a b c d
	plan=/run/rc/plan.${bundle##*/}
	: >"$plan.hooks"
	[ -f "$bundle/runtime.json" ] || return 0
	awk -f /usr/lib/rc/runtime.awk "$bundle/runtime.json" >"$plan" || return
	while IFS=$(printf '\037') read -r word a b c d; do
		case $word in
		mount) mount_one "$a" "$b" "$(below "$bundle" "$c")" "$d" ;;
		mkdir) mkdir -p "$(below "$bundle" "$a")" ;;
		cgroup) mkdir -p "/sys/fs/cgroup/$a" ;;
		*) printf '%s\037%s\037%s\037%s\037%s\n' "$word" "$a" "$b" "$c" "$d" >>"$plan.hooks" ;;
		esac || return
	done <"$plan"
}

# inside PID COMMAND…: in the network namespace of a container.
inside() {
	local pid=$1
	shift
	nsenter -t "$pid" -n "$@"
}

# interface PID NAME ADD PEER IN-ROOT: busybox `ip` cannot name a veth's peer, so the kernel does, and it is renamed.
interface() {
	local pid=$1 name=$2 add=$3 peer=$4 root=$5 before after
	[ -n "$add" ] || [ -z "$peer" ] || add=veth
	case $add,$root in
	,*) ip link set "$name" netns "$pid" ;;
	veth,*)
		before=" $(ls /sys/class/net | tr '\n' ' ')"
		ip link add "$name" type veth || return
		for after in $(ls /sys/class/net); do
			case "$before $name " in
			*" $after "*) ;;
			*) [ -z "$peer" ] || ip link set "$after" name "$peer" ;;
			esac
		done
		ip link set "$name" netns "$pid"
		;;
	*,true) ip link add "$name" type "$add" && ip link set "$name" netns "$pid" ;;
	*) inside "$pid" ip link add "$name" type "$add" ;;
	esac
}

# hook PID: reads the hooks of a container that is made but not started.
hook() {
	local pid=$1 word a b c d
	while IFS=$(printf '\037') read -r word a b c d; do
		case $word in
		interface) interface "$pid" "$a" "$b" "$c" "$d" ;;
		bind) mkdir -p "${b%/*}" && : >"$b" && mount -o bind "/proc/$pid/ns/$a" "$b" ;;
		esac || return
	done
}

# contain ID BUNDLE OUT ERR: run a prepared container to its end, with its exit status. With hooks it has to be made and
# started in two steps, and then nobody is told its status.
contain() {
	local id=$1 bundle=$2 hooks=/run/rc/plan.$1.hooks pid status=0
	if [ ! -s "$hooks" ]; then
		runc run $NO_PIVOT --bundle "$bundle" "$id" </dev/null >"$3" 2>"$4"
		return
	fi
	runc create $NO_PIVOT --bundle "$bundle" --pid-file "$hooks.pid" "$id" </dev/null >"$3" 2>"$4" || return
	pid=$(cat "$hooks.pid")
	if hook "$pid" <"$hooks" && runc start "$id"; then
		while [ -d "/proc/$pid" ]; do
			sleep 0.1
		done
	else
		status=1
	fi
	runc delete -f "$id"
	return $status
}

# run_once KIND ID: prepare and run one bundle, then show what it wrote.
run_once() {
	local kind=$1 id=$2 bundle=/containers/$1/$2 log=/run/log/$1/$1.$2
	echo "$kind $id: from $bundle"
	mkdir -p "${log%/*}" /run/rc
	if prepare "$bundle"; then
		contain "$id" "$bundle" "$log.out.log" "$log.log"
		echo "$kind $id: exit $?"
		cat "$log.out.log" "$log.log"
	else
		echo "$kind $id: error preparing $bundle"
	fi
	umount "$bundle/rootfs" 2>/dev/null
}

# run_service ID: run a prepared service, say when it ends.
run_service() {
	local id=$1 status
	contain "$id" "/containers/services/$id" "/var/log/$id.out.log" "/var/log/$id.log"
	status=$?
	echo "service $id: exit $status"
	[ "$status" = 0 ] || tail -n 20 "/var/log/$id.log"
}
