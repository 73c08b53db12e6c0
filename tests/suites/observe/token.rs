//! The token of the admin API.

use std::{fs, process::Command};

use http::Method;
use support::{Client, Config, Node, agent, binary, upstream};

use super::complained;

#[test]
fn who_does_not_know_the_token_sees_nothing_but_probes_and_metrics() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let folder = tempfile::tempdir().unwrap();
    let (token, socket) = (folder.path().join("token"), folder.path().join("admin.sock"));
    fs::write(&token, "a secret\n").unwrap();
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .socket(&socket);
    let builder = agent(&node);
    let yaml = config.to_yaml(builder.admin());
    let yaml = yaml.replacen("admin: {", &format!("admin: {{tokenFile: {}, ", token.display()), 1);
    let agent = builder.yaml(&yaml).start();

    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(agent.ask(path).unwrap().status, 200, "{path}");
    }
    for path in ["/api/v1/status", "/api/v1/tap", "/api/v1/exchanges", "/api/v1/nothing"] {
        let refused = agent.ask(path).unwrap();
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"), "{path}");
        assert!(
            refused.text().contains("asks for a token") && !refused.text().contains("secret"),
            "{}",
            refused.text()
        );
    }
    let mut wrong = Client::new(node.netns(), agent.admin()).header("authorization", "Bearer another");
    assert_eq!(wrong.send(Method::GET, "/api/v1/status", b"").unwrap().status, 401);
    let mut right = Client::new(node.netns(), agent.admin()).header("authorization", "Bearer a secret");
    assert_eq!(right.send(Method::GET, "/api/v1/status", b"").unwrap().status, 200);

    let refused = agent.umbra(&["status"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complained(&refused).contains("UMBRA_TOKEN or --token-file"), "{}", complained(&refused));
    assert!(agent.umbra(&["status", "--token-file", token.to_str().unwrap()]).status.success());
    let mut known = node.netns().command(binary());
    known.args(["status", "--admin", &agent.admin().to_string()]).env("UMBRA_TOKEN", "a secret");
    assert!(known.output().unwrap().status.success());
    let place = format!("unix:{}", socket.display());
    assert!(Command::new(binary()).args(["status", "--admin", &place]).output().unwrap().status.success());

    // As it is rotated.
    fs::write(&token, "another").unwrap();
    assert_eq!(wrong.send(Method::GET, "/api/v1/status", b"").unwrap().status, 200);
    assert_eq!(right.send(Method::GET, "/api/v1/status", b"").unwrap().status, 401);
}
