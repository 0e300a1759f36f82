//! Splits a file of SQL into its statements. It knows no grammar: a statement ends with `;` at the end of a line.

/// The statements of a file, without that `;`. Lines of comment between statements are left out.
#[must_use]
pub fn statements(file: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    for line in file.lines() {
        let is_blank = line.trim().is_empty() || line.trim_start().starts_with("--");
        if current.is_empty() && is_blank {
            continue;
        }
        current.push_str(line);
        current.push('\n');
        if line.trim_end().ends_with(';') {
            found.push(std::mem::take(&mut current).trim_end().trim_end_matches(';').to_owned());
        }
    }
    if !current.is_empty() {
        found.push(current.trim_end().to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_with_a_semicolon_at_the_end_of_a_line() {
        let file = "-- one; with a comment\nCREATE TABLE a (\n  b TEXT DEFAULT ';' -- inside\n);\r\n\nINSERT INTO a VALUES (1)\n\n";
        assert_eq!(
            statements(file),
            ["CREATE TABLE a (\n  b TEXT DEFAULT ';' -- inside\n)", "INSERT INTO a VALUES (1)"]
        );
    }
}
