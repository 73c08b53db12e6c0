//! One worker's way to every cluster: a pool of connections for each. Everything here lives on one thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    error::Error,
    rc::Rc,
    sync::{Arc, Weak},
};

use hyper::body::Body;
use tokio::time::Instant;

use super::{
    pool::Pool,
    shared::{Upstream, Upstreams},
};
use crate::route::Cluster;

/// To be used inside a `LocalSet`: each connection is a task of its own, so that an endpoint closing an unused one is
/// noticed at once.
pub struct Client<B: Body> {
    upstreams: Arc<Upstreams>,
    /// Of `upstreams.workers`: which share of a cluster's connections is ours.
    worker: usize,
    pools: RefCell<HashMap<*const Upstream, Rc<Pool<B>>>>,
    known: RefCell<HashMap<*const Cluster, Known<B>>>,
}

/// Where a cluster's pool is. The Weak keeps the address taken for as long as it is a key.
type Known<B> = (Weak<Cluster>, Rc<Pool<B>>);

impl<B> Client<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub fn new(upstreams: Arc<Upstreams>, worker: usize) -> Self {
        Self { upstreams, worker, pools: RefCell::default(), known: RefCell::default() }
    }

    /// The connections to a cluster: the same ones for as long as its name and settings stay.
    pub fn pool(&self, cluster: &Arc<Cluster>) -> Rc<Pool<B>> {
        let mut known = self.known.borrow_mut();
        let (_, pool) = known.entry(Arc::as_ptr(cluster)).or_insert_with(|| {
            let upstream = self.upstreams.of(cluster);
            let mut pools = self.pools.borrow_mut();
            let pool = pools
                .entry(Arc::as_ptr(&upstream))
                .or_insert_with(|| Rc::new(Pool::new(Arc::clone(&self.upstreams), upstream, self.worker)));
            (Arc::downgrade(cluster), Rc::clone(pool))
        });
        Rc::clone(pool)
    }

    /// Closes connections unused for too long, resolves names that are due, and forgets clusters that are gone: bounds
    /// everything here by the configuration. To be called now and then.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.known.borrow_mut().retain(|_, (cluster, _)| cluster.strong_count() > 0);
        self.upstreams.sweep(now);
        self.pools.borrow_mut().retain(|_, pool| {
            pool.sweep(now);
            !pool.is_over(now)
        });
    }

    #[cfg(test)]
    pub(super) fn clusters(&self) -> (usize, usize) {
        (self.known.borrow().len(), self.pools.borrow().len())
    }
}
