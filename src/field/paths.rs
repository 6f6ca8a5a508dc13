//! The declared paths as a tree, by which the fields of a value are found while its record is read.

use super::error::FieldError;
use super::options::{FieldKind, FieldOptions};
use super::resolve::Field;

/// A declared field or list, its paths cut into keys.
#[derive(Debug)]
pub(super) struct Declared {
    kind: FieldKind,
    path: Vec<String>,
    except: Vec<Vec<String>>,
    names: Vec<String>,
    /// Its place among the fields; none: it is a list.
    pub(super) field: Option<usize>,
    /// The list whose items have it; of a list, its own place.
    pub(super) list: Option<usize>,
}

impl Declared {
    /// All of `options`, whose paths are filled in.
    pub(super) fn all(options: &[FieldOptions]) -> Result<Vec<Self>, FieldError> {
        let mut all = Vec::with_capacity(options.len());
        let (mut fields, mut lists) = (0, 0);
        for field in options {
            let path = field.keys("path", field.path.as_deref().unwrap_or_default())?;
            let except = field.except.iter().map(|path| field.keys("except", path));
            let except = except.collect::<Result<Vec<_>, _>>()?;
            if let Some((at, _)) = except.iter().enumerate().find(|(_, keys)| !is_below(keys, &path)) {
                let expected = format!("paths below {:?}", path.join("."));
                let got = field.except.get(at).cloned().unwrap_or_default();
                return Err(field.refuse("except", expected, format!("{got:?}")));
            }
            let is_list = field.kind == FieldKind::List;
            if is_list && path.is_empty() {
                return Err(field.refuse("path", "the path of an array", "that of the feature object"));
            }
            let (at, list) = if is_list { (None, Some(lists)) } else { (Some(fields), None) };
            lists += usize::from(is_list);
            fields += usize::from(!is_list);
            all.push(Self { kind: field.kind, path, except, names: field.names.clone(), field: at, list });
        }
        check_overlaps(options, &all)?;
        let lists: Vec<_> =
            all.iter().filter(|one| one.field.is_none()).map(|one| (one.path.clone(), one.list)).collect();
        for field in all.iter_mut().filter(|one| one.field.is_some()) {
            field.list =
                lists.iter().find(|(path, _)| field.path.starts_with(path)).and_then(|(_, list)| *list);
        }
        Ok(all)
    }

    /// Whether it stands at its path and nothing may stand below.
    fn is_leaf(&self) -> bool {
        !matches!(self.kind, FieldKind::Sum | FieldKind::List)
    }
}

fn is_below(keys: &[String], path: &[String]) -> bool {
    keys.len() > path.len() && keys.starts_with(path)
}

/// Refuses paths that contradict each other.
fn check_overlaps(options: &[FieldOptions], all: &[Declared]) -> Result<(), FieldError> {
    let lists = |one: &Declared| one.kind == FieldKind::List;
    for (index, one) in all.iter().enumerate() {
        for (at, other) in all.iter().enumerate().filter(|(at, _)| *at != index) {
            let what = if one.is_leaf() && is_below(&other.path, &one.path) {
                format!("a single value of kind {}", one.kind.name())
            } else if lists(one) && lists(other) && other.path.starts_with(&one.path) {
                "a list, and lists do not nest".to_owned()
            } else if one.path == other.path
                && !one.names.is_empty()
                && !other.names.is_empty()
                && one.names != other.names
            {
                "a field with other names".to_owned()
            } else {
                continue;
            };
            let path = |at: usize| options.get(at).and_then(|field| field.path.clone()).unwrap_or_default();
            let name = |at: usize| options.get(at).map(|field| field.name.clone()).unwrap_or_default();
            let (field, other) = (name(at), name(index));
            return Err(FieldError::Overlap { field, path: path(at), other, place: path(index), what });
        }
    }
    Ok(())
}

/// A field that takes a value where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taker {
    pub(super) field: usize,
    /// The number or label that is meant by the node's key; none: the node is the field's own.
    pub(super) cell: Option<usize>,
}

