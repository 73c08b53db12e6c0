//! A node and its pods, as a cluster has them: each pod a namespace behind a veth pair, the node forwarding between
//! them. A whole cluster network inside the test, sharing nothing with the machine's own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
};

use socket2::{Domain, Socket, Type};

use crate::{
    client::{Client, Connection, Reply},
    netns::{Link, Netns, Subnet},
};

/// The router between pods, and the place where the agent runs.
#[derive(Debug)]
pub struct Node {
    netns: Netns,
    next_subnet: AtomicU8,
}

/// A namespace with one address of each family. May outlive the node's handle, but not its network.
#[derive(Debug)]
pub struct Pod {
    netns: Netns,
    subnet: Subnet,
    _link: Link,
}

impl Node {
    #[expect(clippy::new_without_default, reason = "making a namespace is no default")]
    pub fn new() -> Self {
        let netns = Netns::new("node");
        netns.run(|| {
            for forwarding in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{forwarding}"), "1").unwrap();
            }
        });
        Self { netns, next_subnet: AtomicU8::new(1) }
    }

    /// A new pod, reachable from the node and from every other pod.
    pub fn pod(&self, label: &str) -> Pod {
        let subnet = Subnet(self.next_subnet.fetch_add(1, Ordering::Relaxed));
        let netns = Netns::new(label);
        let link = Link::new(&self.netns, &netns, "eth0", subnet);
        netns.ip(&format!("route add default via {}", subnet.v4(1)));
        netns.ip(&format!("-6 route add default via {}", subnet.v6(1)));
        Pod { netns, subnet, _link: link }
    }

    /// An address to which packets go and are never answered.
    pub fn black_hole(&self, pod: &Pod) -> SocketAddr {
        // The pod does not forward: what is sent through it to an address it lacks vanishes, without any ICMP.
        let address = pod.subnet.v4(66);
        self.netns.ip(&format!("route replace {address}/32 via {}", pod.ip()));
        (address, 8080).into()
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl Pod {
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its IPv4 address.
    pub fn ip(&self) -> IpAddr {
        self.subnet.v4(2)
    }

    /// Its IPv6 address.
    pub fn ip6(&self) -> IpAddr {
        self.subnet.v6(2)
    }

    /// A port of this pod that refuses every connection, and that nobody else takes meanwhile.
    pub fn refusing(&self) -> Refusing {
        let address = SocketAddr::from((self.ip(), 0));
        let socket = self.netns.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&address.into()).unwrap();
            socket
        });
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Refusing { address, _bound_but_not_listening: socket }
    }

    /// Connects from this pod and leaves the bytes to the test.
    pub fn connect(&self, to: SocketAddr) -> Connection {
        Connection::open(&self.netns, to)
    }

    /// One GET over a connection of its own, by a real client.
    pub fn get(&self, from: SocketAddr, path: &str) -> Reply {
        self.client(from).get(path)
    }

    /// A real client with one kept connection, opened on its first request.
    pub fn client(&self, server: SocketAddr) -> Client<'_> {
        Client::new(&self.netns, server)
    }
}

/// See [`Pod::refusing`].
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    _bound_but_not_listening: Socket,
}

impl Refusing {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::TcpStream, time::Duration};

    use super::*;

    #[test]
    fn pods_reach_each_other_with_their_own_addresses() {
        let node = Node::new();
        let (app, client) = (node.pod("app"), node.pod("client"));
        for (app_ip, client_ip) in [(app.ip(), client.ip()), (app.ip6(), client.ip6())] {
            let listener = app.netns().listen((app_ip, 0).into());
            let _stream = client.netns().connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().1.ip(), client_ip);
        }
    }

    #[test]
    fn a_refusing_port_refuses_and_a_black_hole_is_silent() {
        let node = Node::new();
        let pod = node.pod("shadow");
        let refusing = pod.refusing();
        let refused = node.netns().connect(refusing.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        let hole = node.black_hole(&pod);
        let silent =
            node.netns().run(|| TcpStream::connect_timeout(&hole, Duration::from_millis(300))).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
    }
}
