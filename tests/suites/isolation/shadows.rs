//! Shadows, each bad in its own way.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use socket2::SockRef;
use support::Pod;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];
pub(crate) const GIB: usize = 1 << 30;

/// A server's end of TLS, with a certificate made on the spot.
static TLS: LazyLock<TlsAcceptor> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["shadow.test".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
});

/// Ends with its handle.
pub(crate) struct Shadow {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Healthy,
    Answers500,
    NeverReads,
    NeverAnswers,
    BytePerSecond,
    Resets,
    ResetsMidResponse,
    Endless,
    OneGib,
    Garbage,
    SpeaksTls,
}

pub(crate) fn shadow(pod: &Pod, way: Way) -> Shadow {
    let listener = pod.netns().listen((pod.ip(), 0).into());
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // The agent gives up on most of them, which is the point.
            tokio::spawn(async move { drop(way.treat(stream).await) });
        }
    });
    Shadow { address, _runtime: runtime }
}

impl Way {
    async fn treat(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Healthy => return answer_each(stream, "200 OK").await,
            Self::Answers500 => return answer_each(stream, "500 Internal Server Error").await,
            Self::NeverReads => std::future::pending::<()>().await,
            Self::SpeaksTls => return answer_each(TLS.accept(stream).await?, "200 OK").await,
            _ => {}
        }
        read_some(&mut stream).await?;
        match self {
            Self::Resets => return reset(&stream),
            Self::ResetsMidResponse => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").await?;
                return reset(&stream);
            }
            Self::Garbage => return stream.write_all(b"220 this is not HTTP\r\n\x00\xff\r\n\r\n").await,
            _ => {}
        }
        let (reader, mut writer) = stream.into_split();
        tokio::spawn(read_on(reader));
        match self {
            Self::BytePerSecond => {
                writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    writer.write_all(b"x").await?;
                }
            }
            Self::Endless => {
                writer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    writer.write_all(format!("{:x}\r\n", BLOCK.len()).as_bytes()).await?;
                    writer.write_all(&BLOCK).await?;
                    writer.write_all(b"\r\n").await?;
                }
            }
            Self::OneGib => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {GIB}\r\n\r\n");
                writer.write_all(head.as_bytes()).await?;
                for _ in 0..GIB / BLOCK.len() {
                    writer.write_all(&BLOCK).await?;
                }
            }
            _ => {}
        }
        std::future::pending().await
    }
}

async fn read_some(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0; 4096]).await.map(drop)
}

async fn read_on(mut reader: OwnedReadHalf) {
    let mut buffer = vec![0; BLOCK.len()];
    while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// A server in order, but for the status it answers with: reads each request to its end.
async fn answer_each(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    let (mut unread, mut buffer) = (Vec::new(), vec![0; BLOCK.len()]);
    loop {
        let end = unread.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            unread.extend_from_slice(&buffer[..read]);
            continue;
        };
        let head = String::from_utf8_lossy(&unread[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        unread.drain(..end + 4);
        let had = unread.len().min(length);
        unread.drain(..had);
        let mut left = length - had;
        while left > 0 {
            let most = left.min(buffer.len());
            let read = stream.read(&mut buffer[..most]).await?;
            if read == 0 {
                return Ok(());
            }
            left -= read;
        }
        stream.write_all(answer.as_bytes()).await?;
    }
}
