//! The examples in Python and JavaScript, delivering from the outbox to a target with the real daemon.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::database::Database;
use tests::environment::{Backend, adapter_if_built, workspace};
use tests::host::{Configuration, Host, quoted};

use crate::{cache, example_table};

type Documents = Arc<Mutex<BTreeMap<String, String>>>;

/// The smallest directory of patients: keeps what is PUT, by path.
fn directory() -> (String, Documents) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("http://{}/api", listener.local_addr().expect("address"));
    let documents = Documents::default();
    let kept = Arc::clone(&documents);
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("connection"), &kept).expect("answer");
        }
    });
    (url, documents)
}

fn answer(mut stream: TcpStream, documents: &Documents) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    if words.next() == Some("PUT") {
        let path = words.next().unwrap_or_default().to_owned();
        documents.lock().expect("lock").insert(path, String::from_utf8_lossy(&body).into_owned());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"1\"\r\ncontent-length: 2\r\n\r\n{}")
}

#[tokio::test]
async fn the_python_example_delivers_to_a_database_and_the_javascript_one_over_http() {
    let (Some(chart), Some(web)) =
        (adapter_if_built("example-chart-python"), adapter_if_built("example-directory-javascript"))
    else {
        return;
    };
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    target.load_sql(example_table().as_ref()).await.expect("tables");
    let (url, documents) = directory();
    let configuration = Configuration::new("sqlite://.host/host.db").more(&format!(
        "[plugins]\ncache = {}\n\
         [targets.chart]\nadapter = {}\n[targets.chart.database]\nurl = {}\nallow = {{ read = [\"*\"], insert = [\"*\"], update = [\"*\"], delete = [\"*\"] }}\n\
         [targets.directory]\nadapter = {}\naggregate_types = [\"patient\", \"encounter\", \"condition\", \"allergy\", \
         \"medication\", \"observation\", \"appointment\"]\n\
         [targets.directory.http]\nbase_url = {}\nallow_private = true\n",
        quoted(&cache().to_string_lossy()),
        quoted(&chart.to_string_lossy()),
        quoted(target.url()),
        quoted(&web.to_string_lossy()),
        quoted(&url),
    ));
    let host = Host::new(&configuration).expect("host");
    let seeds = ["initial.toml", "clinical.toml"].map(|name| workspace().join("seeds").join(name));
    let seeds = seeds.map(|path| path.to_string_lossy().into_owned());
    let _ = host.run(&["seed", &seeds[0], &seeds[1]]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();

    let status = host.status();
    let (chart, directory) = (&status["targets"]["chart"], &status["targets"]["directory"]);
    assert_eq!((&chart["done"], &status["totals"]["failed"]), (&5.into(), &0.into()), "{status}");
    let documents = documents.lock().expect("lock").clone();
    assert_eq!(directory["done"], documents.len(), "{:?}", documents.keys());
    let read = |path: &str| serde_json::from_str::<serde_json::Value>(&documents[path]).expect("JSON");
    let first = read("/api/patients/P-2025-001");
    assert_eq!((&first["family_name"], &first["given_name"]), (&"Kim".into(), &"MinJun".into()));
    let condition = read("/api/conditions/C-2025-0001");
    assert_eq!((&condition["onset"], &condition["code"]["code"]), (&"2019-04".into(), &"G43.1".into()));
    // The directory's ids of the patient and the visit are the application's own.
    assert_eq!(condition["references"], serde_json::json!({ "subject": "P-2025-001", "encounter": "E-2025-0001" }));
    for folder in ["encounters", "allergies", "medications", "observations", "appointments"] {
        let prefix = format!("/api/{folder}/");
        assert!(documents.keys().any(|path| path.starts_with(&prefix)), "{folder}: {:?}", documents.keys());
    }
    // A row that is there can be taken away, and one that is not cannot: five, and none twice.
    for name in ["Kim", "Lee", "Park", "Namgung"] {
        let once = format!(
            "INSERT INTO example_chart SELECT 'again-{name}', family_name, given_name, birth_date, phone \
             FROM example_chart WHERE family_name = '{name}'"
        );
        target.execute(&once).await.expect("exactly one row of that name");
    }
}
