//! The plot of traffic: a panel a workload, a line a way, a dot at its ratio to the wire.

use std::fmt::Write as _;

use super::{
    report::{Cell, Table},
    workload::Workload,
};

/// Pixels: panels stand in rows of three beside the ways' names.
const COLUMNS: usize = 3;
const LABELS: f64 = 190.0;
const PANEL: f64 = 250.0;
const PLOT: f64 = 180.0;
const LINE: f64 = 19.0;
const HEAD: f64 = 62.0;
const TITLE: f64 = 30.0;
const FOOT: f64 = 54.0;

const STYLE: &str = "
text { font: 12px sans-serif; fill: #222 }
.title { font-weight: bold; font-size: 15px }
.name { font-weight: bold }
.small { font-size: 11px; fill: #555 }
.wire { stroke: #888 }
.row { stroke: #e4e4e4 }
.goal { stroke: #c0392b; stroke-dasharray: 3 2 }
.ours { fill: #1f6fb2; stroke: #1f6fb2 }
.other { fill: #8a8a8a; stroke: #8a8a8a }
";

/// The plot, with the machine in its foot.
pub(super) fn svg(title: &str, table: &Table<'_>) -> String {
    let lines = pixels(table.ways.len());
    let panel_height = HEAD + lines * LINE;
    let width = LABELS + pixels(COLUMNS) * PANEL;
    let height = TITLE + pixels(table.workloads.len().div_ceil(COLUMNS)) * panel_height + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, "title", 12.0, 26.0, title);
    for (at, (workload, row)) in table.workloads.iter().zip(&table.cells).enumerate() {
        let (column, line) = (at % COLUMNS, at / COLUMNS);
        let top = TITLE + pixels(line) * panel_height;
        if column == 0 {
            for (at, way) in table.ways.iter().enumerate() {
                let y = top + HEAD + (pixels(at) + 0.5) * LINE;
                text(&mut svg, "label", 12.0, y + 4.0, way);
            }
        }
        let left = LABELS + pixels(column) * PANEL;
        panel(&mut svg, (left, top), workload, &table.ways, row);
    }
    text(
        &mut svg,
        "small",
        12.0,
        height - 30.0,
        "Dot: median of the runs' medians; bar: middle half of the rounds; grey line: the wire; red dashes: the goal for ours.",
    );
    text(&mut svg, "small", 12.0, height - 13.0, &table.how);
    svg.push_str("</svg>\n");
    svg
}

fn panel(
    svg: &mut String,
    (left, top): (f64, f64),
    workload: &Workload,
    ways: &[&str],
    row: &[Cell],
) {
    let better = if workload.is_rate() { "more" } else { "less" };
    let wire = format!(
        "wire {:.2} {}; {better} is better",
        row[0].median,
        workload.unit()
    );
    text(svg, "name", left, top + 34.0, workload.name);
    text(svg, "small", left, top + 50.0, &wire);
    let ends = |pick: fn(f64, f64) -> f64, start| {
        row.iter()
            .flat_map(|cell| [cell.ratio, cell.ratio_p25, cell.ratio_p75])
            .chain(row.iter().filter_map(|cell| cell.goal))
            .fold(start, pick)
    };
    let (low, high) = (ends(f64::min, 0.98), ends(f64::max, 1.02));
    let x = |ratio: f64| left + (ratio - low) / (high - low) * PLOT;
    let y = |at: usize| top + HEAD + (pixels(at) + 0.5) * LINE;
    let bottom = y(row.len() - 1) + LINE / 2.0;
    line(svg, "wire", (x(1.0), top + HEAD - 2.0), (x(1.0), bottom));
    for (at, (cell, way)) in row.iter().zip(ways).enumerate() {
        let class = if way.contains("ours") {
            "ours"
        } else {
            "other"
        };
        line(svg, "row", (left, y(at)), (left + PLOT, y(at)));
        if let Some(goal) = cell.goal {
            let half = LINE / 2.0;
            line(
                svg,
                "goal",
                (x(goal), y(at) - half),
                (x(goal), y(at) + half),
            );
        }
        line(
            svg,
            class,
            (x(cell.ratio_p25), y(at)),
            (x(cell.ratio_p75), y(at)),
        );
        let _ = writeln!(
            svg,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/>",
            x(cell.ratio),
            y(at)
        );
        let figure = format!("{:.2}", cell.ratio);
        text(svg, "small", left + PLOT + 8.0, y(at) + 4.0, &figure);
    }
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

#[expect(clippy::cast_precision_loss, reason = "a handful of lines and columns")]
fn pixels(count: usize) -> f64 {
    count as f64
}
