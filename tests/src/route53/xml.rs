//! Just enough XML: a tree of elements with text, read and written.

use quick_xml::{Reader, escape::escape, events::Event};

/// An element; without attributes and namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// With a child that holds text.
    #[must_use]
    pub(super) fn field(mut self, name: &str, text: impl ToString) -> Self {
        self.children.push(Self {
            name: name.into(),
            text: text.to_string(),
            children: Vec::new(),
        });

        self
    }

    /// The same, if there is any.
    #[must_use]
    pub(super) fn maybe(self, name: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.field(name, text),
            None => self,
        }
    }

    #[must_use]
    pub(super) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    #[must_use]
    pub(super) fn list(self, name: &str, children: impl IntoIterator<Item = Element>) -> Self {
        let list = Self {
            name: name.into(),
            text: String::new(),
            children: children.into_iter().collect(),
        };

        self.child(list)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        self.get(name).map(|child| child.text.clone())
    }

    pub(super) fn all<'a>(&'a self, list: &str) -> impl Iterator<Item = &'a Element> + use<'a> {
        self.get(list).into_iter().flat_map(|list| &list.children)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => open.push(Self::new(&String::from_utf8_lossy(
                    start.local_name().as_ref(),
                ))),
                Event::Empty(start) => {
                    let element = Self::new(&String::from_utf8_lossy(start.local_name().as_ref()));
                    open.last_mut().ok_or("no parent")?.children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop().ok_or("unbalanced")?;
                    open.last_mut().ok_or("unbalanced")?.children.push(element);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    open.last_mut().ok_or("no parent")?.text += &text;
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| error.to_string())?;
                    let text = quick_xml::escape::unescape(&format!("&{name};"))
                        .map_err(|error| error.to_string())?
                        .into_owned();
                    open.last_mut().ok_or("no parent")?.text += &text;
                }
                Event::Eof => break,
                _ => {}
            }
        }

        let root = open.pop().filter(|_| open.is_empty()).ok_or("unbalanced")?;
        root.children
            .into_iter()
            .next()
            .ok_or_else(|| "no element".into())
    }

    pub(super) fn write(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write_into(
            &mut text,
            " xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"",
        );

        text
    }

    fn write_into(&self, text: &mut String, attributes: &str) {
        *text += &format!("<{}{attributes}>{}", self.name, escape(&self.text));
        for child in &self.children {
            child.write_into(text, "");
        }
        *text += &format!("</{}>", self.name);
    }
}

#[test]
fn written_xml_is_read_back() {
    let element = Element::new("A")
        .field("B", "x & <y> \"z\"")
        .list("C", [Element::new("D").field("E", 1)]);
    assert_eq!(Element::parse(&element.write()).unwrap(), element);
}
