//! URLs in what a user types: whether a text is a URL or a file name, and how messages show it without its secrets.

/// Whether a text is a URL that lkit fetches, by its scheme.
pub fn is_url(text: &str) -> bool {
    let has = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    has("http://") || has("https://")
}

/// A URL for messages: without its password, and without the query that may sign it. Other texts stay as they are, but
/// for what stands before an `@` where a host could be.
pub fn shown_url(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("***@{host}"));
    let query = path.find(['?', '#']).filter(|_| !scheme.is_empty());
    let path = query.map_or_else(|| path.to_owned(), |at| format!("{}?***", &path[..at]));
    format!("{scheme}{host}{path}")
}

/// The last part of a URL's path; empty when it has none.
pub fn url_file_name(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.rsplit_once('/').map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_queries_are_not_shown() {
        let rows = [
            ("https://host/a/b.yml", "https://host/a/b.yml"),
            ("https://user:pw@host:8080/a", "https://***@host:8080/a"),
            ("HTTP://user:p@w@host", "HTTP://***@host"),
            ("https://token@host?x=y", "https://***@host?***"),
            ("https://host/a?sig=s#f", "https://host/a?***"),
            ("https://host/a#access_token=s", "https://host/a?***"),
            ("https://host\\@other/a@b", "https://host\\@other/a@b"),
            ("user:pw@host:5000", "***@host:5000"),
            ("dir/a@b?c.yml", "dir/a@b?c.yml"),
        ];
        for (url, shown) in rows {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn a_url_has_a_scheme_that_is_fetched() {
        for (text, is) in
            [("http://x", true), ("HTTPS://x", true), ("ftp://x", false), ("http:/x", false), ("é", false)]
        {
            assert_eq!(is_url(text), is, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_url_is_the_end_of_its_path() {
        let rows =
            [("http://h/x/y.yml?a=/b/c", "y.yml"), ("http://u:p@h", ""), ("http://h/", ""), ("http://h/a#b/c", "a")];
        for (url, name) in rows {
            assert_eq!(url_file_name(url), name, "{url}");
        }
    }
}
