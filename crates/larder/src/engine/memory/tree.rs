//! A sorted collection of which a copy costs nothing: copies share what neither of them has changed since.
//!
//! It is a B-tree that counts: a branch knows how many items each child has, so that the item at a place is found as
//! quickly as the place of an item. A node that no copy shares is changed where it is. Another is copied first.

use std::cmp::Ordering;
use std::slice;
use std::sync::Arc;

/// How many items or children a node has at most.
const WIDTH_MAX: usize = 32;

/// A node with fewer is joined to a neighbour, if both fit into one.
const WIDTH_MIN: usize = WIDTH_MAX / 4;

/// How many levels of branches an iterator has room for at first: enough for a million items.
const LEVELS: usize = 6;

/// A sorted collection without duplicates.
#[derive(Clone, Debug)]
pub(super) struct Tree<T> {
    /// `None` where it is empty.
    root: Option<Arc<Node<T>>>,
    len: usize,
}

/// No node is empty, and all leaves have the same depth.
#[derive(Clone, Debug)]
enum Node<T> {
    Leaf(Vec<T>),
    Branch(Vec<Child<T>>),
}

#[derive(Clone, Debug)]
struct Child<T> {
    /// Sorts as its first item does.
    first: T,
    /// How many items it has.
    len: usize,
    node: Arc<Node<T>>,
}

/// What an insertion did to a node.
struct Inserted<T> {
    /// What the new item has replaced.
    old: Option<T>,
    /// Whether the new item is the first of the node.
    is_first: bool,
    /// What the node had no room for: it follows the node.
    split: Option<Child<T>>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<T: Ord + Clone> Tree<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The item that `order` finds: it tells how an item sorts beside what is looked for.
    pub fn get(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => return items.get(items.binary_search_by(&order).ok()?),
                Node::Branch(children) => node = &children[holding(children, &order)?].node,
            }
        }
    }

    /// How many items sort before what is looked for.
    pub fn rank(&self, order: impl Fn(&T) -> Ordering) -> usize {
        let Some(mut node) = self.root.as_deref() else { return 0 };
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(items) => {
                    return rank + items.partition_point(|item| order(item) == Ordering::Less);
                }
                Node::Branch(children) => {
                    // The last child that begins before it. What is looked for may be the first item of the next.
                    let after = children.partition_point(|child| order(&child.first) == Ordering::Less);
                    let Some(index) = after.checked_sub(1) else { return rank };
                    rank += children[..index].iter().map(|child| child.len).sum::<usize>();
                    node = &children[index].node;
                }
            }
        }
    }

    /// The items from a place on, in order.
    pub fn iter_at(&self, mut place: usize) -> Iter<'_, T> {
        let mut iter = Iter { branches: Vec::with_capacity(LEVELS), leaf: [].iter() };
        let Some(mut node) = self.root.as_deref().filter(|_| place < self.len) else { return iter };
        loop {
            match node {
                Node::Leaf(items) => {
                    iter.leaf = items.get(place..).unwrap_or_default().iter();
                    return iter;
                }
                Node::Branch(children) => {
                    let mut rest = children.iter();
                    for child in rest.by_ref() {
                        if place < child.len {
                            node = &child.node;
                            break;
                        }
                        place -= child.len;
                    }
                    iter.branches.push(rest);
                }
            }
        }
    }

    /// The items from the first that does not sort before what is looked for.
    pub fn iter_from(&self, order: impl Fn(&T) -> Ordering) -> Iter<'_, T> {
        self.iter_at(self.rank(order))
    }

    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_at(0)
    }

    /// Adds an item. Returns what it has replaced.
    pub fn insert(&mut self, item: T) -> Option<T> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![item])));
            self.len = 1;
            return None;
        };
        let Inserted { old, split, .. } = Arc::make_mut(root).insert(item);
        if old.is_none() {
            self.len += 1;
        }
        if let Some(right) = split {
            let len = self.len - right.len;
            let left = Child { first: root.first().clone(), len, node: Arc::clone(root) };
            *root = Arc::new(Node::Branch(vec![left, right]));
        }
        old
    }

    /// Removes the item that `order` finds.
    pub fn remove(&mut self, order: impl Fn(&T) -> Ordering) -> Option<T> {
        // Looked for first: nothing is to be copied for an item that is not there.
        self.get(&order)?;
        let root = self.root.as_mut()?;
        let (removed, _) = Arc::make_mut(root).remove(&order)?;
        self.len -= 1;
        if self.len == 0 {
            self.root = None;
            return Some(removed);
        }
        let only = match &**root {
            Node::Branch(children) if children.len() == 1 => {
                children.first().map(|only| Arc::clone(&only.node))
            }
            _ => None,
        };
        if let Some(only) = only {
            *root = only;
        }
        Some(removed)
    }

    /// Changes the item that `order` finds. It must sort as before.
    pub fn change(&mut self, order: impl Fn(&T) -> Ordering, change: impl FnOnce(&mut T)) {
        let Some(mut node) = self.root.as_mut() else { return };
        loop {
            match Arc::make_mut(node) {
                Node::Leaf(items) => {
                    if let Ok(index) = items.binary_search_by(&order) {
                        change(&mut items[index]);
                    }
                    return;
                }
                Node::Branch(children) => {
                    let Some(index) = holding(children, &order) else { return };
                    node = &mut children[index].node;
                }
            }
        }
    }
}

