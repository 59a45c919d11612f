//! YAML text → tree: the events of the parser put together, with anchors and merge keys resolved.
//!
//! # Invariants
//! Time and memory are bounded whatever the text: nesting, the number of values and the bytes of text are counted with
//! every alias in full, and aliases share what they stand for.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag, options};

use super::node::{Key, Node, Pairs, Value, Weight};
use super::source_text::small;
use super::syntax::mistake;
use super::{Place, Problem, scalar};

/// Levels of a tree. A spec has ten.
const DEEPEST: usize = 100;
/// Values of a tree, aliases counted in full. Large specs have a few thousand.
const MOST_NODES: usize = 100_000;
/// Bytes of all texts, aliases counted in full: twice the largest file.
const MOST_BYTES: usize = 32 << 20;
/// The namespace of YAML's own tags.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// What a text holds: its first document, and problems that did not stop the reading.
pub(super) struct Read {
    /// The document; `None` when there is none.
    pub root: Option<Rc<Node>>,
    /// Duplicate keys and the like.
    pub problems: Vec<Problem>,
}

/// Reads one text.
///
/// # Errors
/// When it is not YAML or beyond the bounds; the place is where reading stopped.
pub(super) fn read(text: &str, file: u16) -> Result<Read, Problem> {
    let options = options! {
        emit_comments: false, flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST,
        // As libyaml and with it LinuxKit: a block scalar that the text ends in has no line end of its own.
        block_scalar_eof_without_line_feed: true,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        text,
        file,
        parser,
        anchors: HashMap::new(),
        brackets: Vec::new(),
        spent: Weight::default(),
        problems: Vec::new(),
    };
    let root = reader.documents()?;
    Ok(Read { root, problems: reader.problems })
}

struct Reader<'a> {
    text: &'a str,
    file: u16,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
    /// Brackets that are open where the parser is, outermost first.
    brackets: Vec<Place>,
    spent: Weight,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Result<Option<Rc<Node>>, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) => {
                    let place = self.place(span);
                    let (event, span) = self.next()?;
                    let node = self.node(event, self.place(span), 1)?;
                    if root.is_none() {
                        root = Some(node);
                    } else if node.value != Value::Null {
                        let problem = Problem::new(place, "a second YAML document begins here");
                        return Err(problem.hint("put the second document into a file of its own and name both files"));
                    }
                    self.anchors.clear();
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(mistake(&error, self.text, self.file, self.brackets.last().copied())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, mut place: Place, depth: usize) -> Result<Rc<Node>, Problem> {
        if depth > DEEPEST {
            return Err(Problem::new(place, format!("values are nested more than {DEEPEST} deep")));
        }
        let (value, anchor) = match event {
            Event::Alias(id) => return self.alias(id, place, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let value = tagged(text.into_owned(), style, tag.as_deref());
                (value.map_err(|message| Problem::new(place, message))?, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let (items, end) = self.between_brackets(style, place, |reader| reader.list(depth))?;
                place = reaching(place, end.or_else(|| items.first().map(|item| item.place)));
                (Value::List(items), anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let (entries, end) = self.between_brackets(style, place, |reader| reader.map(depth))?;
                place = reaching(place, end.or_else(|| entries.first().map(|(key, _)| key.place)));
                (Value::Map(entries), anchor)
            }
            _ => return Err(Problem::new(place, "not valid YAML: a value is missing")),
        };
        let (own, weight) = weigh(&value);
        self.spend(own, place)?;
        let node = Rc::new(Node { place, value, weight });
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, place: Place, depth: usize) -> Result<Rc<Node>, Problem> {
        let target = self.anchors.get(&id).map(Rc::clone);
        let target = target.ok_or_else(|| Problem::new(place, "an anchor cannot hold itself"))?;
        if depth + target.weight.height > DEEPEST {
            return Err(Problem::new(place, format!("values are nested more than {DEEPEST} deep")));
        }
        self.spend(target.weight, place)?;
        Ok(target)
    }

    fn spend(&mut self, weight: Weight, place: Place) -> Result<(), Problem> {
        self.spent.add(weight);
        let (what, most) = match self.spent {
            Weight { nodes, .. } if nodes > MOST_NODES => ("values", MOST_NODES),
            Weight { bytes, .. } if bytes > MOST_BYTES => ("bytes", MOST_BYTES),
            _ => return Ok(()),
        };
        Err(Problem::new(place, format!("the spec has more than {most} {what} when aliases are written out")))
    }

    /// Reads a collection; with the place of its closing bracket, where it has one.
    fn between_brackets<T>(
        &mut self,
        style: StructureStyle,
        open: Place,
        read: impl FnOnce(&mut Self) -> Result<(T, Place), Problem>,
    ) -> Result<(T, Option<Place>), Problem> {
        if style == StructureStyle::Block {
            return Ok((read(self)?.0, None));
        }
        self.brackets.push(open);
        let (parts, end) = read(self)?;
        self.brackets.pop();
        Ok((parts, Some(end)))
    }

    /// The items up to the end of a list, and that end.
    fn list(&mut self, depth: usize) -> Result<(Vec<Rc<Node>>, Place), Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let place = self.place(span);
            if event == Event::SequenceEnd {
                return Ok((items, place));
            }
            // An item that is not written is where its dash is.
            let column = if is_unwritten(&event, span) { place.column.saturating_sub(1).max(1) } else { place.column };
            items.push(self.node(event, Place { column, ..place }, depth + 1)?);
        }
    }

    /// The entries up to the end of a mapping, and that end.
    fn map(&mut self, depth: usize) -> Result<(Pairs, Place), Problem> {
        let mut entries = Entries::default();
        let mut merges = Vec::new();
        let end = loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break self.place(span);
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text == "<<");
            let key = self.node(event, self.place(span), depth + 1)?;
            let (event, span) = self.next()?;
            // A value that is not written is where its key is.
            let place = if is_unwritten(&event, span) { key.place } else { self.place(span) };
            let value = self.node(event, place, depth + 1)?;
            match key.text() {
                Some(_) if merge => merges.push(value),
                Some(text) => self.insert(&mut entries, Key { text: text.to_owned(), place: key.place }, value),
                None => self.problems.push(not_a_key(&key)),
            }
        };
        for merge in merges {
            self.merge(&mut entries, &merge);
        }
        Ok((entries.list, end))
    }

    fn insert(&mut self, entries: &mut Entries, key: Key, value: Rc<Node>) {
        if let Some(first) = entries.seen.get(&key.text) {
            let message = format!("key `{}` is set twice; the first is on line {}", key.text, first.line);
            self.problems.push(Problem::new(key.place, message));
        } else {
            entries.push(key, value);
        }
    }

    /// A merge key gives what the mapping itself does not say; of several mappings the first wins.
    fn merge(&mut self, entries: &mut Entries, value: &Rc<Node>) {
        let single = std::slice::from_ref(value);
        let maps = if matches!(value.value, Value::List(_)) { value.items() } else { single };
        for map in maps {
            if !matches!(map.value, Value::Map(_)) {
                let message = format!("a merge key needs a mapping or a list of mappings, found {}", map.described());
                self.problems.push(Problem::new(map.place, message));
            }
            for (key, value) in map.entries() {
                if !entries.seen.contains_key(&key.text) {
                    entries.push(key.clone(), Rc::clone(value));
                }
            }
        }
    }

    fn place(&self, span: Span) -> Place {
        let (start, end) = (span.start, span.end);
        let length = if start.line() == end.line() {
            small(end.col().saturating_sub(start.col()))
        } else {
            Place::SEVERAL_LINES
        };
        Place { file: self.file, line: small(start.line()), column: small(start.col() + 1), length: length.max(1) }
    }
}

