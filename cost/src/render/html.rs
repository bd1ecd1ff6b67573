//! A document as one HTML file: styles and charts (SVG) are in it, nothing is loaded, and no script
//! runs.

use super::{Document, Table, chart, escaped};
use std::fmt::Write;

const STYLE: &str = include_str!("html/style.css");

/// The whole document, for a browser, a mail or a printer, in light and dark. What it needs is in
/// it.
pub fn html(document: &Document) -> String {
    let title = escaped(&document.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" \
         content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n"
    );

    write_warnings(&mut out, &document.warnings);
    for (index, drawn) in document.charts.iter().enumerate() {
        chart::write(&mut out, drawn, index);
    }
    for table in &document.tables {
        write_table(&mut out, table);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn write_warnings(out: &mut String, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    out.push_str("<section class=\"warnings\" aria-label=\"Warnings\">\n<ul>\n");
    for warning in warnings {
        let _ = writeln!(out, "<li>{}</li>", escaped(warning));
    }

    out.push_str("</ul>\n</section>\n");
}

fn write_table(out: &mut String, table: &Table) {
    let _ = write!(
        out,
        "<table>\n<caption>{}</caption>\n<thead><tr>",
        escaped(&table.title)
    );

    for column in &table.columns {
        let class = if column.is_number {
            " class=\"number\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<th scope=\"col\"{class}>{}</th>",
            escaped(&column.name)
        );
    }

    out.push_str("</tr></thead>\n<tbody>\n");
    let decimals: Vec<u32> = (0..table.columns.len())
        .map(|column| table.decimals(column))
        .collect();
    for row in &table.rows {
        out.push_str(if row.is_total {
            "<tr class=\"total\">"
        } else {
            "<tr>"
        });

        for ((value, column), decimals) in row.values.iter().zip(&table.columns).zip(&decimals) {
            let class = if column.is_number {
                " class=\"number\""
            } else {
                ""
            };
            let _ = write!(out, "<td{class}>{}</td>", escaped(&value.format(*decimals)));
        }

        out.push_str("</tr>\n");
    }

    out.push_str("</tbody>\n</table>\n");
}