/// Which child has what is looked for, if any has.
fn holding<T>(children: &[Child<T>], order: impl Fn(&T) -> Ordering) -> Option<usize> {
    children.partition_point(|child| order(&child.first) != Ordering::Greater).checked_sub(1)
}

impl<T: Ord + Clone> Node<T> {
    fn first(&self) -> &T {
        match self {
            Self::Leaf(items) => &items[0],
            Self::Branch(children) => &children[0].first,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch(children) => children.iter().map(|child| child.len).sum(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch(children) => children.len(),
        }
    }

    fn into_child(self) -> Child<T> {
        Child { first: self.first().clone(), len: self.len(), node: Arc::new(self) }
    }

    fn insert(&mut self, item: T) -> Inserted<T> {
        match self {
            Self::Leaf(items) => match items.binary_search(&item) {
                Ok(index) => {
                    let old = Some(std::mem::replace(&mut items[index], item));
                    Inserted { old, is_first: index == 0, split: None }
                }
                Err(index) => {
                    let rest = add(items, index, item);
                    let split = rest.map(|rest| Self::Leaf(rest).into_child());
                    Inserted { old: None, is_first: index == 0, split }
                }
            },
            Self::Branch(children) => {
                let index = holding(children, |other| other.cmp(&item)).unwrap_or_default();
                let child = &mut children[index];
                let Inserted { old, is_first, split } = Arc::make_mut(&mut child.node).insert(item);
                if is_first {
                    // Also where an equal item was replaced: the old one is not to be kept in memory.
                    child.first = child.node.first().clone();
                }
                child.len += usize::from(old.is_none());
                let is_first = is_first && index == 0;
                let Some(split) = split else { return Inserted { old, is_first, split: None } };
                child.len -= split.len;
                let rest = add(children, index + 1, split);
                Inserted { old, is_first, split: rest.map(|rest| Self::Branch(rest).into_child()) }
            }
        }
    }

    /// Removes an item that is there. Returns it, and whether it was the first.
    fn remove(&mut self, order: &impl Fn(&T) -> Ordering) -> Option<(T, bool)> {
        match self {
            Self::Leaf(items) => {
                let index = items.binary_search_by(order).ok()?;
                Some((items.remove(index), index == 0))
            }
            Self::Branch(children) => {
                let index = holding(children, order)?;
                let child = &mut children[index];
                let (removed, was_first) = Arc::make_mut(&mut child.node).remove(order)?;
                child.len -= 1;
                if child.len == 0 {
                    children.remove(index);
                    return Some((removed, index == 0));
                }
                if was_first {
                    child.first = child.node.first().clone();
                }
                if child.node.width() < WIDTH_MIN {
                    join_neighbours(children, index);
                }
                Some((removed, was_first && index == 0))
            }
        }
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Leaf(items), Self::Leaf(more)) => items.extend(more),
            (Self::Branch(children), Self::Branch(more)) => children.extend(more),
            // All leaves have the same depth.
            _ => debug_assert!(false, "neighbours are of one kind"),
        }
    }
}

/// Inserts into a full or not yet full node. Returns the end of a full one, which is a node of its own.
fn add<E>(elements: &mut Vec<E>, index: usize, element: E) -> Option<Vec<E>> {
    if elements.len() < WIDTH_MAX {
        elements.insert(index, element);
        return None;
    }
    // At the end nothing is moved: items that come in order fill their nodes.
    let middle = if index == elements.len() { index } else { elements.len() / 2 };
    let mut rest = elements.split_off(middle);
    if index < middle {
        elements.insert(index, element);
    } else {
        rest.insert(index - middle, element);
    }
    Some(rest)
}

