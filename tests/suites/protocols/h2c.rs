//! `Upgrade: h2c` between real peers: the request that asks for it is one request at the app, one in the records and one
//! copy, whichever version answers.

use std::process::{Child, Command, Stdio};

use support::{Agent, Config, Upstream, eventually, upstream};

use crate::World;

/// nghttpx, which speaks HTTP/1.1 and changes to HTTP/2, before the app itself; killed when dropped.
struct Front(Child);

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Scene {
    world: World,
    app: Upstream,
    copies: Upstream,
    agent: Agent,
    url: String,
    _front: Front,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let app = upstream(&world.app).replies("hello").start();
        let copies = upstream(&world.shadow).start();
        let address = (world.app.ip(), 8080).into();
        let front = world
            .app
            .netns()
            .command("nghttpx")
            .args(["--conf=/dev/null", "--single-process", "--workers=1", "--errorlog-file=/dev/stderr"])
            .args(["-f", "0.0.0.0,8080;no-tls", "-b"])
            .arg(format!("{},{};;proto=http/1.1", app.address().ip(), app.port()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start nghttpx: {error}; run by `cargo xtask test`"));
        let front = Front(front);
        eventually("nghttpx to listen", || world.app.netns().connect(address).ok());
        let config = Config::capture(&world.app.netns().path(), address).mirror(copies.address(), 100.0);
        let agent = world.agent(&config, |yaml| yaml);
        Self { url: format!("http://{address}"), world, app, copies, agent, _front: front }
    }

    fn output(&self, command: &mut Command) -> String {
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}\n{}", output.status, self.agent.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// As many requests reached the app as were recorded and copied, with these paths.
    fn were_each_one(&self, mut expected: Vec<&str>) {
        let mut copies: Vec<_> =
            self.copies.eventually_received(expected.len()).into_iter().map(|copy| copy.target).collect();
        let mut requests: Vec<_> = self.app.received().into_iter().map(|request| request.target).collect();
        copies.sort();
        requests.sort();
        expected.sort_unstable();
        assert_eq!((&copies, &requests), (&requests, &copies));
        assert_eq!(copies, expected);
        let count = u32::try_from(expected.len()).unwrap();
        self.agent.eventually("umbra_requests_total{matched=\"true\"}", count);
        self.agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", count);
        self.agent.eventually("umbra_unread_connections_total", 0);
        self.agent.accounting_is_exact();
    }
}

#[test]
fn curl_goes_on_in_http2_and_its_first_request_is_one_request() {
    let scene = Scene::new();
    let mut curl = scene.world.client.netns().command("curl");
    curl.args(["--http2", "-sS", "--max-time", "30", "-w", "%{http_version} "]);
    let said = scene.output(curl.args(["/first", "/second", "/third"].map(|path| scene.url.clone() + path)));
    assert_eq!(said, "hello2 hello2 hello2 ");
    scene.were_each_one(vec!["/first", "/second", "/third"]);
    for copy in scene.copies.received() {
        assert_eq!(copy.header("upgrade"), "");
        assert_eq!(copy.header("http2-settings"), "");
    }
    scene.agent.eventually("umbra_connections_total{protocol=\"http1\"}", 1);
}

#[test]
fn nghttp_goes_on_in_http2_with_many_streams() {
    let scene = Scene::new();
    let paths: Vec<String> = (10..40).map(|number| format!("/get/{number}")).collect();
    let mut nghttp = scene.world.client.netns().command("nghttp");
    let urls = paths.iter().map(|path| scene.url.clone() + path);
    let said = scene.output(nghttp.args(["--upgrade", "--no-dep", "--timeout=30"]).args(urls));
    assert_eq!(said, "hello".repeat(paths.len()));
    scene.were_each_one(paths.iter().map(String::as_str).collect());
}

#[test]
fn a_server_that_knows_no_http2_is_read_on_in_http1() {
    let world = World::new();
    let (app, copies) = (upstream(&world.app).replies("hello").start(), upstream(&world.shadow).start());
    let config = Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
    let agent = world.agent(&config, |yaml| yaml);
    let urls = ["/first", "/second"].map(|path| format!("http://{}{path}", app.address()));
    let mut curl = world.client.netns().command("curl");
    let output = curl.args(["--http2", "-sS", "-w", "%{http_version} "]).args(urls).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello1.1 hello1.1 ");
    copies.eventually_received(2);
    agent.eventually("umbra_requests_total{matched=\"true\"}", 2);
    agent.eventually("umbra_unread_connections_total", 0);
    agent.accounting_is_exact();
}
