//! What AWS answers: small documents of XML, bounded before they are parsed.

use roxmltree::{Document, Node};

/// An error as S3 and EC2 write it: a code and a message, wherever they stand.
pub(super) struct Complaint {
    /// Such as `NoSuchBucket`; empty when the document has none.
    pub code: String,
    pub message: String,
    /// Where the bucket is, when the error is about that.
    pub region: Option<String>,
}

/// What a path of names leads to, from the root's children on; the first of each name.
pub(super) fn text(document: &str, path: &[&str]) -> Option<String> {
    let document = Document::parse(document).ok()?;
    let child = |node: Node<'_, '_>, name: &str| {
        node.children().find(|child| child.tag_name().name() == name).map(|child| child.id())
    };
    let mut node = document.root_element();
    for name in path {
        node = document.get_node(child(node, name)?)?;
    }
    Some(node.text().unwrap_or_default().trim().to_owned())
}

/// What `make` makes of each child of the root with this name, which it is given the texts of by their names; nothing when the
/// document is none, or it makes nothing of one.
pub(super) fn each<T>(
    document: &str,
    name: &str,
    make: impl Fn(&dyn Fn(&str) -> Option<String>) -> Option<T>,
) -> Option<Vec<T>> {
    let document = Document::parse(document).ok()?;
    let items = document.root_element().children().filter(|child| child.tag_name().name() == name);
    let made = items.map(|item| {
        make(&|name| {
            let child = item.children().find(|child| child.tag_name().name() == name)?;
            Some(child.text().unwrap_or_default().trim().to_owned())
        })
    });
    made.collect()
}

/// The name of the root.
pub(super) fn root(document: &str) -> Option<String> {
    Some(Document::parse(document).ok()?.root_element().tag_name().name().to_owned())
}

/// What an error says.
pub(super) fn complaint(document: &str) -> Complaint {
    let parsed = Document::parse(document).ok();
    let of = |name: &str| {
        let found = parsed.as_ref()?.descendants().find(|node| node.tag_name().name() == name)?;
        found.text().map(|text| text.trim().to_owned())
    };
    Complaint { code: of("Code").unwrap_or_default(), message: of("Message").unwrap_or_default(), region: of("Region") }
}

/// A text as the content of an element.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_texts_and_errors_are_found_anywhere() {
        let document = "<a xmlns='urn:x'><b><c> 1 </c></b><b><c>2</c></b><d/></a>";
        assert_eq!(text(document, &["b", "c"]).as_deref(), Some("1"));
        assert_eq!(text(document, &["d"]).as_deref(), Some(""));
        assert_eq!((text(document, &["c"]), text("<a", &[]), root(document)), (None, None, Some("a".to_owned())));
        let texts = |document: &str| each(document, "b", |of| of("c"));
        assert_eq!(texts(document), Some(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!((texts("<a><b/></a>"), texts("<a/>"), texts("<a")), (None, Some(Vec::new()), None));
        let ec2 = complaint("<Response><Errors><Error><Code>X</Code><Message>no</Message></Error></Errors></Response>");
        assert_eq!((ec2.code.as_str(), ec2.message.as_str(), ec2.region), ("X", "no", None));
        assert_eq!(complaint("gateway").code, "");
    }

    /// A document of little that expands into much, and one that is deep.
    #[test]
    fn hostile_documents_are_none() {
        let entities = "<!DOCTYPE a [<!ENTITY b 'xxxxxxxxxx'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><a>&c;</a>";
        assert_eq!(root(entities), None);
        assert_eq!(text(&"<a>".repeat(100_000), &[]), None);
    }
}
