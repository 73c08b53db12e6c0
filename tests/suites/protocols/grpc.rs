//! What a shadow says of a gRPC call shows, whether its head or its trailers say it.

use std::net::SocketAddr;

use support::{Config, Nginx, Pod};

use crate::World;

/// An nginx that speaks HTTP/2 and answers calls, each after it was read whole; the path names the status of the answer.
fn server(pod: &Pod) -> Nginx {
    let http = "  default_type application/grpc;\n  access_log off;\n  \
                server {\n    listen 8080 http2;\n    \
                location /head/ { proxy_pass http://127.0.0.1:8081; add_header grpc-status 14 always; }\n    \
                location / { proxy_pass http://127.0.0.1:8081; add_trailer grpc-status 5 always; }\n  }\n  \
                server { listen 127.0.0.1:8081; location / { return 200 ok; } location /head/ { return 200; } }";
    Nginx::start(pod.netns(), SocketAddr::new(pod.ip(), 8080), http)
}

#[test]
fn the_status_of_a_shadow_is_shown_for_each_call() {
    let world = World::new();
    let (primary, shadow) = (server(&world.app), server(&world.shadow));
    let config =
        Config::capture(&world.app.netns().path(), primary.address()).mirror(shadow.address(), 100.0);
    let agent = world.agent(&config, |yaml| {
        yaml.replace("{number: 80, name: http, protocol: HTTP", "{number: 80, name: grpc, protocol: GRPC")
    });
    let curl = |path: &str, kind: &str| {
        let mut curl = world.client.netns().command("curl");
        curl.args([
            "--http2-prior-knowledge",
            "-sS",
            "--max-time",
            "30",
            "-H",
            "te: trailers",
            "-d",
            "x",
            "-H",
        ]);
        let output = curl.arg(kind).arg(format!("http://{}{path}", primary.address())).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for _ in 0..2 {
        curl("/head/a", "content-type: application/grpc");
    }
    curl("/shop.Cart/Add", "content-type: application/grpc+proto");
    curl("/plain", "content-type: text/plain");

    let completed = "umbra_shadow_outcomes_total{outcome=\"completed\"";
    agent.eventually(&format!("{completed},grpc_response_status=\"14\"}}"), 2);
    agent.eventually(&format!("{completed},grpc_response_status=\"5\"}}"), 1);
    agent.eventually(&format!("{completed}}}"), 4);
    agent.accounting_is_exact();
}
