//! What a cluster's workers know together, and how long it is kept.

use std::time::Duration;

use super::*;
use crate::{
    route::{Balance, Outliers},
    upstream::{Sign, Unpicked},
};

fn outliers() -> Option<Outliers> {
    Some(Outliers {
        consecutive_5xx: 2,
        consecutive_gateway_errors: 0,
        split_local_errors: false,
        consecutive_local_failures: 5,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejected_percent: 100,
        min_healthy_percent: 0,
    })
}

fn settings() -> Settings {
    Settings { outliers: outliers(), balance: Balance::RoundRobin, ..Settings::default() }
}

fn addresses() -> [SocketAddr; 2] {
    [1, 2].map(|port| ([127, 0, 0, 1], port).into())
}

/// Where the next copies would go.
async fn turns(pool: &Rc<Pool<Body>>, cluster: &Arc<Cluster>, count: usize) -> Vec<u16> {
    let mut ports = Vec::new();
    for _ in 0..count {
        ports.push(pool.turn(cluster).await.unwrap().address.port());
    }
    ports
}

async fn eject(pool: &Rc<Pool<Body>>, cluster: &Arc<Cluster>, port: u16) {
    let mut errors = 0;
    while errors < 2 {
        let turn = pool.turn(cluster).await.unwrap();
        if turn.address.port() == port {
            turn.report(Sign::Status(500));
            errors += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_gets_nothing_until_its_time_is_over() {
    local(async {
        let cluster = cluster(addresses(), settings());
        let pool = client().pool(&cluster);
        assert_eq!(turns(&pool, &cluster, 4).await, [1, 2, 1, 2]);
        eject(&pool, &cluster, 1).await;
        assert_eq!(turns(&pool, &cluster, 3).await, [2, 2, 2]);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(turns(&pool, &cluster, 1).await, [2]);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(turns(&pool, &cluster, 4).await.contains(&1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_every_endpoint_ejected_there_is_none() {
    local(async {
        let cluster = cluster(addresses(), settings());
        let pool = client().pool(&cluster);
        eject(&pool, &cluster, 1).await;
        eject(&pool, &cluster, 2).await;
        assert_eq!(pool.turn(&cluster).await.err(), Some(Unpicked::Ejected));
        // Other than where there is nothing to eject.
        let empty = cluster_of_nobody();
        assert_eq!(client().pool(&empty).turn(&empty).await.err(), Some(Unpicked::NoEndpoint));
    })
    .await;
}

fn cluster_of_nobody() -> Arc<Cluster> {
    cluster([], settings())
}

#[tokio::test(start_paused = true)]
async fn in_a_panic_every_endpoint_is_used() {
    local(async {
        let outliers = outliers().map(|outliers| Outliers { min_healthy_percent: 60, ..outliers });
        let cluster = cluster(addresses(), Settings { outliers, ..settings() });
        let pool = client().pool(&cluster);
        eject(&pool, &cluster, 1).await;
        assert!(turns(&pool, &cluster, 4).await.contains(&1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ejections_are_those_of_all_workers() {
    local(async {
        let cluster = cluster(addresses(), settings());
        let upstreams = Upstreams::new(LIMITS, 2, no_names());
        let one = Client::new(Arc::clone(&upstreams), 0);
        let other = Client::new(upstreams, 1);
        eject(&one.pool(&cluster), &cluster, 1).await;
        assert_eq!(turns(&other.pool(&cluster), &cluster, 2).await, [2, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_reload_keeps_what_it_does_not_change() {
    local(async {
        let endpoint = endpoint().await;
        let gone = ([127, 0, 0, 1], 1).into();
        let (client, before) = (client(), cluster([endpoint.address, gone], settings()));
        let pool = client.pool(&before);
        request(&pool, &before).await.or(request(&pool, &before).await).unwrap();
        for _ in 0..2 {
            eject(&pool, &before, 1).await;
        }
        // The same name and settings, one endpoint more.
        let more = ([127, 0, 0, 1], 2).into();
        let after = cluster([endpoint.address, gone, more], settings());
        drop(before);
        client.sweep();
        let again = client.pool(&after);
        assert!(Rc::ptr_eq(&pool, &again), "connections are kept");
        let ports = turns(&again, &after, 4).await;
        assert!(ports.contains(&2) && !ports.contains(&1), "so are ejections: {ports:?}");
        // Other settings are another cluster.
        let changed = cluster([gone], Settings { outliers: None, ..settings() });
        assert!(!Rc::ptr_eq(&client.pool(&changed), &again));
        assert_eq!(turns(&client.pool(&changed), &changed, 1).await, [1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clusters_gone_from_the_configuration_are_forgotten() {
    local(async {
        let (client, gone, kept) = (client(), cluster(addresses(), settings()), cluster_of_nobody());
        let renamed = Arc::new(Cluster::plain("another", addresses()));
        for cluster in [&gone, &kept, &renamed] {
            let _ = client.pool(cluster).turn(cluster).await;
        }
        assert_eq!(client.clusters(), (3, 2), "two of them differ in nothing but their endpoints");
        drop((gone, renamed));
        client.sweep();
        assert_eq!(client.clusters(), (1, 2), "a reload may bring them back");
        tokio::time::advance(Duration::from_secs(60)).await;
        client.sweep();
        assert_eq!(client.clusters(), (1, 1));
        drop(kept);
    })
    .await;
}
