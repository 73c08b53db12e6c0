//! Recognises service meshes that redirect a namespace's connections. What they have redirected does not arrive at the
//! app's port, and what they deliver comes from themselves, so umbra stays out of their way.

use std::io;

use super::sockdiag::SockDiag;

/// Ports of outbound and inbound traffic: of Istio's sidecar and of ztunnel, and of Linkerd's proxy.
const MESHES: [([u16; 2], &str); 2] =
    [([15001, 15006], "Istio (15001 and 15006)"), ([4140, 4143], "Linkerd (4140 and 4143)")];

/// The mesh whose listeners stand in the namespace of this socket, both of them.
pub(super) fn in_charge(diag: &SockDiag) -> io::Result<Option<&'static str>> {
    for (ports, who) in MESHES {
        let mut listening = true;
        for port in ports {
            listening = listening && !diag.listeners(port)?.is_empty();
        }
        if listening {
            return Ok(Some(who));
        }
    }
    Ok(None)
}
