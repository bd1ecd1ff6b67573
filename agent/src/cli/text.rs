//! Tables, sizes and ages for people.

/// A table whose columns are as wide as they need to be.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.into()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as lines.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| visible(cell)).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line += cell;
                line += &" ".repeat(width - visible(cell) + 2);
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Characters that are seen: colour codes are not.
fn visible(cell: &str) -> usize {
    let mut is_code = false;
    cell.chars()
        .filter(|&c| {
            let is_seen = !is_code && c != '\x1b';
            is_code = (is_code || c == '\x1b') && c != 'm';
            is_seen
        })
        .count()
}

/// How long, in the largest unit that says enough; `ms` in milliseconds.
pub fn ago(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A size, decimal units.
pub fn bytes(size: u64) -> String {
    let size = size as f64;
    match size {
        ..1e3 => format!("{size} B"),
        ..1e6 => format!("{:.1} kB", size / 1e3),
        ..1e9 => format!("{:.1} MB", size / 1e6),
        _ => format!("{:.2} GB", size / 1e9),
    }
}

/// A share of 1 in percent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.05 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colour() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec!["\x1b[31mlong\x1b[0m".into(), "x".into()]);
        table.row(vec!["s".into(), "y".into()]);
        assert_eq!(table.render(), "A     B\n\x1b[31mlong\x1b[0m  x\ns     y\n");
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!([ago(999), ago(61_000), ago(7_200_000)], ["999 ms", "1 min", "2 h"]);
        assert_eq!([bytes(12), bytes(1_500), bytes(1 << 30)], ["12 B", "1.5 kB", "1.07 GB"]);
        assert_eq!([percent(1.0 / 3.0), percent(0.5), percent(0.0)], ["33.3 %", "50 %", "0 %"]);
    }
}
