//! The benchmark's point query through tokio-postgres: ten connections, each pipelined, one thread.
//!
//!     weirpool-bench-tokio HOST PORT CALLERS SECONDS
//!
//! HOST is the socket's directory. Each caller awaits one call after the other; statements are prepared beforehand,
//! and the connection is the next one in turn. Prints queries a second and microseconds of CPU a query as JSON.

use std::cell::Cell;
use std::env;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio_postgres::{Client, Config, NoTls, Statement};

const POINT: &str = "select abalance from pgbench_accounts where aid=$1";
const ACCOUNTS: u64 = 1_000_000;
const CONNECTIONS: usize = 10;
const WARM_UP: Duration = Duration::from_millis(300);

type Failure = Box<dyn std::error::Error>;

/// splitmix64
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

async fn connect(host: &str, port: u16) -> Result<(Client, Statement), Failure> {
    let mut config = Config::new();
    config.host(host).port(port).user("postgres").dbname("bench");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::task::spawn_local(connection);
    let statement = client.prepare(POINT).await?;
    Ok((client, statement))
}

async fn caller(pool: Rc<Vec<(Client, Statement)>>, next: Rc<Cell<usize>>, mut seed: u64, end: Instant) -> usize {
    let mut done = 0;
    loop {
        let turn = next.get();
        next.set(turn.wrapping_add(1));
        let (client, statement) = &pool[turn % CONNECTIONS];
        let number = (random(&mut seed) % ACCOUNTS + 1) as i32;
        let row = client.query_one(statement, &[&number]).await.expect("the query failed");
        let _: i32 = row.get(0);
        done += 1;
        if Instant::now() >= end {
            return done;
        }
    }
}

async fn load(pool: &Rc<Vec<(Client, Statement)>>, callers: usize, length: Duration) -> usize {
    let next = Rc::new(Cell::new(0));
    let end = Instant::now() + length;
    let tasks: Vec<_> = (0..callers)
        .map(|n| tokio::task::spawn_local(caller(pool.clone(), next.clone(), n as u64, end)))
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("a caller failed");
    }
    done
}

/// Of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

async fn measure(host: &str, port: u16, callers: usize, length: Duration) -> Result<(), Failure> {
    let mut pool = Vec::new();
    for _ in 0..CONNECTIONS {
        pool.push(connect(host, port).await?);
    }
    let pool = Rc::new(pool);
    load(&pool, callers, WARM_UP).await;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let done = load(&pool, callers, length).await as f64;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{{\"rate\": {:.1}, \"cpu_us\": {:.3}}}", done / wall, cpu / done * 1e6);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().collect();
    let [_, host, port, callers, seconds] = arguments.as_slice() else {
        return Err("usage: weirpool-bench-tokio HOST PORT CALLERS SECONDS".into());
    };
    let length = Duration::from_secs_f64(seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(host, port.parse()?, callers.parse()?, length))
}
