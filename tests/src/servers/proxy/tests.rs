//! What the proxy does to connections, seen from both ends.

use super::*;

/// A server that answers every byte with the next one.
fn counting_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&[byte[0] + 1]).is_ok() {}
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
    let mut answer = [0];
    stream.write_all(&[byte])?;
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

#[test]
fn the_proxy_passes_then_cuts_then_accepts_new_connections() {
    let proxy = Proxy::start(counting_server()).unwrap();
    let mut first = connect(&proxy);
    assert_eq!(ask(&mut first, 1).unwrap(), 2);
    proxy.cut();
    assert!(ask(&mut first, 2).is_err());
    assert_eq!(ask(&mut connect(&proxy), 3).unwrap(), 4);
}

#[test]
fn the_proxy_refuses_and_returns_on_the_same_port() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    let mut open = connect(&proxy);
    assert_eq!(ask(&mut open, 1).unwrap(), 2);
    proxy.refuse();
    assert!(ask(&mut open, 2).is_err());
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.pass().unwrap();
    assert_eq!(ask(&mut connect(&proxy), 3).unwrap(), 4);
}

#[test]
fn a_delay_applies_to_each_direction() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    proxy.delay(Duration::from_millis(60)).unwrap();
    let began = Instant::now();
    assert_eq!(ask(&mut connect(&proxy), 1).unwrap(), 2);
    assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
}

#[test]
fn only_requests_with_the_given_text_get_the_answer() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    proxy.answer_to("\u{7}", b"\xff").unwrap();
    assert_eq!(ask(&mut connect(&proxy), 7).unwrap(), 0xff);
    assert_eq!(ask(&mut connect(&proxy), 8).unwrap(), 9);
}

#[test]
fn held_responses_arrive_once_passing_again() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    proxy.hold_answers().unwrap();
    let mut stream = connect(&proxy);
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    assert!(ask(&mut stream, 1).is_err());
    proxy.pass().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [2]);
}

#[test]
fn only_writing_requests_are_held_and_arrive_late() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
    proxy.hold_writes().unwrap();
    let mut reader = connect(&proxy);
    reader.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut first = listener.accept().unwrap().0;
    first.read_exact(&mut [0; 18]).unwrap();
    assert_eq!(proxy.held(), 0);
    let mut writer = connect(&proxy);
    writer.write_all(b"PUT / HTTP/1.1\r\n\r\n").unwrap();
    let mut second = listener.accept().unwrap().0;
    second.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    assert!(second.read_exact(&mut [0]).is_err());
    assert_eq!(proxy.held(), 1);
    // Its client has gone, and it arrives all the same.
    drop(writer);
    proxy.pass().unwrap();
    second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    second.read_exact(&mut [0; 18]).unwrap();
}

#[test]
fn only_responses_to_writing_requests_are_held() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut proxy = Proxy::start(listener.local_addr().unwrap().port()).unwrap();
    proxy.hold_answers_to_writes().unwrap();
    let mut client = connect(&proxy);
    let mut server = None;
    for (request, is_held) in [(&b"GET / "[..], false), (b"POST /", true)] {
        client.write_all(request).unwrap();
        let stream: &mut TcpStream = server.get_or_insert_with(|| listener.accept().unwrap().0);
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(b"!").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(if is_held { 150 } else { 20_000 }))).unwrap();
        assert_eq!(client.read_exact(&mut [0]).is_err(), is_held);
    }
    assert_eq!(proxy.held(), 1);
}

#[test]
fn the_proxy_answers_instead_of_the_server() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    proxy.answer(&[9]).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 9);
    assert!(ask(&mut stream, 1).is_err(), "the connection ends with the answer");
    proxy.pass().unwrap();
    assert_eq!(ask(&mut connect(&proxy), 1).unwrap(), 2);
}

#[test]
fn a_half_closed_connection_passes_no_more_responses() {
    for half in [Half::ToClient, Half::ToServer] {
        let proxy = Proxy::start(counting_server()).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream, 1).unwrap(), 2);
        proxy.half_close(half);
        assert!(ask(&mut stream, 1).is_err(), "{half:?}");
    }
}

#[test]
fn a_held_connection_passes_nothing_and_can_be_cut() {
    let mut proxy = Proxy::start(counting_server()).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream, 1).unwrap(), 2);
    proxy.hold_all().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    assert!(ask(&mut stream, 1).is_err());
    proxy.cut();
    proxy.pass().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(stream.read_exact(&mut [0]).is_err(), "what was held is lost");
    assert_eq!(ask(&mut connect(&proxy), 3).unwrap(), 4);
}
