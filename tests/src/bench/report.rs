//! The report at the end: one table, one JSON object. It measures nothing; the picture is drawn in `plot.rs`.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As for a rate.
    More,
    /// As for a time.
    Less,
}

/// What is to be reached; a row may have no goal, one, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Goal {
    /// For the host's own figure, in the row's unit.
    pub figure: Option<f64>,
    /// For the ratio to the baseline.
    pub ratio: Option<f64>,
}

impl Goal {
    /// For the host's own figure alone.
    #[must_use]
    pub const fn figure(figure: f64) -> Self {
        Self { figure: Some(figure), ratio: None }
    }

    /// For the ratio alone.
    #[must_use]
    pub const fn ratio(ratio: f64) -> Self {
        Self { figure: None, ratio: Some(ratio) }
    }

    /// For both.
    #[must_use]
    pub const fn both(figure: f64, ratio: f64) -> Self {
        Self { figure: Some(figure), ratio: Some(ratio) }
    }
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
    /// What is to be reached.
    pub goal: Goal,
}

impl Row {
    /// How good the host's median is against the baseline's: above 1 the host is the better one.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let (ours, baseline) = (median(&self.ours), median(&self.baseline));
        let ratio = if self.better == Better::More { ours / baseline } else { baseline / ours };
        if ratio.is_finite() { ratio } else { 0.0 }
    }

    /// Whether the medians reach the goal; none where there is no goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let ours = median(&self.ours);
        let figure = self.goal.figure.map(|goal| if self.better == Better::More { ours >= goal } else { ours <= goal });
        let ratio = self.goal.ratio.map(|goal| self.ratio() >= goal);
        match (figure, ratio) {
            (None, None) => None,
            (figure, ratio) => Some(figure.unwrap_or(true) && ratio.unwrap_or(true)),
        }
    }

    /// The goal in words, as `>= 15000 patients/s, ratio >= 0.7`.
    #[must_use]
    pub fn goal_text(&self) -> String {
        let sign = if self.better == Better::More { ">=" } else { "<=" };
        let figure = self.goal.figure.map(|figure| format!("{sign} {figure} {}", self.unit));
        let ratio = self.goal.ratio.map(|ratio| format!("ratio >= {ratio}"));
        [figure, ratio].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": median(&self.ours), "baseline": median(&self.baseline),
            "ratio": self.ratio(), "ours_min": least(&self.ours), "ours_max": most(&self.ours),
            "baseline_min": least(&self.baseline), "baseline_max": most(&self.baseline), "repeats": self.ours.len(),
            "against": self.against, "goal": self.goal_text(), "goal_figure": self.goal.figure,
            "goal_ratio": self.goal.ratio, "met": self.is_met(),
            "better": if self.better == Better::More { "more" } else { "less" },
        })
    }
}

pub(super) fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().reduce(f64::min).unwrap_or_default()
}

pub(super) fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().reduce(f64::max).unwrap_or_default()
}

/// The middle one; of an even number the lower of the two.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// For reading: no more digits than mean something.
pub(super) fn shown(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.1}") }
}

fn spread(figures: &[f64]) -> String {
    format!("{} / {} / {}", shown(least(figures)), shown(median(figures)), shown(most(figures)))
}

/// All rows as a table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let mut text = format!(
        "{:<width$} {:>10} {:>26} {:>26} {:>6} {:>4}  {}\n",
        "what", "unit", "ours min/median/max", "baseline min/median/max", "ratio", "met", "goal (baseline)"
    );
    for row in rows {
        let met = row.is_met().map_or("", |met| if met { "yes" } else { "NO" });
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "{:<width$} {:>10} {:>26} {:>26} {:>6.2} {met:>4}  {} ({})",
            row.name,
            row.unit,
            spread(&row.ours),
            spread(&row.baseline),
            row.ratio(),
            row.goal_text(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, baseline: f64, better: Better, goal: Goal) -> Row {
        Row {
            name: "drain <x>".to_owned(),
            unit: "ms",
            ours: vec![ours],
            baseline: vec![baseline],
            against: "native",
            better,
            goal,
        }
    }

    #[test]
    fn a_ratio_above_one_is_better_whatever_is_measured() {
        let ratio = |ours, baseline, better| row(ours, baseline, better, Goal::default()).ratio();
        assert!(ratio(200.0, 100.0, Better::More) > 1.9);
        assert!(ratio(200.0, 100.0, Better::Less) < 0.6);
        assert!(ratio(1.0, 0.0, Better::More).abs() < f64::EPSILON, "no baseline, no ratio");
    }

    #[test]
    fn a_goal_is_met_only_if_all_its_parts_are() {
        for (ours, baseline, better, goal, met) in [
            (20.0, 20.0, Better::More, Goal::both(15.0, 0.7), Some(true)),
            (14.0, 20.0, Better::More, Goal::both(15.0, 0.7), Some(false)),
            (16.0, 30.0, Better::More, Goal::both(15.0, 0.7), Some(false)),
            (9.0, 3.0, Better::Less, Goal::figure(10.0), Some(true)),
            (11.0, 30.0, Better::Less, Goal::figure(10.0), Some(false)),
            (9.0, 9.0, Better::Less, Goal::ratio(0.9), Some(true)),
            (1.0, 1.0, Better::More, Goal::default(), None),
        ] {
            assert_eq!(row(ours, baseline, better, goal).is_met(), met, "{ours} against {baseline}, {goal:?}");
        }
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(&[9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(&[]) - 0.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_json_report_has_the_expected_fields() {
        let mut measured = row(2.0, 4.0, Better::Less, Goal::both(3.0, 0.9));
        measured.ours = vec![3.0, 1.0, 2.0];
        let object = object(&[measured, row(1.0, 1.0, Better::More, Goal::default())], true);
        assert_eq!(object["quick"], true);
        assert!(object["cpus"].as_u64().is_some_and(|cpus| cpus > 0), "{object}");
        let rows = object["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert!(row["name"].is_string(), "{row}");
            for key in ["ours", "baseline", "ratio", "ours_min", "ours_max", "baseline_min", "baseline_max"] {
                assert!(row[key].is_number(), "{key}: {row}");
            }
        }
        let (ours, least, most) = (&rows[0]["ours"], &rows[0]["ours_min"], &rows[0]["ours_max"]);
        assert_eq!((ours, least, most), (&json!(2.0), &json!(1.0), &json!(3.0)));
        assert_eq!(rows[0]["ratio"], 2.0);
        assert_eq!(rows[0]["goal"], "<= 3 ms, ratio >= 0.9");
        assert_eq!((&rows[0]["met"], &rows[1]["met"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn the_table_shows_for_each_row_whether_its_goal_is_met() {
        let rows = [row(2.0, 4.0, Better::Less, Goal::figure(3.0)), row(9.0, 4.0, Better::Less, Goal::figure(3.0))];
        let table = table(&rows);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].contains(" yes ") && lines[2].contains(" NO "), "{table}");
    }
}
