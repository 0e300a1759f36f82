//! Connecting to real servers: IPv6 in brackets, with and without TLS, and the errors of refused connections.

use std::time::Duration;

use host::database::{Database as HostDatabase, ErrorKind, Locator};
use tests::database::{Database, execute};
use tests::environment::Backend;
use tests::servers::{MariaDb, Postgres};
use tokio::net::{TcpListener, TcpStream};

fn at(url: &str) -> HostDatabase {
    let parsed = url.parse().expect("url");
    let locator = if url.starts_with("mysql") { Locator::MySql(parsed) } else { Locator::Postgres(parsed) };
    HostDatabase::of_target(locator, 2, Duration::from_secs(20), 16 << 20).expect("database")
}

/// The error of beginning there.
async fn refusal(url: &str) -> host::database::DatabaseError {
    at(url).begin().await.map(drop).expect_err("it cannot connect")
}

/// A way from `[::1]` to a server on 127.0.0.1; `None` where the system has no IPv6.
async fn over_ipv6(port: u16) -> Option<u16> {
    let listener = TcpListener::bind("[::1]:0").await.ok()?;
    let own = listener.local_addr().ok()?.port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    Some(own)
}

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.split_once("127.0.0.1:").expect("host");
    rest.split('/').next().and_then(|port| port.parse().ok()).expect("port")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_in_brackets_connects() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("fresh") else { continue };
        let Some(port) = over_ipv6(port_of(database.url())).await else {
            eprintln!("passed over: this system has no IPv6");
            return;
        };
        let old = format!("127.0.0.1:{}", port_of(database.url()));
        let url = database.url().replace(&old, &format!("[::1]:{port}"));
        let mut transaction = at(&url).begin().await.expect("it connects");
        transaction.execute("CREATE TABLE over_ipv6 (id INT)", &[]).await.expect("it works");
    }
}

#[tokio::test]
async fn requested_tls_that_the_server_lacks_is_an_error_with_a_fix() {
    for (backend, query) in [(Backend::MariaDb, "ssl-mode=required"), (Backend::Postgres, "sslmode=require")] {
        let Some(database) = Database::fresh(backend).await.expect("fresh") else { continue };
        let error = refusal(&format!("{}?{query}", database.url())).await;
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("the server offers no TLS"), "{error}");
        let off = if backend == Backend::MariaDb { "ssl-mode=disabled" } else { "sslmode=disable" };
        drop(at(&format!("{}?{off}", database.url())).begin().await.expect("in plain text when it was asked for"));
    }
}

#[tokio::test]
async fn an_unknown_url_parameter_is_refused_before_connecting() {
    let locator = Locator::MySql("mysql://root:secret@127.0.0.1:1/x?ssl_mode=REQUIRED".parse().expect("url"));
    let error = HostDatabase::new(locator, 1, Duration::from_secs(1)).map(drop).expect_err("refused");
    assert!(error.message.contains("`ssl-mode`") && !error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_certificate_is_verified_on_request_and_its_fault_is_named() {
    if Backend::Postgres.url().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
    let certificate = folder.path().join("server.crt");
    std::fs::write(&certificate, made.cert.pem()).expect("write");
    let server = Postgres::start_with_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).expect("server");
    let url = format!("{}/postgres", server.url());
    let required = format!("{url}?sslmode=require");
    drop(at(&required).begin().await.expect("encrypted, with any certificate"));
    let stranger = refusal(&format!("{url}?sslmode=verify-full")).await;
    assert!(stranger.message.contains("not signed by an authority that is known here"), "{stranger}");
    let known = format!("{url}?sslmode=verify-full&sslrootcert={}", certificate.display());
    drop(at(&known).begin().await.expect("verified"));
}

/// What `openssl x509 -req` makes of a request when it is given no extensions.
#[cfg(unix)]
#[tokio::test]
async fn a_certificate_of_version_1_is_named_as_such() {
    let is_here = std::process::Command::new("openssl").arg("version").output().is_ok();
    if Backend::Postgres.url().is_none() || !is_here {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let openssl = |arguments: &[&str]| {
        let done = std::process::Command::new("openssl").args(arguments).current_dir(folder.path()).output();
        let done = done.expect("openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "server.key",
        "-subj",
        "/CN=127.0.0.1",
        "-out",
        "r.csr",
    ]);
    openssl(&["x509", "-req", "-in", "r.csr", "-signkey", "server.key", "-days", "9", "-out", "server.crt"]);
    let text = std::process::Command::new("openssl")
        .args(["x509", "-in", "server.crt", "-noout", "-text"])
        .current_dir(folder.path())
        .output()
        .expect("openssl");
    if !String::from_utf8_lossy(&text.stdout).contains("Version: 1") {
        eprintln!("passed over: this openssl makes no certificates of version 1");
        return;
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("read");
    let server = Postgres::start_with_tls(&read("server.crt"), &read("server.key")).expect("server");
    let url = format!("{}/postgres?sslmode=require", server.url());
    let error = refusal(&url).await;
    assert!(error.message.contains("X.509 version 1"), "{error}");
}

#[tokio::test]
async fn an_ed25519_user_is_refused_with_the_supported_methods() {
    if Backend::MariaDb.url().is_none() {
        return;
    }
    let server = MariaDb::start().expect("server");
    let admin = format!("{}/mysql", server.url());
    if execute(&admin, "INSTALL SONAME 'auth_ed25519'").await.is_err() {
        eprintln!("passed over: this server has no ed25519");
        return;
    }
    execute(&admin, "CREATE USER e@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('secret-word')")
        .await
        .expect("user");
    let error = refusal(&format!("mysql://e:secret-word@127.0.0.1:{}/mysql", server.port())).await;
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(error.message.contains("ed25519") && error.message.contains("mysql_native_password"), "{error}");
    let wrong = refusal(&format!("mysql://nobody:secret-word@127.0.0.1:{}/mysql", server.port())).await;
    assert_eq!((wrong.kind, wrong.vendor_code), (ErrorKind::Rejected, Some(1045)), "{wrong}");
    assert!(!format!("{error}{wrong}").contains("secret-word"));
}
