//! Files and addresses: what is refused before anything is asked, and an installation that is broken off.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tests::environment::adapter;

use crate::support::{assert_nothing_installed, assert_refused, host, installed, new_key, trust, trusting};

/// A server on loopback for as long as the test runs; it answers each request by its path.
fn serve(mut answer: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.extend(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            answer(request.split(' ').nth(1).unwrap_or_default(), &mut stream);
        }
    });
    address
}

fn respond(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may be gone.
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn an_address_gives_adapter_and_signature() {
    let host = host("");
    let key = new_key(&host, "ours.key");
    trust(&host, &trusting(&key, true));
    let _ = host.run(&["plugin", "sign", "release.wasm", "--key", "ours.key"]).expect_success();
    let component = fs::read(host.folder().join("release.wasm")).expect("release");
    let signature = fs::read(host.folder().join("release.wasm.minisig")).expect("signature");
    let address = serve(move |path, stream| match path {
        "/openemr.wasm" => respond(stream, "200 OK", &component),
        "/openemr.wasm.minisig" => respond(stream, "200 OK", &signature),
        "/moved.wasm" => respond(stream, "302 Found\r\nLocation: /openemr.wasm", b""),
        "/away.wasm" => respond(stream, "302 Found\r\nLocation: http://192.0.2.1/openemr.wasm", b""),
        _ => respond(stream, "404 Not Found", b"no"),
    });
    let install = |path: &str| host.run(&["plugin", "install", &format!("{address}{path}"), "--name", "openemr"]);
    assert_refused(&install("/other.wasm"), 5, &["404"]);
    assert_refused(&install("/away.wasm"), 5, &["redirects to plain http"]);
    assert_refused(&install("/moved.wasm"), 5, &["has no signature"]);
    assert_nothing_installed(&host);
    let _ = install("/openemr.wasm").expect_success();
    assert!(installed(&host).is_file());
}

#[test]
fn plain_http_and_unknown_schemes_are_refused_before_anybody_is_asked() {
    let host = host("");
    for (source, words) in [
        ("http://192.0.2.1/openemr.wasm", "plain http"),
        ("ftp://192.0.2.1/openemr.wasm", "none of https:// and oci://"),
        ("oci://openemr", "expected oci://REGISTRY"),
        ("https://me:hunter2@192.0.2.1/openemr.wasm", "holds a user"),
    ] {
        let output = host.run(&["plugin", "install", source]);
        assert_refused(&output, 2, &[words]);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    assert_refused(&host.run(&["plugin", "install", "release.wasm", "--name", "../up"]), 2, &["--name"]);
    assert_nothing_installed(&host);
}

#[test]
fn a_download_that_is_cut_or_killed_leaves_nothing() {
    let host = host("");
    let half = fs::read(adapter("openemr")).expect("adapter");
    let (begun, has_begun) = mpsc::channel();
    let address = serve(move |path, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", half.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&half[..half.len() / 2])).expect("send");
        if path == "/killed.wasm" {
            begun.send(()).expect("the test waits");
            // Until the other side is gone.
            let _gone = stream.read(&mut [0]);
        }
    });
    let cut = format!("{address}/cut.wasm");
    assert_refused(&host.run(&["plugin", "install", &cut, "--name", "openemr"]), 5, &[&cut]);
    assert_nothing_installed(&host);
    let mut killed =
        host.spawn(&["plugin", "install", &format!("{address}/killed.wasm"), "--name", "openemr"]).expect("spawn");
    has_begun.recv_timeout(Duration::from_secs(60)).expect("the download has begun");
    killed.kill();
    assert_nothing_installed(&host);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let host = host("");
    let address = serve(|_, stream| {
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let block = vec![0; 1 << 20];
        while sent.is_ok() {
            sent = stream.write_all(&block);
        }
    });
    assert_refused(&host.run(&["plugin", "install", &format!("{address}/a.wasm")]), 5, &["larger than 256 MiB"]);
    assert_nothing_installed(&host);
}
