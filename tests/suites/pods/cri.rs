//! What a kubelet asks of a container runtime: whether an image is there, to run a pod's sandbox, and to remove it. The fields that this takes, by their
//! numbers in CRI's `api.proto` (runtime.v1).

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::UnixStream, runtime, time::timeout};

#[derive(Clone, PartialEq, Message)]
struct RunPodSandbox {
    #[prost(message, required, tag = "1")]
    config: Config,
}

#[derive(Clone, PartialEq, Message)]
struct Config {
    #[prost(message, required, tag = "1")]
    metadata: Metadata,
    #[prost(string, tag = "2")]
    hostname: String,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, required, tag = "8")]
    linux: Linux,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Linux {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
}

/// The answer to `RunPodSandbox`, and the question of `StopPodSandbox` and `RemovePodSandbox`.
#[derive(Clone, PartialEq, Message)]
struct Sandbox {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// The question of `ImageStatus`, with the image's reference, and its answer, with its ID, where there is such an image.
#[derive(Clone, PartialEq, Message)]
struct ImageStatus {
    #[prost(message, optional, tag = "1")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    name: String,
}

pub(crate) fn is_ready(socket: &Path) -> bool {
    call::<Nothing>(socket, "RuntimeService/Version", &Nothing {}).is_ok()
}

pub(crate) fn has_image(socket: &Path, name: &str) -> bool {
    let question = ImageStatus { image: Some(Image { name: name.to_owned() }) };
    call::<ImageStatus>(socket, "ImageService/ImageStatus", &question).is_ok_and(|it| it.image.is_some())
}

/// Runs a pod of the namespace `shop`, labelled as the kubelet does. Returns its sandbox.
pub(crate) fn run(socket: &Path, name: &str, uid: &str, cgroup_parent: &str) -> anyhow::Result<String> {
    let config = Config {
        metadata: Metadata { name: name.to_owned(), uid: uid.to_owned(), namespace: "shop".to_owned() },
        hostname: name.to_owned(),
        labels: HashMap::from([("io.kubernetes.pod.uid".to_owned(), uid.to_owned())]),
        linux: Linux { cgroup_parent: cgroup_parent.to_owned() },
    };
    Ok(call::<Sandbox>(socket, "RuntimeService/RunPodSandbox", &RunPodSandbox { config })?.id)
}

pub(crate) fn remove(socket: &Path, sandbox: &str) -> anyhow::Result<()> {
    let sandbox = Sandbox { id: sandbox.to_owned() };
    call::<Nothing>(socket, "RuntimeService/StopPodSandbox", &sandbox)?;
    call::<Nothing>(socket, "RuntimeService/RemovePodSandbox", &sandbox).map(drop)
}

fn call<A: Message + Default>(socket: &Path, method: &str, question: &impl Message) -> anyhow::Result<A> {
    let called = async {
        let stream = UnixStream::connect(socket).await?;
        let (mut requests, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(question.encoded_len().try_into()?);
        question.encode(&mut framed)?;
        let request = Request::post(format!("http://localhost/runtime.v1.{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::<Bytes>::new(framed.freeze()))?;
        let (head, body) = requests.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "{method}: {trailers:?}");
        let message = body.to_bytes();
        Ok(A::decode(message.get(5..).context("no message")?)?)
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { timeout(Duration::from_secs(15), called).await? })
}
