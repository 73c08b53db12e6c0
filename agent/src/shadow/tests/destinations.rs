//! What a DestinationRule says shows in what becomes of copies.

use super::{shadows::*, *};
use crate::route::{Answers, At, Connections, Endpoint, Impossible, Outliers, Security, Settings};

fn cluster(shadow: SocketAddr, settings: Settings) -> Cluster {
    Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", [shadow]) }
}

fn outliers() -> Outliers {
    Outliers {
        consecutive_5xx: 2,
        consecutive_gateway_errors: 0,
        split_local_errors: false,
        consecutive_local_failures: 2,
        interval: NEVER,
        base_ejection: NEVER,
        max_ejected_percent: 100,
        min_healthy_percent: 0,
    }
}

fn ejecting(shadow: SocketAddr) -> Cluster {
    cluster(shadow, Settings { outliers: Some(outliers()), ..Settings::default() })
}

/// What becomes of so many copies, one after the other.
async fn outcomes(scene: &Scene, copies: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..copies {
        scene.get("/");
        outcomes.push(scene.outcome().await);
    }
    outcomes
}

const EJECTED: Outcome = Outcome::Dropped(DropReason::Ejected);

#[tokio::test]
async fn a_shadow_that_answers_with_errors_is_left_alone_for_a_while() {
    let shadow = answers(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
    let scene = Scene::to(config(), ejecting(shadow));
    let error = Outcome::Completed { status: 500 };
    assert_eq!(outcomes(&scene, 4).await, [error, error, EJECTED, EJECTED]);
    scene.finish();
}

#[tokio::test]
async fn a_shadow_that_is_not_there_is_left_alone_for_a_while() {
    let refusing = tokio::net::TcpSocket::new_v4().unwrap();
    refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let scene = Scene::to(config(), ejecting(refusing.local_addr().unwrap()));
    let failed = Outcome::Failed(FailReason::Connect);
    assert_eq!(outcomes(&scene, 3).await, [failed, failed, EJECTED]);
    scene.finish();
}

#[tokio::test]
async fn a_shadow_that_never_answers_is_left_alone_for_a_while() {
    let config = Shadow { timeout: Duration::from_millis(20), ..config() };
    let scene = Scene::to(config, ejecting(black_hole().await));
    let late = Outcome::Failed(FailReason::Timeout);
    assert_eq!(outcomes(&scene, 3).await, [late, late, EJECTED]);
    scene.finish();
}

#[tokio::test]
async fn copies_that_may_not_wait_are_dropped() {
    let (held_tx, mut held) = mpsc::unbounded_channel();
    let shadow = scripted(move |stream| {
        let _ = held_tx.send(stream);
        async {}
    })
    .await;
    let connections = Connections { max: Some(1), max_pending: Some(1), ..Connections::default() };
    let scene = Scene::to(config(), cluster(shadow, Settings { connections, ..Settings::default() }));
    scene.get("/answered");
    let connection = held.recv().await.unwrap();
    // The first has its connection before the second comes: the shadow got its request.
    connection.readable().await.unwrap();
    scene.get("/waits");
    scene.get("/dropped");
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Pending));
    drop((connection, held));
    for _ in 0..2 {
        assert!(matches!(scene.outcome().await, Outcome::Failed(_)));
    }
    scene.finish();
}

#[tokio::test]
async fn what_cannot_be_encrypted_or_resolved_fails_with_its_reason() {
    let healthy = Healthy::start().await;
    let security = Security::Impossible(Impossible::NoIdentity);
    let scene = Scene::to(config(), cluster(healthy.address, Settings { security, ..Settings::default() }));
    assert_eq!(outcomes(&scene, 1).await, [Outcome::Failed(FailReason::Tls)]);
    scene.finish();
    assert_eq!(healthy.connections(), 0);

    // No name server may answer for this domain (RFC 6761 §6.4).
    let at = At::Name { name: "shadow.invalid.".into(), port: 80, answers: Answers::All };
    let endpoints = vec![Endpoint { at, weight: 1, level: 0 }];
    let scene =
        Scene::to(config(), Cluster { endpoints, ..Cluster::plain("outbound|80||shadow.invalid", []) });
    assert_eq!(outcomes(&scene, 2).await, [Outcome::Failed(FailReason::Dns); 2]);
    scene.finish();
}
