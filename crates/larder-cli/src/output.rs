//! Prints a command's output: tables on a terminal, plain lines to a pipe, JSON with `--json`.

use std::io::{self, BufWriter, IsTerminal, Write};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, ContentLineStyle, LineStyle, Row, Table,
    TableStyle,
};
use serde::Serialize;

use crate::failure::Failure;
use crate::notice::Notice;
use crate::text;

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON value, or one JSON object per line.
    Json,
    /// Tables and sentences, for a terminal.
    Table,
    /// One record per line, with tabs between its fields.
    Plain,
}

/// The meaning of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Name,
    Good,
    Bad,
    Faint,
    Heading,
}

/// The output of a command.
pub struct Output<'a> {
    out: Box<dyn Write + 'a>,
    form: Form,
    colour: bool,
    /// The maximum width of a table, in columns.
    width: Option<u16>,
}

impl Output<'static> {
    /// Creates an output to standard output.
    pub fn standard(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let form = match (json, terminal) {
            (true, _) => Form::Json,
            (false, true) => Form::Table,
            (false, false) => Form::Plain,
        };
        let out = Box::new(BufWriter::new(io::stdout().lock()));
        Self { out, form, colour: terminal && colour_wanted(), width: terminal_width() }
    }
}

impl<'a> Output<'a> {
    /// Prints tables even if standard output is a pipe. The tour uses it.
    pub fn for_a_person(&mut self) {
        self.form = Form::Table;
        self.width = self.width.or(Some(80));
    }

    /// Returns an output of the same form to `out`, `narrower` columns less wide.
    pub fn like<'b>(&self, out: impl Write + 'b, narrower: u16) -> Output<'b> {
        let width = self.width.map(|width| width.saturating_sub(narrower));
        Output { out: Box::new(out), form: self.form, colour: self.colour, width }
    }

    /// Says on standard error what has failed of a command that goes on.
    pub fn report(&self, failure: &Failure) {
        Notice::from(failure).say(self.form == Form::Json);
    }

    /// Warns on standard error.
    pub fn warn(&self, warning: &Notice) {
        warning.say(self.form == Form::Json);
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the underlying writer, for a document that is neither lines nor records.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut *self.out
    }

    /// Writes bytes unchanged.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Writes a line of text. The caller escapes control characters.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Writes a JSON value on a line.
    pub fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        Ok(writeln!(self.out)?)
    }

    /// Writes a record on a line, with escaped fields and tabs between them.
    pub fn fields(&mut self, fields: &[&[u8]]) -> Result<(), Failure> {
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b"\t")?;
            }
            self.out.write_all(text::escaped(field).as_bytes())?;
        }
        Ok(writeln!(self.out)?)
    }

    /// Writes a single result: `json` with `--json`, `words` on a terminal, `plain`, if any, to a pipe.
    pub fn answer(
        &mut self,
        json: &(impl Serialize + ?Sized),
        words: &str,
        plain: Option<&str>,
    ) -> Result<(), Failure> {
        match (self.form, plain) {
            (Form::Json, _) => self.json(json),
            (Form::Table, _) => self.line(words),
            (Form::Plain, Some(plain)) => self.line(plain),
            (Form::Plain, None) => Ok(()),
        }
    }

    /// Writes a table. A heading that starts with `>` marks a right-aligned column of numbers.
    pub fn table(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        let line = if self.unicode() { '─' } else { '-' };
        let style = TableStyle::new()
            .header_lines(ContentLineStyle::none())
            .header_separator(LineStyle::new(line, line, line, line))
            .content_lines(ContentLineStyle::none());
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_truncation_indicator("…").force_no_tty();
        if self.colour {
            table.enforce_styling();
        }
        if let Some(width) = self.width {
            table.set_width(width.max(20));
        }
        table.set_header(
            headings
                .iter()
                .map(|heading| Cell::new(heading.trim_start_matches('>')).add_attribute(Attribute::Bold)),
        );
        for row in rows {
            let cells = row.into_iter().enumerate().map(|(column, content)| {
                let cell = Cell::new(content);
                if column == 0 { cell.fg(Color::Cyan) } else { cell }
            });
            let mut row = Row::from(cells.collect::<Vec<_>>());
            // Truncates long cells, so that each record takes one line.
            row.max_height(1);
            table.add_row(row);
        }
        for (index, heading) in headings.iter().enumerate() {
            if let (true, Some(column)) = (heading.starts_with('>'), table.column_mut(index)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.line(&table.trim_fmt())
    }

    /// Returns the width in columns; `usize::MAX` if unknown.
    pub fn width(&self) -> usize {
        self.width.map_or(usize::MAX, usize::from)
    }

    /// Returns the text in its colour, or unchanged if the output has no colour.
    pub fn tinted(&self, tone: Tone, text: &str) -> String {
        if self.colour { tint(tone, text) } else { text.to_owned() }
    }

    /// Flushes what has been written so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    fn unicode(&self) -> bool {
        // These terminals, such as a rescue console, may lack the line-drawing characters.
        !matches!(std::env::var("TERM").as_deref(), Ok("dumb" | "linux"))
    }
}

/// Returns the width of the terminal in columns. Some unusual terminals report 0; they count as 80.
fn terminal_width() -> Option<u16> {
    Table::new().width().map(|width| if width == 0 { 80 } else { width })
}

/// Prints a hint to standard error, only if that is a terminal.
pub fn remark(message: &str) {
    let mut error = io::stderr().lock();
    if error.is_terminal() {
        let message = text::one_line(message);
        let _ = writeln!(error, "{}", if colour_wanted() { tint(Tone::Faint, &message) } else { message });
    }
}

/// Returns the text in its colour.
pub fn tint(tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Name => "36",
        Tone::Good => "32",
        Tone::Bad => "1;31",
        Tone::Faint => "2",
        Tone::Heading => "1;34",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Returns whether a terminal may get colours: <https://no-color.org>.
pub fn colour_wanted() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
