//! Tables for people: columns as wide as their widest cell, cut to the terminal's width; as they are where the answer
//! goes elsewhere.

use std::{fmt::Write as _, io::IsTerminal as _};

use serde_json::Value;

/// Space between columns.
pub(super) const GAP: usize = 3;
/// No column is cut below this.
const NARROWEST: usize = 8;

/// A heading, and what of a row stands below it.
pub(super) type Column = (&'static str, fn(&Value) -> String);

pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Columns of the terminal the answer goes to; None when it goes elsewhere.
pub(super) fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

impl Table {
    /// Numbers stand to the right: those columns whose heading starts with a space.
    pub(super) fn new(columns: &[Column], rows: &[Value]) -> Self {
        // Names come from files: they must not steer a terminal.
        let clean = |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let row = |row: &Value| columns.iter().map(|(_, cell)| clean(cell(row))).collect();
        let headings = columns.iter().map(|(heading, _)| *heading).collect();
        Self { headings, rows: rows.iter().map(row).collect() }
    }

    pub(super) fn render(&self, columns: Option<usize>) -> String {
        let widths = self.widths(columns);
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, heading), width) in cells.zip(&self.headings).zip(&widths) {
                let cell = cut(cell, *width);
                let gap = if line.is_empty() { 0 } else { GAP };
                // Writing to a `String` cannot fail.
                let _ = match heading.starts_with(' ') {
                    true => write!(line, "{:gap$}{cell:>width$}", ""),
                    false => write!(line, "{:gap$}{cell:<width$}", ""),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(&mut self.headings.iter().map(|heading| heading.trim()));
        self.rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
        text
    }

    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let natural = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].trim().chars().count()]).max().unwrap_or(0)
        };
        let mut widths: Vec<_> = (0..self.headings.len()).map(natural).collect();
        let Some(columns) = columns else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        // The widest gives way first.
        while widths.iter().sum::<usize>() + gaps > columns {
            match widths.iter_mut().max().filter(|widest| **widest > NARROWEST) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        widths
    }
}

/// Cut in the middle: names begin alike and end apart.
pub(super) fn cut(cell: &str, width: usize) -> String {
    let length = cell.chars().count();
    if length <= width {
        return cell.to_owned();
    }
    let (start, end) = (width / 2, width - width / 2 - 1);
    cell.chars().take(start).chain(['…']).chain(cell.chars().skip(length - end)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::view::text, *};

    fn table() -> Table {
        let columns: [Column; 3] =
            [("NAME", |row| text(&row[0])), (" COUNT", |row| text(&row[1])), ("NOTE", |row| text(&row[2]))];
        let long = json!(["default/a-long-name", 1234, "a note that is\nlonger than the rest"]);
        Table::new(&columns, &[json!(["a", 7, "short"]), long])
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "\
NAME                  COUNT   NOTE
a                         7   short
default/a-long-name    1234   a note that is longer than the rest
";
        assert_eq!(table().render(None), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column_and_never_more_than_it_must() {
        for columns in [20, 30, 45, 60, 66, 200] {
            let text = table().render(Some(columns));
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= columns.max(3 * NARROWEST + 2 * GAP), "{columns}:\n{text}");
            assert_eq!(text.contains('…'), columns < 66, "{columns}:\n{text}");
        }
    }
}