/// Joins a child to one of its neighbours, if both fit into one node.
fn join_neighbours<T: Ord + Clone>(children: &mut Vec<Child<T>>, index: usize) {
    let width = |index: usize| children.get(index).map_or(WIDTH_MAX, |child| child.node.width());
    let left = if width(index) + width(index + 1) <= WIDTH_MAX {
        index
    } else if index > 0 && width(index - 1) + width(index) <= WIDTH_MAX {
        index - 1
    } else {
        return;
    };
    let right = children.remove(left + 1);
    let left = &mut children[left];
    left.len += right.len;
    Arc::make_mut(&mut left.node).append(Arc::unwrap_or_clone(right.node));
}

/// Items in order.
pub(super) struct Iter<'a, T> {
    /// What is left of each branch above the leaf.
    branches: Vec<slice::Iter<'a, Child<T>>>,
    leaf: slice::Iter<'a, T>,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Some(item);
            }
            let mut child = loop {
                match self.branches.last_mut()?.next() {
                    Some(child) => break child,
                    None => drop(self.branches.pop()),
                }
            };
            loop {
                match &*child.node {
                    Node::Leaf(items) => {
                        self.leaf = items.iter();
                        break;
                    }
                    Node::Branch(children) => {
                        let mut rest = children.iter();
                        child = rest.next()?;
                        self.branches.push(rest);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Fails unless every node is as the tree expects it. Returns the depth.
    fn checked<T: Ord + Clone + std::fmt::Debug>(node: &Node<T>) -> usize {
        assert!((1..=WIDTH_MAX).contains(&node.width()));
        let Node::Branch(children) = node else { return 0 };
        let depths: BTreeSet<usize> = children.iter().map(|child| checked(&child.node)).collect();
        assert_eq!(depths.len(), 1, "leaves differ in depth");
        for child in children {
            assert_eq!((&child.first, child.len), (child.node.first(), child.node.len()));
        }
        depths.into_iter().sum::<usize>() + 1
    }

    fn check(tree: &Tree<u16>, model: &BTreeSet<u16>) {
        let depth = tree.root.as_deref().map(checked).unwrap_or_default();
        assert!(depth <= 3, "{depth} levels for {} items", tree.len());
        assert_eq!(tree.len(), model.len());
        assert!(tree.iter().eq(model.iter()));
        for at in (0..=model.len()).step_by(7) {
            assert!(tree.iter_at(at).eq(model.iter().skip(at)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 24 }, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_tree_is_a_sorted_set_and_its_copies_stay_as_they_were(
            runs in prop::collection::vec((0..4000_u16, 1..600_u16, 1..9_u16, any::<bool>(), any::<bool>()), 1..20),
        ) {
            let (mut tree, mut model) = (Tree::<u16>::default(), BTreeSet::new());
            let mut copies = Vec::new();
            for (start, count, stride, removes, copies_first) in runs {
                if copies_first {
                    copies.push((tree.clone(), model.clone()));
                }
                for item in (0..count).map(|number| start + number * stride) {
                    if removes {
                        prop_assert_eq!(tree.remove(|other: &u16| other.cmp(&item)).is_some(), model.remove(&item));
                    } else {
                        prop_assert_eq!(tree.insert(item).is_none(), model.insert(item));
                    }
                }
                check(&tree, &model);
                for item in (start..start + 900).step_by(17) {
                    prop_assert_eq!(tree.get(|other| other.cmp(&item)), model.get(&item));
                    prop_assert_eq!(tree.rank(|other| other.cmp(&item)), model.range(..item).count());
                    prop_assert!(tree.iter_from(|other| other.cmp(&item)).eq(model.range(item..)));
                }
            }
            for (tree, model) in copies {
                check(&tree, &model);
            }
        }
    }

    #[test]
    fn what_was_replaced_or_removed_is_not_kept_in_memory() {
        #[derive(Clone, Debug)]
        struct Item {
            place: u16,
            _held: Arc<()>,
        }
        impl PartialEq for Item {
            fn eq(&self, other: &Self) -> bool {
                self.place == other.place
            }
        }
        impl Eq for Item {}
        impl PartialOrd for Item {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Item {
            fn cmp(&self, other: &Self) -> Ordering {
                self.place.cmp(&other.place)
            }
        }
        let (first, second) = (Arc::new(()), Arc::new(()));
        let mut tree = Tree::default();
        for item in 0..500 {
            tree.insert(Item { place: item, _held: Arc::clone(&first) });
        }
        for item in (0..500).rev() {
            tree.insert(Item { place: item, _held: Arc::clone(&second) });
        }
        assert_eq!(Arc::strong_count(&first), 1);
        for item in 0..500 {
            tree.remove(|other| other.place.cmp(&item));
        }
        assert_eq!(Arc::strong_count(&second), 1);
    }
}