/// A place in the tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Sorted by key.
    children: Vec<(String, usize)>,
    /// The list whose array stands here.
    pub(super) list: Option<usize>,
    /// Fields, but for sums, that take what stands here.
    pub(super) takers: Vec<Taker>,
    /// Sums of all that stands here and below: first those that begin further up, then those that begin here.
    sums: Vec<usize>,
    inherited: usize,
}

impl Node {
    /// All sums that take what stands here.
    pub(super) fn sums(&self) -> &[usize] {
        &self.sums
    }

    /// Those of them in whose paths the key of this node is.
    pub(super) fn inherited(&self) -> &[usize] {
        self.sums.get(..self.inherited).unwrap_or_default()
    }

    /// Whether some field hears of what stands here or below, whatever its path.
    pub(super) fn is_heard(&self) -> bool {
        !self.sums.is_empty() || !self.takers.is_empty()
    }
}

/// The tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

/// The node of the feature object.
pub(super) const ROOT: usize = 0;

impl Paths {
    pub(super) fn new(declared: &[Declared], fields: &[Field]) -> Self {
        let mut paths = Self { nodes: vec![Node::default()] };
        let mut keys: Vec<Vec<String>> = vec![Vec::new()];
        for one in declared {
            paths.insert(&one.path, &mut keys);
            for path in &one.except {
                paths.insert(path, &mut keys);
            }
        }
        for one in declared {
            let node = paths.insert(&one.path, &mut keys);
            match (one.field, one.kind) {
                (None, _) => paths.at(node, |node| node.list = one.list),
                (_, FieldKind::Sum) => {}
                (Some(field), _) => paths.take(node, field, fields, &mut keys),
            }
        }
        for (node, path) in keys.iter().enumerate() {
            let sums = |of: &Declared| {
                of.kind == FieldKind::Sum
                    && path.starts_with(&of.path)
                    && !of.except.iter().any(|except| path.starts_with(except))
            };
            let (above, here): (Vec<&Declared>, Vec<&Declared>) =
                declared.iter().filter(|one| sums(one)).partition(|one| one.path.len() < path.len());
            paths.at(node, |node| {
                node.inherited = above.len();
                node.sums = above.iter().chain(&here).filter_map(|one| one.field).collect();
            });
        }
        paths
    }

    /// The node of `key` below `node`.
    pub(super) fn child(&self, node: usize, key: &str) -> Option<usize> {
        let children = &self.nodes.get(node)?.children;
        let at = children.binary_search_by(|(name, _)| name.as_str().cmp(key)).ok()?;
        children.get(at).map(|(_, child)| *child)
    }

    pub(super) fn node(&self, node: usize) -> Option<&Node> {
        self.nodes.get(node)
    }

    fn at(&mut self, node: usize, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(node) {
            change(node);
        }
    }

    /// The field takes what stands at `node`, and by their names what stands below.
    fn take(&mut self, node: usize, field: usize, fields: &[Field], keys: &mut Vec<Vec<String>>) {
        self.at(node, |node| node.takers.push(Taker { field, cell: None }));
        let Some(of) = fields.get(field).filter(|of| of.kind != FieldKind::Category) else { return };
        let path = keys.get(node).cloned().unwrap_or_default();
        for (cell, name) in of.names.iter().enumerate() {
            let below = self.insert(&[path.as_slice(), std::slice::from_ref(name)].concat(), keys);
            self.at(below, |node| node.takers.push(Taker { field, cell: Some(cell) }));
        }
    }

    /// The node at `path`, made if there is none; `keys` are the paths of all nodes.
    fn insert(&mut self, path: &[String], keys: &mut Vec<Vec<String>>) -> usize {
        let mut node = ROOT;
        for (depth, key) in path.iter().enumerate() {
            node = match self.child(node, key) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    keys.push(path.get(..=depth).unwrap_or_default().to_vec());
                    self.at(node, |node| {
                        let at = node.children.partition_point(|(name, _)| name < key);
                        node.children.insert(at, (key.clone(), child));
                    });
                    child
                }
            };
        }
        node
    }
}
