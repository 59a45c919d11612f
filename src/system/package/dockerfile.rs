//! What a Dockerfile builds on: the images that its `FROM` lines name.
//!
//! # Format
//! Dockerfile reference: parser directives, line continuation, `ARG` before the first `FROM`, here-documents.

use std::collections::{HashMap, HashSet};

use super::arguments::Pairs;

/// Longest name of an image, or value of an argument, in bytes. Arguments may be made of others again and again.
const LONGEST: usize = 4096;

/// An image that a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BaseImage {
    /// Its name as the builder sees it.
    pub image: String,
    /// What `--platform` says, where it is written.
    pub platform: Option<String>,
}

/// The images of a Dockerfile, each once; `known` are arguments that need no `ARG`, `given` those that take the place of a
/// default. A name that comes to nothing is left out.
pub(super) fn images(text: &str, known: &[(&str, &str)], given: &Pairs) -> Vec<BaseImage> {
    let mut values: HashMap<String, String> =
        known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (mut stages, mut found) = (HashSet::from(["scratch".to_owned()]), Vec::new());
    let mut seen = HashSet::new();
    for line in instructions(text) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&*line, ""));
        if name.eq_ignore_ascii_case("ARG") && found.is_empty() && stages.len() == 1 {
            for (name, default) in rest.split_whitespace().filter_map(|word| word.split_once('=')) {
                let default = substituted(default.trim_matches(['"', '\'']), &values);
                values.insert(name.to_owned(), given.get(name).cloned().unwrap_or(default));
            }
        } else if name.eq_ignore_ascii_case("FROM") {
            let (flags, words): (Vec<&str>, Vec<&str>) =
                rest.split_whitespace().partition(|word| word.starts_with("--"));
            let image = substituted(words.first().unwrap_or(&""), &values);
            let platform = flags.iter().find_map(|flag| flag.strip_prefix("--platform="));
            let from = BaseImage { image, platform: platform.map(|text| substituted(text, &values)) };
            if !from.image.is_empty() && !stages.contains(&from.image.to_lowercase()) && seen.insert(from.clone()) {
                found.push(from);
            }
            if let [_, as_, stage] = words[..]
                && as_.eq_ignore_ascii_case("AS")
            {
                stages.insert(stage.to_lowercase());
            }
        }
    }
    found
}

/// The instructions, each in one line; comments and what here-documents hold are left out.
fn instructions(text: &str) -> Vec<String> {
    let is_directive = |line: &&str| line.starts_with('#') && line.contains('=');
    let directives = text.lines().map(str::trim).take_while(is_directive);
    let mut names = directives.filter_map(|line| line[1..].split_once('='));
    let is_backtick = names.any(|(name, value)| name.trim().eq_ignore_ascii_case("escape") && value.trim() == "`");
    let escape = if is_backtick { '`' } else { '\\' };
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut rest = text.lines();
    while let Some(next) = rest.next() {
        let next = next.trim();
        if next.starts_with('#') || (next.is_empty() && !line.is_empty()) {
            continue;
        }
        match next.strip_suffix(escape) {
            Some(part) => line.extend([part, " "]),
            None => {
                line.push_str(next);
                let ends = here_documents(&line);
                for end in ends {
                    // One that is not ended takes all that follows.
                    rest.by_ref().find(|text| text.trim() == end);
                }
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    lines.push(line);
    lines.retain(|line| !line.is_empty());
    lines
}

/// The words that end the here-documents of an instruction.
fn here_documents(line: &str) -> Vec<String> {
    let name = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(&*name, "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    let words = line.split_whitespace().filter_map(|word| word.split_once("<<").map(|(_, rest)| rest));
    let words = words.map(|word| word.trim_start_matches('-').trim_matches(['"', '\'']));
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    words.filter(is_word).map(str::to_owned).collect()
}

/// A text with `$NAME`, `${NAME}`, `${NAME:-WORD}` and `${NAME:+WORD}` replaced; nothing where that is longer than any name.
fn substituted(text: &str, values: &HashMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if out.len() > LONGEST {
            return String::new();
        }
        if let Some((inner, behind)) = behind.strip_prefix('{').and_then(|behind| behind.split_once('}')) {
            let (name, word) = inner.split_once(':').unwrap_or((inner, ""));
            let value = values.get(name).map_or("", String::as_str);
            out.push_str(match (word.strip_prefix('-'), word.strip_prefix('+')) {
                (Some(word), _) if value.is_empty() => word,
                (_, Some(word)) => {
                    if value.is_empty() {
                        ""
                    } else {
                        word
                    }
                }
                _ => value,
            });
            rest = behind;
        } else {
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
            out.push_str(values.get(&behind[..end]).map_or("", String::as_str));
            rest = &behind[end..];
        }
    }
    if out.len() + rest.len() > LONGEST { String::new() } else { out + rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let given = Pairs::from([("TAG".to_owned(), "given".to_owned())]);
        let shown =
            |from: BaseImage| from.platform.map_or(from.image.clone(), |platform| format!("{platform} {}", from.image));
        images(text, &[("TARGETARCH", "arm64"), ("BUILDPLATFORM", "linux/amd64")], &given)
            .into_iter()
            .map(shown)
            .collect()
    }

    #[test]
    fn arguments_that_are_made_of_each_other_come_to_nothing_when_they_are_long() {
        let doubled: String = (0..40).map(|at| format!("ARG A{}=$A{at}$A{at}\n", at + 1)).collect();
        let text = format!("ARG A0=x\n{doubled}FROM a$A5\nFROM b$A40\nFROM {}\n", "c".repeat(5000));
        assert_eq!(names(&text), [format!("a{}", "x".repeat(32)), "b".to_owned()]);
    }

    #[test]
    fn the_images_of_all_stages_are_found_and_stages_are_none() {
        let text = "# syntax=docker/dockerfile:1\n\nARG TAG=default OTHER=\"x\"\nARG IMAGE=acme/a:${TAG}\n\
                    FROM $IMAGE AS one\nARG TAG=late\nfrom --platform=$BUILDPLATFORM acme/b:$OTHER as Two\n\
                    FROM one\nFROM two\nFROM scratch\nFROM acme/c-${TARGETARCH}:${NO:-1}${TAG:+-x}\nFROM acme/a:given\nFROM $NO\n";
        let expected = ["acme/a:given", "linux/amd64 acme/b:x", "acme/c-arm64:1-x"];
        assert_eq!(names(text), expected);
    }

    #[test]
    fn continued_lines_comments_and_here_documents_are_read_as_docker_reads_them() {
        let text = "FROM \\\n  # a comment\n\n  acme/a\nRUN <<EOF cat\nFROM acme/no\nEOF\nRUN x \\\n FROM acme/no\n\
                    COPY <<-'A' <<\"B\" /x\nFROM acme/no\nA\nFROM acme/no\nB\n# FROM acme/no\nRUN cat <<< y\nFROM acme/b";
        assert_eq!(names(text), ["acme/a", "acme/b"]);
        assert_eq!(names("# escape=`\nFROM `\nacme/a\nRUN \\\nFROM acme/b"), ["acme/a", "acme/b"]);
        for text in ["", "FROM", "FROM \\", "RUN <<X\nFROM a", "ARG", "FROM ${", "FROM ${A:?x}", "FROM --platform=a"] {
            assert!(names(text).len() <= 1, "{text}");
        }
    }
}
