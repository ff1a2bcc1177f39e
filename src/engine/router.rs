//! The routing table: finds the route that claims a request without looking at every route.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::route::{Pattern, Segment};

/// Values by the patterns of paths, as a tree of segments: a lookup takes as many steps as the path
/// has segments, however many patterns there are.
///
/// [`Router::find`] takes the patterns in the order of their specificity, which is that of
/// [`Pattern`]: segment by segment a literal before `{name}` before `{*rest}`, and of two that
/// agree so far the one that ends. Values with equal patterns stay in the order in which they were
/// added.
///
/// ```
/// # use omnitrade_edge::engine::route::{Pattern, segments};
/// # use omnitrade_edge::engine::router::Router;
/// let mut router = Router::default();
/// for text in ["/api/{*rest}", "/api/{id}", "/api/book"] {
///     router.insert(&Pattern::parse(text).unwrap(), text);
/// }
/// let find = |path| router.find(&segments(path).unwrap(), |_| true).copied();
/// assert_eq!(find("/API/book/"), Some("/api/book"));
/// assert_eq!(find("/api/7"), Some("/api/{id}"));
/// assert_eq!(find("/api"), Some("/api/{*rest}"));
/// assert_eq!(find("/"), None);
/// ```
#[derive(Debug)]
pub struct Router<T> {
    root: Node<T>,
}

/// All patterns that begin with the same segments.
#[derive(Debug)]
struct Node<T> {
    /// Those that go on with this literal.
    literals: HashMap<String, Node<T>, RandomState>,
    /// Those that go on with `{name}`.
    one: Option<Box<Node<T>>>,
    /// The values of the pattern that ends here.
    ends: Vec<T>,
    /// The values of the pattern that ends here with `{*rest}`.
    rest: Vec<T>,
}

impl<T> Router<T> {
    /// Adds a value.
    pub fn insert(&mut self, pattern: &Pattern, value: T) {
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::One => node.one.get_or_insert_default(),
                // A pattern has nothing after it.
                Segment::Rest => return node.rest.push(value),
            };
        }
        node.ends.push(value);
    }

    /// The first value for which `claims` holds, of those whose patterns match `path` (as
    /// [`segments`](super::route::segments) gives it), the most specific pattern first.
    pub fn find(&self, path: &[String], claims: impl Fn(&T) -> bool) -> Option<&T> {
        self.root.find(path, &claims)
    }

    /// All values, in no order.
    pub fn values(&self) -> Vec<&T> {
        let (mut values, mut open) = (Vec::new(), vec![&self.root]);
        while let Some(node) = open.pop() {
            values.extend(node.ends.iter().chain(&node.rest));
            open.extend(node.literals.values().chain(node.one.as_deref()));
        }
        values
    }
}

impl<T> Node<T> {
    /// No node is visited twice, because only one way leads to each.
    fn find(&self, path: &[String], claims: &impl Fn(&T) -> bool) -> Option<&T> {
        let inside = match path.split_first() {
            None => self.ends.iter().find(|value| claims(value)),
            Some((segment, path)) => {
                let literal = self.literals.get(segment);
                let literal = literal.and_then(|node| node.find(path, claims));
                literal.or_else(|| self.one.as_ref()?.find(path, claims))
            }
        };
        inside.or_else(|| self.rest.iter().find(|value| claims(value)))
    }
}

impl<T> FromIterator<(Pattern, T)> for Router<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(routes: I) -> Self {
        let mut router = Self::default();
        for (pattern, value) in routes {
            router.insert(&pattern, value);
        }
        router
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: HashMap::default(),
            one: None,
            ends: Vec::new(),
            rest: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::route::segments;

    /// A route as a test has it: its pattern, the one method that it claims or all, and its number.
    type Route = (Pattern, Option<u8>, usize);

    /// What the router has to find: the first route that fits, in the order of specificity, and of
    /// two with one path the one for one method first.
    fn one_by_one(routes: &[Route], path: &[String], method: u8) -> Option<usize> {
        let fits = |(pattern, claimed, _): &&Route| {
            claimed.is_none_or(|claimed| claimed == method) && pattern.matches(path)
        };
        routes.iter().find(fits).map(|(.., number)| *number)
    }

    fn in_order(mut routes: Vec<Route>) -> Vec<Route> {
        routes.sort_by(|a, b| (&a.0, a.1.is_none()).cmp(&(&b.0, b.1.is_none())));
        routes
    }

    fn router_of(routes: &[Route]) -> Router<(Option<u8>, usize)> {
        let mut router = Router::default();
        for (pattern, method, number) in routes {
            router.insert(pattern, (*method, *number));
        }
        router
    }

    #[test]
    fn a_method_that_a_path_lacks_falls_to_the_next_path() {
        let routes = [
            ("/api/book", Some(1)),
            ("/api/{id}", Some(2)),
            ("/api/{*rest}", None),
            ("/api/book", Some(3)),
        ];
        let routes = routes.iter().enumerate().map(|(n, (text, method))| {
            let pattern = Pattern::parse(text).unwrap();
            (pattern, *method, n)
        });
        let router = router_of(&in_order(routes.collect()));
        let path = segments("/api/book").unwrap();
        for (method, expected) in [(1, 0), (2, 1), (3, 3), (4, 2)] {
            let found = router.find(&path, |(claimed, _)| claimed.is_none_or(|c| c == method));
            assert_eq!(found.map(|(_, n)| *n), Some(expected), "{method}");
        }
    }

    proptest! {
        #[test]
        fn the_router_finds_what_a_search_one_by_one_finds(
            routes in proptest::collection::vec(
                ("(/(a|b|c|\\{x\\})){0,4}(/\\{\\*rest\\})?/?", proptest::option::of(0_u8..3)),
                0..40,
            ),
            paths in proptest::collection::vec("(/(a|b|c|d)){0,5}/?", 1..20),
        ) {
            let routes = routes.into_iter().enumerate().map(|(n, (text, method))| {
                let text = if text.is_empty() { "/".to_owned() } else { text };
                (Pattern::parse(&text).unwrap(), method, n)
            });
            let routes = in_order(routes.collect());
            let router = router_of(&routes);
            prop_assert_eq!(router.values().len(), routes.len());
            for path in paths {
                let path = segments(&path).unwrap();
                for method in 0..4 {
                    let claims = |(claimed, _): &(Option<u8>, usize)| {
                        claimed.is_none_or(|claimed| claimed == method)
                    };
                    let found = router.find(&path, claims).map(|(_, number)| *number);
                    prop_assert_eq!(found, one_by_one(&routes, &path, method), "{:?}", path);
                }
            }
        }
    }
}
