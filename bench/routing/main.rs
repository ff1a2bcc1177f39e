//! How long it takes to find the route of a request among as many routes as are named, in JSON.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that finds nothing there should fail"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use omnitrade_edge::config::Config;
use omnitrade_edge::engine::route::{Pattern, segments};
use omnitrade_edge::engine::router::Router;
use omnitrade_edge::gateway::Gate;
use serde_json::{Value, json};

/// The sizes take turns so often.
const ROUNDS: usize = 400;

/// A round of one size asks so often for each of its paths, so that rounds of few routes last too.
const LOOKUPS: usize = 20_000;

fn main() {
    let sizes = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let tables: Vec<_> = sizes.map(Table::of).collect();
    let mut fastest = vec![[Duration::MAX; 4]; tables.len()];
    for round in 0..ROUNDS {
        for (table, fastest) in tables.iter().zip(&mut fastest) {
            let times = [
                table.each(|path| table.by_router(path)),
                // It takes long, and does not get faster.
                match round < 20 {
                    true => table.each(|path| table.by_list(path)),
                    false => Duration::MAX,
                },
                table.each(|path| segments(path.text).unwrap().len()),
                match round < 20 {
                    true => timed(|| drop(black_box(table.start()))),
                    false => Duration::MAX,
                },
            ];
            for (fastest, time) in fastest.iter_mut().zip(times) {
                *fastest = time.min(*fastest);
            }
        }
    }
    let figures: Vec<_> = tables.iter().zip(&fastest).map(figures).collect();
    println!("{}", Value::from(figures));
}

fn figures((table, [router, list, split, start]): (&Table, &[Duration; 4])) -> Value {
    json!({
        "routes": table.routes.len(),
        "routerNs": router.as_secs_f64() * 1e9,
        "listNs": list.as_secs_f64() * 1e9,
        "segmentsNs": split.as_secs_f64() * 1e9,
        "startMs": start.as_secs_f64() * 1e3,
    })
}

/// Routes as an API has them, in a router and in a list, and a request for each.
struct Table {
    routes: Vec<(Pattern, String)>,
    router: Router<usize>,
    config: Value,
    paths: Vec<Path>,
}

/// The path of a request.
struct Path {
    text: &'static str,
    segments: Vec<String>,
}

impl Table {
    fn of(size: usize) -> Self {
        let texts: Vec<_> = (0..size).map(text).collect();
        let mut routes: Vec<_> = texts
            .iter()
            .map(|text| (Pattern::parse(text).unwrap(), text.clone()))
            .collect();
        routes.sort();
        let mut router = Router::default();
        for (n, (pattern, _)) in routes.iter().enumerate() {
            router.insert(pattern, n);
        }
        let asked = texts.iter().map(|text| {
            let path = text.replace("{id}", "4711").replace("{*rest}", "a/b");
            Path::of(path)
        });
        Self {
            router,
            config: json!({
                "origin": "https://api.example.com",
                "limits": { "per-ip": { "by": "ip", "window": "60s", "quota": 100 } },
                "routes": texts
                    .iter()
                    .map(|path| json!({ "path": path, "methods": ["GET"], "limits": ["per-ip"] }))
                    .collect::<Vec<_>>(),
            }),
            paths: asked
                .chain([Path::of("/api/none/of/these".to_owned())])
                .collect(),
            routes,
        }
    }

    fn by_router(&self, path: &Path) -> usize {
        let found = self.router.find(&path.segments, |_| true);
        found.copied().unwrap_or(usize::MAX)
    }

    fn by_list(&self, path: &Path) -> usize {
        let mut routes = self.routes.iter();
        let found = routes.position(|(pattern, _)| pattern.matches(&path.segments));
        found.unwrap_or(usize::MAX)
    }

    /// What an isolate does with the configuration before its first request.
    fn start(&self) -> Gate<Bytes> {
        let config = Config::from_json(self.config.clone()).unwrap();
        Gate::new(&config, true, 1).unwrap()
    }

    /// How long one path takes, on the average of all.
    fn each(&self, of: impl Fn(&Path) -> usize) -> Duration {
        let times = (LOOKUPS / self.paths.len()).max(1);
        let round = timed(|| {
            for _ in 0..times {
                for path in &self.paths {
                    black_box(of(black_box(path)));
                }
            }
        });
        round / u32::try_from(times * self.paths.len()).unwrap()
    }
}

impl Path {
    fn of(path: String) -> Self {
        Self {
            segments: segments(&path).unwrap(),
            text: path.leak(),
        }
    }
}

/// The path of a route: some with a name in the middle or at the end, some for all that is below.
fn text(n: usize) -> String {
    match n % 4 {
        0 => format!("/api/v1/resource-{n}"),
        1 => format!("/api/v1/resource-{n}/{{id}}"),
        2 => format!("/api/v1/accounts/{{id}}/part-{n}"),
        _ => format!("/api/v2/section-{n}/{{*rest}}"),
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
