//! `host check` prints the statements that give a database user the rights of `allow` and no more: run by an
//! administrator as they are printed, they end the warning, and the adapter goes on.

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// A host whose adapter inserts notes as this user of the database.
fn host(url: &str) -> Host {
    let more = format!(
        "\n[targets.notes]\nadapter = {}\n[targets.notes.database]\nurl = {}\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.notes.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\n",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(url)
    );
    Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)).expect("host")
}

/// The statements among the lines of a check.
fn printed(check: &str) -> Vec<String> {
    let lines = check.lines().filter_map(|line| line.strip_prefix("      "));
    lines.filter(|line| line.ends_with(';')).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_statements_printed_by_check_reduce_the_user_to_the_needed_privileges() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        let Some(target) = Database::fresh(backend).await.expect("fresh") else { continue };
        for sql in ["CREATE TABLE note (id VARCHAR(64) PRIMARY KEY, body TEXT)", "CREATE TABLE secret (id INT)"] {
            target.execute(sql).await.expect(sql);
        }
        let (scheme, rest) = target.url().split_once("://").expect("a url");
        let place = rest.rsplit('@').next().expect("a place");
        let name = place.rsplit('/').next().expect("a database");
        let user = format!("wide_{}", &name[name.len().saturating_sub(16)..]);
        let role = format!("role_{}", &name[name.len().saturating_sub(16)..]);
        let wide = if backend == Backend::Postgres {
            vec![
                format!("CREATE ROLE {user} LOGIN PASSWORD 'guard' CREATEDB"),
                format!("CREATE ROLE {role}"),
                format!("GRANT SELECT ON secret TO {role}"),
                format!("GRANT {role} TO {user}"),
                format!("GRANT CREATE ON SCHEMA public TO {user}"),
                format!("GRANT DELETE, UPDATE (body) ON note TO {user}"),
            ]
        } else {
            vec![
                format!("CREATE USER {user}@'%' IDENTIFIED BY 'guard'"),
                format!("CREATE ROLE {role}"),
                format!("GRANT SELECT ON {name}.secret TO {role}"),
                format!("GRANT {role} TO {user}@'%'"),
                format!("SET DEFAULT ROLE {role} FOR {user}@'%'"),
                format!("GRANT PROCESS ON *.* TO {user}@'%'"),
                format!("GRANT DELETE, UPDATE (body) ON {name}.note TO {user}@'%'"),
                format!("GRANT CREATE ON {name}.* TO {user}@'%'"),
            ]
        };
        for statement in &wide {
            target.execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
        }
        let host = host(&format!("{scheme}://{user}:guard@{place}"));
        let _ = host.run(&["migrate"]).expect_success();
        let before = host.run(&["check"]).expect_success().stdout;
        assert!(before.contains("the database user may do more than the adapter"), "{backend:?}: {before}");
        let statements = printed(&before);
        let json = host.run(&["check", "--json"]).expect_success().json();
        let in_json: Vec<_> = json["checks"].as_array().expect("checks").iter().map(|one| &one["statements"]).collect();
        assert!(in_json.contains(&&serde_json::json!(statements)), "{backend:?}: {in_json:?}");
        for statement in &statements {
            target.execute(statement).await.unwrap_or_else(|error| panic!("{backend:?}: {statement}: {error:#}"));
        }
        let after = host.run(&["check"]).expect_success().stdout;
        assert!(!after.contains("may do more") && printed(&after).is_empty(), "{backend:?}: {statements:?}\n{after}");
        put(&host, &patient("N-1"));
        let run = host.run(&["run", "--until-idle"]);
        let failed = host.run(&["failed", "list"]).stdout;
        assert!(run.stdout.contains("notes: 1 delivered"), "{backend:?}: {}{}{failed}", run.stdout, run.stderr);
    }
}
