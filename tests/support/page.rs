//! How what a person watches looks: headings, aligned tables, ✓ and ✗; colours on a terminal only.

use std::{env, io::IsTerminal as _};

/// Where the show is printed.
pub struct Page {
    colours: bool,
    failed: bool,
}

impl Page {
    pub fn on_stdout() -> Self {
        let colours = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { colours, failed: false }
    }

    pub fn heading(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    pub fn line(&self, text: &str) {
        println!("  {text}");
    }

    /// A line in the background, such as a command or an excerpt.
    pub fn aside(&self, text: &str) {
        println!("  {}", self.paint("2", text));
    }

    /// A promise and what came of it. One that was not kept makes the whole show a failure.
    pub fn verdict(&mut self, kept: bool, what: &str, evidence: &str) {
        self.failed |= !kept;
        println!("  {} {what:<34} {evidence}", self.mark(kept));
    }

    pub fn all_kept(&self) -> bool {
        !self.failed
    }

    /// Columns as wide as their widest cell; those under a heading that starts with a space stand to the right.
    pub fn table(&self, headings: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].trim().chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let print = |cells: &mut dyn Iterator<Item = &str>, style: &str| {
            let aligned = cells.zip(headings).zip(&widths).map(|((cell, heading), width)| {
                if heading.starts_with(' ') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            let line = aligned.collect::<Vec<_>>().join("   ");
            println!("  {}", self.paint(style, line.trim_end()));
        };
        print(&mut headings.iter().map(|heading| heading.trim()), "2");
        for row in rows {
            print(&mut row.iter().map(String::as_str), "");
        }
    }

    pub fn mark(&self, good: bool) -> String {
        if good { self.paint("32", "✓") } else { self.paint("31", "✗") }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colours && !style.is_empty() {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
