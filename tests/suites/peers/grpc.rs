//! gRPC's own client and server, in every kind of call; the shadow is such a server too.

use crate::{
    probe::{Probe, hold, probe},
    scene::Scene,
    servers::Program,
};

fn call(name: &'static str, scenario: &'static str) -> Probe {
    // What gRPC's core sends besides the messages (pings, windows) depends on the clock.
    let line = format!("$python $programs/grpc_client.py $to {scenario}");
    probe(name, line.leak()).bytes_vary()
}

#[test]
fn grpc_in_every_kind_of_call() {
    let scene = Scene::new(
        "GRPC",
        |pod, _| Program::python(pod, "grpc_server.py", &[]),
        |pod, _| Program::python(pod, "grpc_server.py", &["hasty"]),
    );
    hold(
        &scene,
        [
            call("unary, with metadata", "one").mirrored("http2 1, requests 3, completed 3"),
            call("messages of 4 MiB, and one too large", "large")
                .mirrored("http2 1, requests 2, completed 2"),
            call("compressed", "compressed").mirrored("http2 1, requests 1, completed 1"),
            call("a stream of the client", "upload").mirrored("http2 1, requests 1, completed 1"),
            call("a stream of 4 MiB messages", "upload_large").mirrored("http2 1, requests 1, completed 1"),
            call("a stream of the server", "download").mirrored("http2 1, requests 1, completed 1"),
            call("streams of both, in turn", "chat").mirrored("http2 1, requests 1, completed 1"),
            call("streams without a message", "empty_chat").mirrored("http2 1, requests 1, completed 1"),
            call("errors, with details", "errors").mirrored("http2 1, requests 2, completed 2"),
            call("a deadline kept", "deadline_kept").mirrored("http2 1, requests 1, completed 1"),
            call("a deadline exceeded", "deadline_exceeded").mirrored("http2 1, requests 1, completed 1"),
            call("cancelled within the answer", "cancelled")
                .books("http2 1, requests 1, dropped cancelled 1"),
            call("cancelled within the request", "upload_cancelled")
                .books("http2 1, requests 1, dropped cancelled 1"),
            call("a hundred at once", "many").mirrored("http2 1, requests 100, completed 100"),
        ],
    );
}
