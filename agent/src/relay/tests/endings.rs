//! How connections end, and that both sides learn it.

use std::io::ErrorKind;

use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};

use super::*;

sockopt_impl!(Linger2, SetOnly, libc::IPPROTO_TCP, libc::TCP_LINGER2, libc::c_int);

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_app() {
    let (client, mut app, relay) = relayed().await;
    reset(&client);
    drop(client);
    let error = app.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(relay.await.unwrap().0, End::Reset);
}

#[tokio::test]
async fn a_reset_by_the_app_reaches_the_client_after_what_it_said() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"last words").await.unwrap();
    let mut words = [0; 10];
    client.read_exact(&mut words).await.unwrap();
    reset(&app);
    drop(app);
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!((relay.await.unwrap().0, &words), (End::Reset, b"last words"));
}

#[tokio::test]
async fn a_client_that_resets_while_the_app_does_not_read_is_noticed() {
    let (client, app, relay) = relayed().await;
    // So that the relay waits to write.
    fill(&client).await;
    reset(&client);
    drop(client);
    assert_eq!(relay.await.unwrap().0, End::Reset);
    drop(app);
}

#[tokio::test]
async fn an_app_that_closes_while_the_client_still_sends_resets_it_after_the_response() {
    let (mut client, mut app, relay) = relayed().await;
    client.write_all(b"upload").await.unwrap();
    let mut upload = [0; 6];
    app.read_exact(&mut upload).await.unwrap();
    app.write_all(b"413").await.unwrap();
    drop(app);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"413");
    while client.write_all(&[0; 1024]).await.is_ok() {}
    assert_eq!(relay.await.unwrap().0, End::Reset);
}

#[tokio::test]
async fn a_reset_by_the_app_stays_a_reset_when_a_write_meets_it_first() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"the first half").await.unwrap();
    client.read_exact(&mut [0; 14]).await.unwrap();
    reset(&app);
    drop(app);
    // Before the relay had its turn: its write fails, and takes the socket's error with it.
    client.try_write(b"more").unwrap();
    let error = client.read(&mut [0; 1]).await.expect_err("half an answer must not look whole");
    assert_eq!((relay.await.unwrap().0, error.kind()), (End::Reset, ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_client_that_resets_after_its_end_is_noticed_while_the_app_is_silent() {
    let (mut client, mut app, relay) = relayed().await;
    client.shutdown().await.unwrap();
    assert_eq!(app.read(&mut [0; 1]).await.unwrap(), 0);
    reset(&client);
    drop(client);
    let end = tokio::time::timeout(std::time::Duration::from_secs(5), relay).await;
    assert_eq!(end.expect("the app is told at once").unwrap().0, End::Reset);
    drop(app);
}

#[tokio::test]
async fn an_app_that_has_gone_is_not_kept_open_by_a_client_that_never_closes() {
    let (mut client, mut app, relay) = relayed().await;
    app.write_all(b"goodbye").await.unwrap();
    // Seconds for which its kernel remembers it.
    setsockopt(&app, Linger2, &1).unwrap();
    drop(app);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let end = tokio::time::timeout(std::time::Duration::from_secs(20), relay).await;
    assert_eq!(end.expect("the relay ends").unwrap().0, End::Closed);
}

#[tokio::test]
async fn an_app_that_only_listens_on_is_waited_for() {
    let (mut client, mut app, _relay) = relayed().await;
    app.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    tokio::time::sleep(2 * (GONE_AFTER + GONE_PROBES * GONE_INTERVAL)).await;
    client.write_all(b"late").await.unwrap();
    let mut late = [0; 4];
    app.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"late");
}
