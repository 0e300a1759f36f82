//! The picture: every row with the host's bar over its baseline's, and its goals as marks. It measures nothing.
//!
//! Rows have different units, so that each has a scale of its own, from zero to a little more than the largest of its
//! figures and goals; what is compared is the two bars of a row, never those of two rows.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::report::{Better, Row, least, median, most, shown};

const WIDTH: f64 = 1_240.0;
/// Where bars begin and how long the longest may be; the figures are right of them.
const BARS_AT: f64 = 400.0;
const BARS_WIDTH: f64 = 480.0;
const ROW_HEIGHT: f64 = 46.0;
const HEAD_HEIGHT: f64 = 74.0;

const OURS: &str = "#2f6db5";
const BASELINE: &str = "#b9bec6";
const GOAL: &str = "#c0392b";
const RATIO_GOAL: &str = "#d68910";
const LEGEND: [(&str, f64, f64, &str); 4] = [
    (OURS, 22.0, 12.0, "the host (line: least to most of the repeats)"),
    (BASELINE, 22.0, 12.0, "its baseline in the same run"),
    (GOAL, 3.0, 14.0, "the goal"),
    (RATIO_GOAL, 3.0, 14.0, "the goal against the baseline"),
];

/// Writes all rows as an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn plot(rows: &[Row], file: &Path) -> Result<()> {
    std::fs::write(file, drawing(rows)).with_context(|| format!("write {}", file.display()))
}

#[allow(clippy::cast_precision_loss, reason = "a place in a picture")]
fn drawing(rows: &[Row]) -> String {
    let height = HEAD_HEIGHT + ROW_HEIGHT * rows.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Arial, sans-serif\" font-size=\"12\">"
    );
    rectangle(&mut svg, (0.0, 0.0), (WIDTH, height), "white");
    text(&mut svg, (12.0, 24.0), "font-size=\"16\"", "The host against its baseline in the same run");
    let mut x = 12.0;
    for (color, width, height, words) in LEGEND {
        rectangle(&mut svg, (x, 48.0 - height / 2.0), (width, height), color);
        text(&mut svg, (x + width + 6.0, 52.0), "", words);
        x += width + 36.0 + 7.0 * words.len() as f64;
    }
    for (index, row) in rows.iter().enumerate() {
        draw(&mut svg, row, HEAD_HEIGHT + ROW_HEIGHT * index as f64);
    }
    svg.push_str("</svg>");
    svg
}

fn draw(svg: &mut String, row: &Row, y: f64) {
    let (ours, baseline) = (median(&row.ours), median(&row.baseline));
    // A ratio is a goal for the host's figure as well: so much of the baseline's, or so much more time than it.
    let ratio_goal =
        row.goal.ratio.map(|ratio| if row.better == Better::More { baseline * ratio } else { baseline / ratio });
    let figures = [most(&row.ours), most(&row.baseline), row.goal.figure.unwrap_or(0.0), ratio_goal.unwrap_or(0.0)];
    let largest = most(&figures).max(f64::MIN_POSITIVE) * 1.02;
    let place = |figure: f64| BARS_AT + BARS_WIDTH * (figure / largest).clamp(0.0, 1.0);
    let _written = write!(
        svg,
        "<line x1=\"12\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"#eee\"/>",
        y - 4.0,
        WIDTH - 12.0
    );
    text(svg, (12.0, y + 14.0), "font-weight=\"bold\"", &row.name);
    let better = if row.better == Better::More { "more is better" } else { "less is better" };
    text(svg, (12.0, y + 30.0), "fill=\"#666\"", &format!("{}, {better}; baseline: {}", row.unit, row.against));
    rectangle(svg, (BARS_AT, y + 2.0), (place(ours) - BARS_AT, 15.0), OURS);
    rectangle(svg, (BARS_AT, y + 19.0), (place(baseline) - BARS_AT, 12.0), BASELINE);
    for (figures, at) in [(&row.ours, y + 9.5), (&row.baseline, y + 25.0)] {
        let (from, to) = (place(least(figures)), place(most(figures)));
        let _written =
            write!(svg, "<line x1=\"{from:.1}\" y1=\"{at:.1}\" x2=\"{to:.1}\" y2=\"{at:.1}\" stroke=\"black\"/>");
    }
    for (goal, color) in [(row.goal.figure, GOAL), (ratio_goal, RATIO_GOAL)] {
        if let Some(goal) = goal {
            rectangle(svg, (place(goal) - 1.5, y), (3.0, 34.0), color);
        }
    }
    let words = BARS_AT + BARS_WIDTH + 14.0;
    let verdict = row.is_met().map_or("", |met| if met { ", goal met" } else { ", goal MISSED" });
    text(svg, (words, y + 14.0), "", &format!("{} (ratio {:.2}{verdict})", shown(ours), row.ratio()));
    let goal = if row.goal_text().is_empty() { String::new() } else { format!("; goal {}", row.goal_text()) };
    text(svg, (words, y + 30.0), "fill=\"#666\"", &format!("baseline {}{goal}", shown(baseline)));
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
    // Writing to a String cannot fail.
    let _written = write!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>",
        width.max(1.0)
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _written = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>");
}

#[cfg(test)]
mod tests {
    use super::super::report::Goal;
    use super::*;

    fn row(goal: Goal) -> Row {
        Row {
            name: "drain <x>".to_owned(),
            unit: "patients/s",
            ours: vec![2.0, 3.0],
            baseline: vec![4.0],
            against: "native",
            better: Better::More,
            goal,
        }
    }

    #[test]
    fn a_plot_names_its_rows_and_marks_their_goals() {
        let file = tempfile::NamedTempFile::new().unwrap();
        plot(&[row(Goal::both(3.5, 0.7)), row(Goal::default())], file.path()).unwrap();
        let svg = std::fs::read_to_string(file.path()).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert_eq!(svg.matches("drain &lt;x&gt;").count(), 2);
        // Once each in the legend.
        for (color, times) in [(OURS, 3), (BASELINE, 3), (GOAL, 2), (RATIO_GOAL, 2)] {
            assert_eq!(svg.matches(&format!("fill=\"{color}\"")).count(), times, "{color}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_row_of_zeros_is_drawn() {
        let zeros = Row { ours: vec![0.0], baseline: vec![0.0], ..row(Goal::default()) };
        assert!(!drawing(&[zeros]).contains("NaN"));
    }
}
