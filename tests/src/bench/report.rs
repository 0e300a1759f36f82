//! What is said at the end: one table, one JSON object, one plot. It measures nothing.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As for a rate.
    More,
    /// As for a time.
    Less,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Of both figures: `patients/s`, `ms`, `MB`.
    pub unit: &'static str,
    /// The host's figures, one for each repeat.
    pub ours: Vec<f64>,
    /// The baseline's, one for each repeat, in the same run.
    pub baseline: Vec<f64>,
    /// What the baseline is.
    pub against: &'static str,
    /// Whether more is better.
    pub better: Better,
    /// What is to be reached, for people.
    pub goal: &'static str,
}

impl Row {
    /// How good the host's median is beside the baseline's: above 1 the host is the better one.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let (ours, baseline) = (median(&self.ours), median(&self.baseline));
        let ratio = if self.better == Better::More { ours / baseline } else { baseline / ours };
        if ratio.is_finite() { ratio } else { 0.0 }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": median(&self.ours), "baseline": median(&self.baseline),
            "ratio": self.ratio(), "ours_min": least(&self.ours), "ours_max": most(&self.ours),
            "baseline_min": least(&self.baseline), "baseline_max": most(&self.baseline), "repeats": self.ours.len(),
            "against": self.against, "goal": self.goal,
            "better": if self.better == Better::More { "more" } else { "less" },
        })
    }
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The middle one; of an even number the lower of the two.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

fn spread(figures: &[f64]) -> String {
    let shown = |figure: f64| if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.1}") };
    format!("{} / {} / {}", shown(least(figures)), shown(median(figures)), shown(most(figures)))
}

/// All rows as a table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<42} {:>10} {:>26} {:>26} {:>6}  {}\n",
        "what", "unit", "ours min/median/max", "baseline min/median/max", "ratio", "goal"
    );
    for row in rows {
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{:<42} {:>10} {:>26} {:>26} {:>6.2}  {} (baseline: {})",
            row.name,
            row.unit,
            spread(&row.ours),
            spread(&row.baseline),
            row.ratio(),
            row.goal,
            row.against
        );
    }
    text
}

/// All rows as one JSON object.
#[must_use]
pub fn object(rows: &[Row], is_quick: bool) -> Value {
    json!({"quick": is_quick, "cpus": std::thread::available_parallelism().map_or(0, usize::from),
           "rows": rows.iter().map(Row::json).collect::<Vec<_>>()})
}

/// Writes the ratios as bars, an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn plot(rows: &[Row], file: &Path) -> Result<()> {
    let height = rows.len() * 26 + 50;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\"><rect width=\"900\" height=\"{height}\" fill=\"white\"/>\
         <text x=\"10\" y=\"20\">The host beside its baseline in the same run: 1.0 is as good, longer is better</text>"
    );
    for (index, row) in rows.iter().enumerate() {
        let y = index * 26 + 40;
        let length = (row.ratio().min(2.0) * 250.0).max(1.0);
        let _written = write!(
            svg,
            "<text x=\"10\" y=\"{}\">{}</text><rect x=\"330\" y=\"{y}\" width=\"{length:.0}\" height=\"16\" \
             fill=\"#4a7ebb\"/><text x=\"{:.0}\" y=\"{}\">{:.2}</text>",
            y + 13,
            row.name.replace('&', "&amp;").replace('<', "&lt;"),
            338.0 + length,
            y + 13,
            row.ratio()
        );
    }
    let _written = write!(svg, "<line x1=\"580\" y1=\"34\" x2=\"580\" y2=\"{height}\" stroke=\"#999\"/></svg>");
    std::fs::write(file, svg).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, baseline: f64, better: Better) -> Row {
        Row {
            name: "drain <x>".to_owned(),
            unit: "ms",
            ours: vec![ours],
            baseline: vec![baseline],
            against: "native",
            better,
            goal: "-",
        }
    }

    #[test]
    fn a_ratio_above_one_is_better_whatever_is_measured() {
        assert!(row(200.0, 100.0, Better::More).ratio() > 1.9);
        assert!(row(200.0, 100.0, Better::Less).ratio() < 0.6);
        assert!(row(1.0, 0.0, Better::More).ratio().abs() < f64::EPSILON, "no baseline, no ratio");
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(&[]) - 0.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_object_has_what_a_reader_looks_for() {
        let object = object(&[row(2.0, 4.0, Better::Less)], true);
        for key in ["name", "ours", "baseline", "ratio"] {
            assert!(!object["rows"][0][key].is_null(), "{key}");
        }
        assert_eq!(object["rows"][0]["ratio"], 2.0);
    }

    #[test]
    fn the_plot_is_well_formed_and_names_its_rows() {
        let file = tempfile::NamedTempFile::new().unwrap();
        plot(&[row(2.0, 4.0, Better::Less)], file.path()).unwrap();
        let svg = std::fs::read_to_string(file.path()).unwrap();
        assert!(svg.contains("drain &lt;x>") && svg.ends_with("</svg>"), "{svg}");
    }
}