/// The entries of a mapping, and where each key was first.
#[derive(Default)]
struct Entries {
    list: Pairs,
    seen: HashMap<String, Place>,
}

impl Entries {
    fn push(&mut self, key: Key, value: Rc<Node>) {
        self.seen.insert(key.text.clone(), key.place);
        self.list.push((key, value));
    }
}

/// A place up to the end of a part, as far as that is on the same line.
fn reaching(place: Place, part: Option<Place>) -> Place {
    let part = part.filter(|part| part.line == place.line && part.column >= place.column);
    let length = part.map_or(place.length, |part| part.column.saturating_add(part.length) - place.column);
    Place { length, ..place }
}

/// Whether there is nothing in the text for a scalar.
fn is_unwritten(event: &Event<'_>, span: Span) -> bool {
    matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..)) && span.start.index() == span.end.index()
}

fn not_a_key(key: &Node) -> Problem {
    let problem = Problem::new(key.place, format!("a key is a string, found {}", key.described()));
    match &key.value {
        Value::Integer(_, text) | Value::Float(_, text) => problem.hint(format!("write `\"{text}\"`")),
        Value::Bool(value) => problem.hint(format!("write `\"{value}\"`")),
        _ => problem,
    }
}

/// What a value adds by itself, and what it weighs with its parts.
fn weigh(value: &Value) -> (Weight, Weight) {
    let mut own = Weight { nodes: 1, bytes: 0, height: 0 };
    let mut parts = Weight::default();
    match value {
        Value::Text(text) => own.bytes = text.len(),
        Value::Bytes(bytes) => own.bytes = bytes.len(),
        Value::List(items) => items.iter().for_each(|item| parts.add(item.weight)),
        Value::Map(entries) => {
            own.bytes = entries.iter().map(|(key, _)| key.text.len()).sum();
            entries.iter().for_each(|(_, node)| parts.add(node.weight));
        }
        _ => {}
    }
    let mut all = own;
    all.add(parts);
    all.height = parts.height + 1;
    (own, all)
}

