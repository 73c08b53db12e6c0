//! Calls of gRPC: how long their copies live, and what their shadows say.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, server};
use http::{HeaderMap, HeaderValue, Response};

use super::{shadows::scripted, *};
use crate::{
    record::GrpcStatus,
    route::{Outliers, Protocol, Settings},
};

const OK: Outcome = Outcome::Completed { status: 200 };
const CALL: Fields<'_> = &[("host", "shop"), ("te", "trailers"), ("content-type", "application/grpc")];

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
}

/// Says of each stream that was reset why it was. `/head` and `/trailers` are answered UNAVAILABLE there; `/stream` has a
/// message at once and no end; `/finished` one and an end; anything else no answer.
async fn shadow() -> (SocketAddr, mpsc::UnboundedReceiver<Reason>) {
    let (resets_tx, resets) = mpsc::unbounded_channel();
    let address = scripted(move |stream| {
        let resets_tx = resets_tx.clone();
        async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let resets_tx = resets_tx.clone();
                tokio::spawn(async move {
                    let mut response = Response::new(());
                    if request.uri().path() == "/head" {
                        *response.headers_mut() = status("14");
                        respond.send_response(response, true).unwrap();
                        return;
                    }
                    if !["/stream", "/trailers", "/finished"].contains(&request.uri().path()) {
                        resets_tx.send(poll_fn(|cx| respond.poll_reset(cx)).await.unwrap()).unwrap();
                        return;
                    }
                    let mut answer = respond.send_response(response, false).unwrap();
                    answer.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).unwrap();
                    match request.uri().path() {
                        "/trailers" => answer.send_trailers(status("14")).unwrap(),
                        "/finished" => answer.send_trailers(status("0")).unwrap(),
                        _ => resets_tx.send(poll_fn(|cx| answer.poll_reset(cx)).await.unwrap()).unwrap(),
                    }
                });
            }
        }
    })
    .await;
    (address, resets)
}

fn scene(shadow: SocketAddr, timeout: Duration, outliers: Option<Outliers>) -> Scene {
    let settings = Settings { protocol: Protocol::Http2, outliers, ..Settings::default() };
    let cluster = Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", [shadow]) };
    Scene::to(Shadow { timeout, ..config() }, cluster)
}

impl Scene {
    /// A call whose request is whole.
    fn call(&self, target: &str) -> Call {
        self.offer_http2(target, CALL).unwrap().end(None).unwrap()
    }
}

#[tokio::test]
async fn the_status_of_a_call_is_kept_wherever_it_stands() {
    let (address, _resets) = shadow().await;
    let scene = scene(address, NEVER, None);
    for (target, code) in [("/head", 14), ("/trailers", 14), ("/finished", 0)] {
        scene.call(target).over();
        let ended = scene.ended().await;
        assert_eq!((ended.outcome, ended.grpc_status.map(GrpcStatus::code)), (OK, Some(code)), "{target}");
    }
    // Of what is no call it means nothing.
    scene.offer_http2("/head", &[("host", "shop")]).unwrap().end(None);
    assert_eq!(scene.ended().await.grpc_status, None);
    let balance = scene.mirror.account.read();
    assert_eq!((balance.completed, balance.calls[14], balance.calls[0]), (4, 2, 1));
    scene.finish();
}

#[tokio::test]
async fn the_copy_of_a_server_stream_lives_as_long_as_the_stream() {
    let (address, mut resets) = shadow().await;
    let timeout = Duration::from_millis(50);
    let scene = scene(address, timeout, None);
    let call = scene.call("/stream");
    // Another copy is given up after its time; the stream's is still there.
    scene.offer_http2("/silent", &[("host", "shop")]).unwrap().end(None);
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    assert_eq!(resets.recv().await.unwrap(), Reason::CANCEL);
    tokio::time::sleep(timeout * 2).await;
    assert_eq!(scene.mirror.account.read().in_flight(), 1);
    // When the primary's has ended, its time runs.
    call.over();
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    assert_eq!(resets.recv().await.unwrap(), Reason::CANCEL);
    scene.finish();
}

#[tokio::test]
async fn the_copy_of_a_call_is_cancelled_with_it() {
    let (address, mut resets) = shadow().await;
    let scene = scene(address, NEVER, None);
    let stream = scene.call("/stream");
    scene.call("/finished").over();
    assert_eq!(scene.outcome().await, OK);
    drop(stream);
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    assert_eq!(resets.recv().await.unwrap(), Reason::CANCEL);
    // Before its request was whole, too.
    drop(scene.offer_http2("/stream", CALL).unwrap());
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    scene.finish();
}

#[tokio::test]
async fn the_deadline_of_a_call_is_that_of_its_copy() {
    let (address, mut resets) = shadow().await;
    let scene = scene(address, NEVER, None);
    let fields = [CALL, &[("grpc-timeout", "30m")]].concat();
    let feed = scene.offer_http2("/silent", &fields).unwrap();
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    let call = scene.offer_http2("/silent", &fields).unwrap().end(None).unwrap();
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    assert_eq!(resets.recv().await.unwrap(), Reason::CANCEL);
    drop((feed, call));
    scene.finish();
}

#[tokio::test]
async fn an_unavailable_shadow_is_ejected_as_envoy_would() {
    let outliers = Outliers {
        consecutive_5xx: 0,
        consecutive_gateway_errors: 2,
        split_local_errors: false,
        consecutive_local_failures: 0,
        interval: NEVER,
        base_ejection: NEVER,
        max_ejected_percent: 100,
        min_healthy_percent: 0,
    };
    let (address, _resets) = shadow().await;
    let scene = scene(address, NEVER, Some(outliers));
    let mut outcomes = Vec::new();
    // Envoy does not look at a status in trailers.
    for target in ["/head", "/trailers", "/head", "/head", "/head"] {
        scene.call(target).over();
        outcomes.push(scene.outcome().await);
    }
    assert_eq!(outcomes, [OK, OK, OK, OK, Outcome::Dropped(DropReason::Ejected)]);
    scene.finish();
}
