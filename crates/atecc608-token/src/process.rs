//! State that belongs to one process, and what a forked child finds of it.
//!
//! A child of `fork` inherits every lock as it was at that moment: one that another thread of the parent held
//! then is never released in the child. So process-wide state of this library is never one static behind one lock.
//! It is a list without locks that only grows, with one element per process on the way from the first user of the library
//! down to this one (a single element, nearly always). A child adds an element of its own, with fresh locks, and
//! leaves its ancestors' elements alone.

use once_cell::race::OnceBox;

/// One `T` for each process that uses the library, this one and the ancestors it was forked from.
pub struct PerProcess<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    pid: u32,
    value: T,
    next: OnceBox<Node<T>>,
}

impl<T> PerProcess<T> {
    /// No process has a value yet.
    pub const fn new() -> Self {
        Self { first: OnceBox::new() }
    }

    fn last(&self) -> Option<&Node<T>> {
        let mut last = self.first.get()?;
        while let Some(next) = last.next.get() {
            last = next;
        }
        Some(last)
    }

    /// This process's value, if it has one already.
    pub fn own(&self) -> Option<&T> {
        self.last().filter(|node| node.pid == std::process::id()).map(|node| &node.value)
    }

    /// The value of the nearest ancestor that had one, as it was at the moment of the fork, if this process has none
    /// of its own yet. Any lock in it may be held for ever.
    pub fn inherited(&self) -> Option<&T> {
        self.last().filter(|node| node.pid != std::process::id()).map(|node| &node.value)
    }

    /// This process's value, made now if it has none. `make` may run in several threads at once; one result is kept.
    pub fn own_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let pid = std::process::id();
        let end = match self.last() {
            Some(node) if node.pid == pid => return &node.value,
            Some(node) => &node.next,
            None => &self.first,
        };
        &end.get_or_init(|| Box::new(Node { pid, value: make(), next: OnceBox::new() })).value
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_per_process() {
        let values = PerProcess::new();
        assert_eq!(values.own(), None);
        assert_eq!(values.inherited(), None);
        assert_eq!(values.own_or_init(|| 1), &1);
        assert_eq!(values.own_or_init(|| 2), &1);
        assert_eq!(values.own(), Some(&1));
        assert_eq!(values.inherited(), None);
    }

    #[test]
    fn an_ancestors_value_is_inherited_until_the_child_has_its_own() {
        let values = PerProcess::new();
        let parent = Node { pid: std::process::id() + 1, value: 1, next: OnceBox::new() };
        assert!(values.first.set(Box::new(parent)).is_ok());
        assert_eq!(values.own(), None);
        assert_eq!(values.inherited(), Some(&1));
        assert_eq!(values.own_or_init(|| 2), &2);
        assert_eq!(values.own(), Some(&2));
        assert_eq!(values.inherited(), None);
    }
}
