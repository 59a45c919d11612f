# Turns a bundle's runtime.json into lines of words that bundle.sh runs, fields separated by the unit separator:
#   mount TYPE SOURCE DESTINATION OPTION,OPTION…   mkdir PATH   cgroup PATH
#   interface NAME ADD PEER IN-ROOT                bind NAMESPACE PATH
# An unreadable file gives exit status 1.

function fail() { failed = 1; exit 1 }

function spaces() { match(text, /^[ \t\r\n]*/); text = substr(text, RLENGTH + 1) }

function next_is(c) { spaces(); return substr(text, 1, 1) == c }

function take(c) { if (!next_is(c)) fail(); text = substr(text, 2) }

function string(    s) {
	spaces()
	if (!match(text, /^"([^"\\]|\\.)*"/)) fail()
	s = substr(text, 2, RLENGTH - 2)
	text = substr(text, RLENGTH + 1)
	gsub(/\\"/, "\"", s); gsub(/\\\//, "/", s); gsub(/\\u0026/, "\\&", s); gsub(/\\u003c/, "<", s)
	gsub(/\\u003e/, ">", s); gsub(/\\\\/, "\\", s)
	return s
}

# Reads one value; leaves are stored as v["mounts.0.type"], lengths of arrays as n["mounts"].
function value(path,    i, key) {
	if (next_is("{")) {
		take("{")
		while (!next_is("}")) {
			key = string(); take(":"); value(path == "" ? key : path "." key)
			if (next_is(",")) take(",")
		}
		take("}")
	} else if (next_is("[")) {
		take("[")
		for (i = 0; !next_is("]"); i++) {
			value(path "." i)
			if (next_is(",")) take(",")
		}
		take("]")
		n[path] = i
	} else if (next_is("\"")) {
		v[path] = string()
	} else if (match(text, /^[-+.a-zA-Z0-9]+/)) {
		v[path] = substr(text, 1, RLENGTH)
		text = substr(text, RLENGTH + 1)
	} else fail()
}

function joined(path,    i, s) {
	for (i = 0; i < n[path]; i++) s = s (i ? "," : "") v[path "." i]
	return s
}

{ text = text $0 "\n" }

END {
	if (failed) exit 1
	OFS = "\037"
	value("")
	spaces()
	if (text != "") fail()
	for (i = 0; i < n["mounts"]; i++) {
		m = "mounts." i
		print "mount", v[m ".type"], v[m ".source"], v[m ".destination"], joined(m ".options")
	}
	for (i = 0; i < n["mkdir"]; i++) print "mkdir", v["mkdir." i]
	for (i = 0; i < n["cgroups"]; i++) print "cgroup", v["cgroups." i]
	for (i = 0; i < n["interfaces"]; i++) {
		m = "interfaces." i
		print "interface", v[m ".name"], v[m ".add"], v[m ".peer"], v[m ".createInRoot"]
	}
	split("cgroup ipc mnt net pid user uts", kinds, " ")
	for (i = 1; i in kinds; i++) if (v["bindNS." kinds[i]] != "") print "bind", kinds[i], v["bindNS." kinds[i]]
}
