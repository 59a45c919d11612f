//! Hostile YAML, for specs and for labels alike.

/// A name and a text, each smaller than 8 MiB, which is the largest image config. None is a spec or a label.
pub fn texts() -> Vec<(&'static str, String)> {
    let mib = 1 << 20;
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let laughs = many(30, &|i| match i {
        0 => "a0: &a0 [lol,lol,lol]\n".to_owned(),
        _ => format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(",")),
    });
    let merges = many(30, &|i| match i {
        0 => "a0: &a0 {k: v}\n".to_owned(),
        _ => format!("a{i}: &a{i} {{b{i}: x, <<: [{}]}}\n", vec![format!("*a{}", i - 1); 9].join(",")),
    });
    let deeper = many(90, &|i| match i {
        0 => "- &a0 [x]\n".to_owned(),
        _ => format!("- &a{i} [[[*a{}]]]\n", i - 1),
    });
    vec![
        ("lists in lists", "[".repeat(7 * mib)),
        ("maps in maps", "{a: ".repeat(mib)),
        ("block lists in block lists", "- ".repeat(3 * mib)),
        ("block maps in block maps", many(3000, &|i| format!("{}a:\n", " ".repeat(i)))),
        ("keys in keys", "? ".repeat(3 * mib)),
        ("aliases of aliases", laughs),
        ("merge keys of merge keys", merges),
        ("aliases that nest deeper", deeper),
        ("a long text repeated", format!("a: &a '{}'\nb: [{}]", "x".repeat(mib), vec!["*a"; 90_000].join(","))),
        ("anchors", many(90_000, &|i| format!("- &a{i} x\n"))),
        ("an anchor that holds itself", "a: &a [*a]".to_owned()),
        ("items", "- x\n".repeat(mib)),
        ("items on a line", format!("[{}]", "x,".repeat(mib))),
        ("unknown keys", many(40_000, &|i| format!("key{i}: 1\n"))),
        ("one key again and again", "env: []\n".repeat(40_000)),
        ("numbers as keys", many(40_000, &|i| format!("{i}: 1\n"))),
        ("lists as keys", "? [a]\n: b\n".repeat(20_000)),
        ("a long key", format!("{}: 1", "k".repeat(7 * mib))),
        ("a long quoted key", format!("? \"{}\"\n: 1", "k".repeat(7 * mib))),
        ("long keys", many(700, &|i| format!("? {}{i}\n: 1\n", "k".repeat(9_000)))),
        ("documents", "---\n".repeat(mib)),
        ("a text that does not end", format!("a: \"{}", "x".repeat(7 * mib))),
        ("a list that does not end", format!("a: [{}", "x, ".repeat(30_000))),
        ("escapes", format!("a: \"{}\"", "\\U0001F600".repeat(700_000))),
        ("a bad escape at the end", format!("a: \"{}\\q\"", "x".repeat(7 * mib))),
        ("directives", format!("{}--- x", "%TAG !a! tag:a,2000:\n".repeat(300_000))),
        ("tags", "- !!str x\n".repeat(200_000)),
        ("one blank line after the other", format!("a: |\n{}b", "\n".repeat(7 * mib))),
        ("comments", format!("{}a: 1", "# c\n".repeat(mib))),
        ("carriage returns", "\r".repeat(7 * mib) + "a: 1"),
        ("NUL", "env: [\"a\0b\"]".to_owned()),
        ("NUL by escape", "command: [\"a\\0b\"]".to_owned()),
        ("a byte order mark inside", "env:\n- a\n\u{feff}- b: [".to_owned()),
        ("digits", format!("uid: {}", "9".repeat(7 * mib))),
        ("an exponent", "oomScoreAdj: 1e999999999999".to_owned()),
        ("a hexadecimal number", format!("uid: 0x{}", "f".repeat(mib))),
        ("a number that is too large", "uid: 18446744073709551616".to_owned()),
        ("unknown capabilities", format!("capabilities: [{}]", "CAP_SYS_ADMIM, ".repeat(90_000))),
        ("long capabilities", format!("capabilities: [{}]", format!("{}, ", "C".repeat(60_000)).repeat(100))),
        ("bad limits", format!("rlimits: [{}]", "'nofil,1,2', ".repeat(90_000))),
        ("a bind of colons", format!("binds: ['{}']", ":".repeat(7 * mib))),
        ("a limit of commas", format!("rlimits: ['{}']", ",".repeat(7 * mib))),
        ("bad base64", format!("env: [!!binary '{}*']", "QUFB".repeat(mib))),
    ]
}
