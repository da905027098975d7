//! The simulator on real sockets, on loopback only.
//!
//! A lost answer has to be a lost connection here. A handler cannot close one, so each connection hangs
//! by a [`Cord`]: once it is cut, reading and writing fail, and the HTTP server gives the connection up
//! before the first byte of an answer. Stopping cuts them all.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    middleware::{self, Next},
    response::Response,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::{Simulator, delivery::Severed};

/// Where the simulator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The providers.
    pub providers: SocketAddr,
    /// The control plane.
    pub control: SocketAddr,
}

/// A simulator that listens. It stops when this is dropped.
#[derive(Debug)]
pub struct Serving {
    addresses: Addresses,
    tasks: JoinSet<io::Result<()>>,
    connections: DropGuard,
}

impl Serving {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops listening, and cuts the connections that are open.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        drop(self.connections);
    }
}

/// Listens on two ports of 127.0.0.1; 0 takes a free one.
pub async fn serve(
    simulator: &Simulator,
    provider_port: u16,
    control_port: u16,
) -> io::Result<Serving> {
    let providers = TcpListener::bind((Ipv4Addr::LOCALHOST, provider_port)).await?;
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, control_port)).await?;
    let addresses = Addresses {
        providers: providers.local_addr()?,
        control: control.local_addr()?,
    };
    let connections = CancellationToken::new();
    let listen = |listener| Corded {
        listener,
        all: connections.clone(),
    };
    let (providers, control) = (listen(providers), listen(control));
    let services = [
        (providers, severable(simulator.router())),
        (control, simulator.control()),
    ];
    let mut tasks = JoinSet::new();
    for (listener, router) in services {
        let service = router.into_make_service_with_connect_info::<Cord>();
        tasks.spawn(async move { axum::serve(listener, service).await });
    }
    Ok(Serving {
        addresses,
        tasks,
        connections: connections.drop_guard(),
    })
}

/// Cuts the connection of every response that must not arrive.
fn severable(router: Router) -> Router {
    router.layer(middleware::from_fn(
        async |ConnectInfo(cord): ConnectInfo<Cord>, request: Request, next: Next| -> Response {
            let response = next.run(request).await;
            if response.extensions().get::<Severed>().is_some() {
                cord.cut();
            }
            response
        },
    ))
}

/// What a connection hangs by.
#[derive(Clone, Debug)]
struct Cord(CancellationToken);

impl Cord {
    fn cut(&self) {
        self.0.cancel();
    }

    fn holds(&self) -> io::Result<()> {
        if self.0.is_cancelled() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

impl Connected<IncomingStream<'_, Corded>> for Cord {
    fn connect_info(stream: IncomingStream<'_, Corded>) -> Self {
        stream.io().cord.clone()
    }
}

/// A listener whose connections can be cut, one by one or all at once.
#[derive(Debug)]
struct Corded {
    listener: TcpListener,
    all: CancellationToken,
}

impl Listener for Corded {
    type Io = CordedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let cord = self.all.child_token();
        let stream = CordedStream {
            stream,
            cut: Box::pin(cord.clone().cancelled_owned()),
            cord: Cord(cord),
        };
        (stream, peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[derive(Debug)]
struct CordedStream {
    stream: TcpStream,
    cord: Cord,
    /// Wakes the reader: an idle connection waits for nothing else.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for CordedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.cord.holds());
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CordedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cord.holds()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cord.holds()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