/// The value of a scalar with its tag; tags other than YAML's own make it text.
fn tagged(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { scalar::resolve(&text) } else { Value::Text(text) });
    };
    let core = tag.suffix_in_namespace(CORE_TAGS);
    let value = match core.as_deref() {
        Some("null" | "bool" | "int" | "float") => scalar::resolve(&text),
        Some("binary") => return binary(&text),
        _ => return Ok(Value::Text(text)),
    };
    let fits = match core.as_deref() {
        Some("null") => value == Value::Null,
        Some("bool") => matches!(value, Value::Bool(_)),
        Some("int") => matches!(value, Value::Integer(..)),
        _ => matches!(value, Value::Integer(..) | Value::Float(..)),
    };
    if fits { Ok(value) } else { Err(format!("`{text}` is not what its tag says")) }
}

fn binary(text: &str) -> Result<Value, String> {
    use base64::Engine as _;
    let compact: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(compact);
    let bytes = bytes.map_err(|error| format!("a `!!binary` value is not base64: {error}").to_lowercase())?;
    Ok(String::from_utf8(bytes).map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::List(items) => format!("[{}]", items.iter().map(|n| shown(n)).collect::<Vec<_>>().join(",")),
            Value::Map(entries) => {
                let rows: Vec<_> = entries.iter().map(|(k, v)| format!("{}:{}", k.text, shown(v))).collect();
                format!("{{{}}}", rows.join(","))
            }
            Value::Text(text) => format!("'{text}'"),
            Value::Integer(value, _) => value.to_string(),
            value => format!("{value:?}"),
        }
    }

    fn tree(text: &str) -> String {
        let read = read(text, 0).unwrap();
        assert_eq!(read.problems, []);
        read.root.map_or_else(|| "-".to_owned(), |root| shown(&root))
    }

    fn problems(text: &str) -> Vec<(u32, u32, String)> {
        let problems = match read(text, 0) {
            Ok(read) => read.problems,
            Err(problem) => vec![problem],
        };
        problems.into_iter().map(|p| (p.place.line, p.place.column, p.message)).collect()
    }

    #[test]
    fn a_text_becomes_a_tree() {
        assert_eq!(tree("a: [1, '2', x]\nb:\n  c: ~\n"), "{a:[1,'2','x'],b:{c:Null}}");
        assert_eq!(tree("# nothing\n"), "-");
        assert_eq!(
            tree("a: !!str 1\nb: !x 2\nc: !!binary aGk=\nd: !!binary /w=="),
            "{a:'1',b:'2',c:'hi',d:Bytes([255])}"
        );
        assert_eq!(tree("---\na: 1\n---\n"), "{a:1}");
        assert_eq!((tree("a: |\n  b").as_str(), tree("a: |\n  b\n").as_str()), ("{a:'b'}", "{a:'b\n'}"));
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        assert_eq!(tree("a: &x [1]\nb: *x\n"), "{a:[1],b:[1]}");
        assert_eq!(tree("- &x {a: 1, b: 2}\n- {b: 3, <<: *x}\n"), "[{a:1,b:2},{b:3,a:1}]");
        assert_eq!(tree("- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y]}\n"), "[{a:1},{a:2,b:2},{a:1,b:2}]");
    }

    #[test]
    fn mistakes_that_stop_nothing_are_all_told() {
        let text = "a: 1\na: 2\n1: x\nb: {<<: 5}\n";
        let expected = [
            (2, 1, "key `a` is set twice; the first is on line 1".to_owned()),
            (3, 1, "a key is a string, found the integer `1`".to_owned()),
            (4, 9, "a merge key needs a mapping or a list of mappings, found the integer `5`".to_owned()),
        ];
        assert_eq!(problems(text), expected);
    }

    #[test]
    fn what_is_no_yaml_is_refused_where_it_stops() {
        let rows = [
            ("a: b\n---\nc: d\n", 2, 1, "a second YAML document begins here"),
            ("kernel:\n\timage: x\n", 2, 1, "a tab cannot indent YAML; use spaces"),
            ("a: [1\n", 1, 4, "the `[` that begins here is never closed"),
            ("a: *x\n", 1, 4, "there is no anchor `&x` above this `*x`"),
            ("a: &x [*x]\n", 1, 8, "an anchor cannot hold itself"),
            ("a: !!int x\n", 1, 10, "`x` is not what its tag says"),
            ("a: !!binary '*'\n", 1, 13, "a `!!binary` value is not base64"),
        ];
        for (text, line, column, message) in rows {
            let found = problems(text);
            let [(l, c, m)] = found.as_slice() else { panic!("{text:?}: {found:?}") };
            assert!((*l, *c) == (line, column) && m.starts_with(message), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn hostile_texts_end_soon() {
        let laughs = |n: usize| {
            let rows = (1..n).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(",")));
            "a0: &a0 [x]\n".to_owned() + &rows.collect::<String>()
        };
        let nested =
            |n: usize| (1..n).fold("- &a0 [x]\n".to_owned(), |t, i| t + &format!("- &a{i} [[[*a{}]]]\n", i - 1));
        let long = format!("- &a {}\n- [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(","));
        let flat = format!("[{}]", "1,".repeat(300_000));
        for text in
            [laughs(9), nested(60), long, flat, "[".repeat(1 << 20), "- ".repeat(1 << 20), "{a: ".repeat(1 << 20)]
        {
            assert_eq!(problems(&text).len(), 1, "{}", &text[..30]);
        }
    }
}
