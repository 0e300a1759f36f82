//! The support library's own promises: servers that come up, go away, come back with their data, and private databases.
//!
//! These tests start servers of their own, and so need no `cargo xtask test` around them; a kind whose programs are not
//! on this system is passed over here and said by name, except where `CI` is set.

use std::net::TcpStream;

use anyhow::Result;
use tests::{
    database::{Database, execute, fresh_databases},
    environment::{Backend, is_ci},
    servers::{FhirServer, MariaDb, Postgres, Proxy, provision::Need},
};

fn is_here(need: &Need) -> bool {
    let is_here = (need.is_met)() || is_ci();
    if !is_here {
        eprintln!("not reached: {} (run cargo xtask test)", need.name);
    }
    is_here
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[tokio::test]
async fn mariadb_keeps_committed_rows_when_killed_and_restarts_on_its_port() -> Result<()> {
    if !is_here(&MariaDb::NEED) {
        return Ok(());
    }
    let mut server = MariaDb::start()?;
    let url = format!("{}/kept", server.url());
    execute(&server.url(), "CREATE DATABASE kept").await?;
    execute(&url, "CREATE TABLE row_kept (id INT PRIMARY KEY)").await?;
    execute(&url, "INSERT INTO row_kept VALUES (1)").await?;
    server.kill();
    assert!(!answers(server.port()));
    server.start_again()?;
    let twice = execute(&url, "INSERT INTO row_kept VALUES (1)").await.unwrap_err();
    assert!(format!("{twice:#}").contains("1062"), "{twice:#}");
    let port = server.port();
    drop(server);
    assert!(!answers(port));
    Ok(())
}

#[tokio::test]
async fn postgres_keeps_committed_rows_when_killed_and_stopped_and_restarts_on_its_port() -> Result<()> {
    if !is_here(&Postgres::NEED) {
        return Ok(());
    }
    let mut server = Postgres::start()?;
    let url = format!("{}/postgres", server.url());
    execute(&url, "CREATE TABLE row_kept (id INT PRIMARY KEY)").await?;
    execute(&url, "INSERT INTO row_kept VALUES (1)").await?;
    server.kill();
    assert!(!answers(server.port()));
    server.start_again()?;
    server.stop();
    assert!(!answers(server.port()));
    server.start_again()?;
    let twice = execute(&url, "INSERT INTO row_kept VALUES (1)").await.unwrap_err();
    assert!(format!("{twice:#}").contains("duplicate key"), "{twice:#}");
    let port = server.port();
    drop(server);
    assert!(!answers(port));
    Ok(())
}

#[test]
fn the_fhir_server_stops_and_restarts_on_its_port() -> Result<()> {
    if !is_here(&FhirServer::NEED) {
        return Ok(());
    }
    let mut server = FhirServer::start()?;
    assert!(answers(server.port()));
    server.stop();
    assert!(!answers(server.port()));
    server.start_again()?;
    assert!(answers(server.port()));
    let port = server.port();
    drop(server);
    assert!(!answers(port));
    Ok(())
}

#[tokio::test]
async fn every_database_is_fresh_and_loads_statements() -> Result<()> {
    for database in fresh_databases().await? {
        for _ in 0..2 {
            let other = Database::fresh(database.backend()).await?.expect("reached a moment ago");
            other.execute("CREATE TABLE only_here (id INT PRIMARY KEY)").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_database_session_passes_through_the_proxy_until_it_refuses() -> Result<()> {
    let Some(server) = Backend::MariaDb.url() else { return Ok(()) };
    let port = server.rsplit(':').next().expect("the address ends with its port").parse()?;
    let mut proxy = Proxy::start(port)?;
    let url = proxy.address_of(&server);
    execute(&url, "SELECT 1").await?;
    proxy.refuse();
    assert!(execute(&url, "SELECT 1").await.is_err());
    proxy.pass()?;
    execute(&url, "SELECT 1").await?;
    Ok(())
}
