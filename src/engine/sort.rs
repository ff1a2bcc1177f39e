//! One sort for all types. The standard library's is compiled anew for each type, which takes 3 KB
//! of the Worker each time.

use std::cmp::Ordering;

/// Sorts as [`slice::sort_by`] does: equal items keep their order.
///
/// ```
/// # use omnitrade_edge::engine::sort::sort_by;
/// let mut pairs = vec![(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')];
/// sort_by(&mut pairs, |one, other| one.0.cmp(&other.0));
/// assert_eq!(pairs, [(1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')]);
/// ```
pub fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    if items.is_sorted_by(|one, other| compare(one, other) != Ordering::Greater) {
        return;
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    heap_sort(&mut order, &|one, other| {
        let pair = items.get(one).zip(items.get(other));
        let compared = pair.map_or(Ordering::Equal, |(one, other)| compare(one, other));
        compared.then(one.cmp(&other)) == Ordering::Less
    });
    let mut items_by_place: Vec<Option<T>> = items.drain(..).map(Some).collect();
    let sorted = order
        .iter()
        .filter_map(|at| items_by_place.get_mut(*at)?.take());
    items.extend(sorted);
}

/// Sorts numbers by `less`, in place and in n log n steps at worst.
fn heap_sort(order: &mut [usize], less: &dyn Fn(usize, usize) -> bool) {
    for root in (0..order.len() / 2).rev() {
        sift_down(order, root, less);
    }
    for end in (1..order.len()).rev() {
        order.swap(0, end);
        let (heap, _) = order.split_at_mut(end);
        sift_down(heap, 0, less);
    }
}

/// Moves the number at `root` down, until no number below it is larger.
fn sift_down(heap: &mut [usize], mut root: usize, less: &dyn Fn(usize, usize) -> bool) {
    loop {
        let child = 2 * root + 1;
        let (Some(&first), Some(&at_root)) = (heap.get(child), heap.get(root)) else {
            return;
        };
        let (child, largest) = match heap.get(child + 1) {
            Some(&second) if less(first, second) => (child + 1, second),
            _ => (child, first),
        };
        if !less(at_root, largest) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(items: Vec<(u8, u32)>) {
            let (mut ours, mut theirs) = (items.clone(), items);
            sort_by(&mut ours, |one, other| one.0.cmp(&other.0));
            theirs.sort_by_key(|item| item.0);
            prop_assert_eq!(ours, theirs);
        }
    }
}
