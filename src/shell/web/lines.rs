//! Texts of lines, as the JavaScript beside these sources takes them.

/// A text of lines. A line feed would begin another line, and no header can hold one.
#[derive(Debug)]
pub struct Lines(String);

impl Lines {
    /// A text that begins with this line; `None` if it is more than a line.
    pub fn beginning(line: &str) -> Option<Self> {
        let mut text = String::with_capacity(ROOM);
        push(&mut text, line)?;
        Some(Self(text))
    }

    /// A text that begins with a line of names, each with a comma at its end.
    pub fn beginning_with_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        let mut lines = Self(String::with_capacity(ROOM));
        lines.push_names(names)?;
        Some(lines)
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) -> Option<()> {
        self.0.push('\n');
        push(&mut self.0, line)
    }

    /// Adds a line of names, each with a comma at its end.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) -> Option<()> {
        self.0.push('\n');
        self.push_names(names)
    }

    /// Adds a line for the name of a header, and one for its value.
    pub fn field(&mut self, name: &str, value: &str) -> Option<()> {
        self.line(name)?;
        self.line(value)
    }

    fn push_names<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) -> Option<()> {
        for name in names {
            push(&mut self.0, name)?;
            self.0.push(',');
        }
        Some(())
    }
}

/// Most texts fit into this, in bytes.
const ROOM: usize = 512;

fn push(text: &mut String, line: &str) -> Option<()> {
    text.push_str(line);
    (!line.contains('\n')).then_some(())
}

impl From<Lines> for String {
    fn from(lines: Lines) -> Self {
        lines.0
    }
}
