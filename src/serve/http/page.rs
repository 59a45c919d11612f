//! The listing as a page for people: plain HTML without scripts, which text browsers show as well.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::listing::{Listing, Row};
use crate::base::{printable, printable_line, shown_size};
use crate::output::PLAIN_NAMES;

pub(super) const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>lkit</title>
<style>
body { font-family: sans-serif; line-height: 1.4; margin: 2em auto; max-width: 60em; padding: 0 1em }
td, th { padding: .1em 1em .1em 0; text-align: left; vertical-align: top }
td.size { text-align: right; white-space: nowrap }
pre { background: #f4f4f4; overflow-x: auto; padding: .5em 1em }
</style>
</head>
<body>
";

/// What stays as it is in a path (RFC 3986, section 2.3).
pub(super) const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The page; `base` is the URL of the server as the client wrote it, which ends in `/`.
pub(super) fn page(listing: &Listing, base: &str) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("<h1>A system of lkit</h1>\n");
    page.push_str(&boots(listing, base));
    page.push_str("<h2>Files</h2>\n<table>\n<tr><th>file</th><th>size</th><th>what it is</th></tr>\n");
    listing.0.iter().for_each(|row| page.push_str(&line(row)));
    page.push_str("</table>\n<p>The same as <a href=\"index.json\">JSON</a>.</p>\n</body>\n</html>\n");
    page
}

/// How machines boot over the network; the names of files end a line, so that they can be copied.
fn boots(listing: &Listing, base: &str) -> String {
    let base = escaped(base);
    let named = |end: &str| listing.0.iter().find(|row| row.name.ends_with(end) && row.size.is_ok());
    let mut text = String::new();
    if PLAIN_NAMES[..2].iter().all(|name| listing.0.iter().any(|row| row.name == **name)) {
        text.push_str("<h2>Boot over the network</h2>\n");
        text.push_str(&format!(
            "<p>With iPXE, by BIOS or UEFI (<a href=\"ipxe\">the script</a>):</p>\n<pre>chain {base}ipxe</pre>\n"
        ));
    }
    if let Some(row) = named(".efi") {
        let link = escaped(&link(&row.name));
        text.push_str(&format!(
            "<p>With UEFI's HTTP boot, as its boot URI or the boot file name of DHCP:</p>\n<pre>{base}{link}</pre>\n"
        ));
    }
    if let Some(row) = named(".qcow2") {
        let link = escaped(&link(&row.name));
        text.push_str(&format!(
            "<p>With QEMU, which reads what the guest reads:</p>\n<pre>qemu-system-x86_64 -m 2048 -snapshot \
             -drive format=qcow2,if=virtio,file={base}{link}</pre>\n"
        ));
    }
    text
}

fn line(Row { name, size, what }: &Row) -> String {
    let shown = escaped(&printable(name.as_bytes()).to_string());
    match size {
        Ok(size) => {
            let (link, shown_size) = (escaped(&link(name)), shown_size(*size));
            format!(
                "<tr><td><a href=\"{link}\">{shown}</a></td>\
                 <td class=\"size\" title=\"{size} bytes\">{shown_size}</td><td>{what}</td></tr>\n"
            )
        }
        Err(error) => {
            let error = escaped(&printable_line(error).to_string());
            let what = if what.is_empty() { error } else { format!("{what}: {error}") };
            format!("<tr><td>{shown}</td><td></td><td>{what}</td></tr>\n")
        }
    }
}

fn link(name: &str) -> String {
    utf8_percent_encode(name, IN_PATH).to_string()
}

/// A text as HTML has it, also within quotes.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
        html
    })
}
