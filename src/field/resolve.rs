//! From declarations to a checked set of fields: what each is, which table it takes rows from, which list it is of.

use super::check::check_names;
use super::error::FieldError;
use super::options::{
    DEFAULT_BUCKETS, DEFAULT_DIM, DEFAULT_INIT_SCALE, DEFAULT_MAX_ITEMS, FieldKind, FieldOptions, MAX_WIDTH,
};
use super::paths::{Declared, Paths};
use crate::batch::MAX_BUCKETS;
use crate::hash::{HashKind, HashOptions};
use std::fmt::Display;

/// A table that fields take rows from. Whoever keeps rows makes one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct TableShape {
    /// Its name.
    pub name: String,
    /// Floats of a row.
    pub dim: usize,
    /// How features find their rows.
    pub hash: HashOptions,
    /// Whether each hash has buckets of its own.
    pub separate: bool,
    /// What the floats of a row are about before they are learned.
    pub init_mean: f32,
    /// Their standard deviation.
    pub init_scale: f32,
}

impl TableShape {
    /// Rows of the table `[rows, dim]`, 1 to 2^31: every slot is below.
    pub fn rows(&self) -> usize {
        self.hash.buckets as usize * if self.separate { self.hash.hashes as usize } else { 1 }
    }
}

/// A list: an array whose elements are items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Where the array stands.
    pub path: String,
    /// Most items of one record.
    pub max_items: usize,
}

/// A field, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it is; no list.
    pub kind: FieldKind,
    /// The list whose items have it, an index into [`Fields::lists`]; `None`: the record has it.
    pub list: Option<usize>,
    /// The table of a sum or an id, an index into [`Fields::tables`].
    pub table: Option<usize>,
    /// Numbers, labels or categories; 0 for other kinds.
    pub width: usize,
    /// Their names, if they have any.
    pub names: Vec<String>,
    /// The keys that are hashed in front of what is met below its path.
    pub(super) scope: Vec<String>,
    /// Places of the names, in the order of the names.
    sorted: Vec<usize>,
}

impl Field {
    /// The place of a name among [`Field::names`].
    pub fn place_of(&self, name: &str) -> Option<usize> {
        let at =
            self.sorted.binary_search_by(|&place| self.names.get(place).map(String::as_str).cmp(&Some(name)));
        self.sorted.get(at.ok()?).copied()
    }
}

/// A set of declared fields that go together. Immutable: share one among threads.
#[derive(Debug, Clone)]
pub struct Fields {
    options: Vec<FieldOptions>,
    fields: Vec<Field>,
    lists: Vec<List>,
    tables: Vec<TableShape>,
    groups: Vec<Vec<usize>>,
    paths: Paths,
}

impl Fields {
    /// Checks `options`, and fills in what they leave out.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn new(mut options: Vec<FieldOptions>) -> Result<Self, FieldError> {
        check_names(&options)?;
        for field in &mut options {
            field.check_kind()?;
            field.path.get_or_insert_with(|| field.name.clone());
        }
        let mut fields = Self {
            options: Vec::new(),
            fields: Vec::new(),
            lists: Vec::new(),
            tables: Vec::new(),
            groups: Vec::new(),
            paths: Paths::default(),
        };
        let declared = Declared::all(&options)?;
        for (field, declared) in options.iter_mut().zip(&declared) {
            match declared.field {
                None => {
                    let max_items = field.checked_items(DEFAULT_MAX_ITEMS)?;
                    field.max_items = Some(max_items);
                    let path = field.path.clone().unwrap_or_default();
                    fields.lists.push(List { name: field.name.clone(), path, max_items });
                }
                Some(_) => {
                    let resolved = fields.resolve(field, declared)?;
                    fields.fields.push(resolved);
                }
            }
        }
        fields.groups = vec![Vec::new(); 1 + fields.lists.len()];
        for (index, field) in fields.fields.iter().enumerate() {
            if let Some(group) = fields.groups.get_mut(field.list.map_or(0, |list| 1 + list)) {
                group.push(index);
            }
        }
        fields.paths = Paths::new(&declared, &fields.fields);
        fields.options = options;
        Ok(fields)
    }

    /// The declarations, with every option that was left out filled in: to be stored with a model.
    pub fn options(&self) -> &[FieldOptions] {
        &self.options
    }

    /// The fields, in the order of their declaration; lists are not among them.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The lists, in the order of their declaration.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// The tables, in the order in which fields first name them.
    pub fn tables(&self) -> &[TableShape] {
        &self.tables
    }

    /// The table of field `index`.
    pub fn table_of(&self, index: usize) -> Option<&TableShape> {
        self.tables.get(self.fields.get(index)?.table?)
    }

    /// The place of the field `name` among [`Fields::fields`].
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<usize, FieldError> {
        let known = || self.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
        let place = self.fields.iter().position(|field| field.name == name);
        place.ok_or_else(|| FieldError::Unknown { name: name.to_owned(), known: known() })
    }

    /// Fields of the record, then those of each list.
    pub(super) fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A field, its options filled in; notes its table.
    fn resolve(&mut self, field: &mut FieldOptions, declared: &Declared) -> Result<Field, FieldError> {
        let width = match field.kind {
            FieldKind::Numbers | FieldKind::Labels | FieldKind::Category => {
                let width = field.checked_width()?;
                field.width = Some(width);
                width
            }
            _ => 0,
        };
        let table = if field.kind.is_looked_up() { Some(self.table(field)?) } else { None };
        if field.kind.is_looked_up() {
            let default = if field.kind == FieldKind::Sum { field.path.clone() } else { None };
            field.scope = Some(field.scope.take().or(default).unwrap_or_default());
        }
        let scope = field.keys("scope", field.scope.as_deref().unwrap_or_default())?;
        let (name, names) = (field.name.clone(), field.names.clone());
        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_unstable_by_key(|&place| names.get(place));
        Ok(Field { name, kind: field.kind, list: declared.list, table, width, names, scope, sorted })
    }

    /// The place of the table that `field` takes rows from, after its options were filled in.
    fn table(&mut self, field: &mut FieldOptions) -> Result<usize, FieldError> {
        let name = field.table.get_or_insert_with(|| field.name.clone()).clone();
        let place = self.tables.iter().position(|table| table.name == name);
        let shared = place.and_then(|place| self.tables.get(place));
        let shape = shape(field, shared, &name)?;
        let Some((place, shared)) = place.zip(shared) else {
            self.tables.push(shape);
            return Ok(self.tables.len() - 1);
        };
        let first = self.fields.iter().find(|other| other.table == Some(place));
        let other = first.map_or("", |other| other.name.as_str());
        agree(field, other, (shared, &shape))?;
        Ok(place)
    }
}

/// The table that `field` asks for: what it leaves out is that of the `shared` one, or the default.
fn shape(
    field: &mut FieldOptions,
    shared: Option<&TableShape>,
    name: &str,
) -> Result<TableShape, FieldError> {
    let sum = field.kind == FieldKind::Sum;
    let dim = field.dim.or(shared.map(|table| table.dim)).unwrap_or(DEFAULT_DIM);
    let dim = field.in_range("dim", dim, MAX_WIDTH)?;
    let hash = HashOptions {
        kind: field.hash.or(shared.map(|table| table.hash.kind)).unwrap_or_default(),
        buckets: field.buckets.or(shared.map(|table| table.hash.buckets)).unwrap_or(DEFAULT_BUCKETS),
        hashes: field.hashes.or(shared.map(|table| table.hash.hashes)).unwrap_or(1),
        alternate_sign: sum
            && field.alternate_sign.or(shared.map(|table| table.hash.alternate_sign)).unwrap_or(false),
    };
    hash.validate().map_err(|error| field.refuse(error.option, error.expected, error.got))?;
    if hash.kind == HashKind::Modulo && hash.hashes > 1 {
        return Err(field.refuse("hashes", "1: modulo is one hash", hash.hashes));
    }
    let separate = !sum && field.separate.or(shared.map(|table| table.separate)).unwrap_or(false);
    let init_mean = field.init_mean.or(shared.map(|table| table.init_mean)).unwrap_or(0.0);
    let init_scale = field.init_scale.or(shared.map(|table| table.init_scale)).unwrap_or(DEFAULT_INIT_SCALE);
    for (option, value, expected) in [
        ("init-mean", init_mean, "a finite number"),
        ("init-scale", init_scale, "a finite number of at least 0"),
    ] {
        if !value.is_finite() || (option == "init-scale" && value < 0.0) {
            return Err(field.refuse(option, expected, value));
        }
    }
    let table = TableShape { name: name.to_owned(), dim, hash, separate, init_mean, init_scale };
    if table.rows() > MAX_BUCKETS as usize {
        let expected = format!("at most {MAX_BUCKETS} buckets of all hashes");
        return Err(field.refuse("buckets", expected, table.rows()));
    }
    (field.dim, field.init_mean, field.init_scale) = (Some(dim), Some(init_mean), Some(init_scale));
    (field.buckets, field.hashes, field.hash) = (Some(hash.buckets), Some(hash.hashes), Some(hash.kind));
    if sum {
        field.alternate_sign = Some(hash.alternate_sign);
    } else {
        field.separate = Some(separate);
    }
    Ok(table)
}

/// Refuses a field whose table is not as the `other` one has it.
fn agree(
    field: &FieldOptions,
    other: &str,
    (shared, own): (&TableShape, &TableShape),
) -> Result<(), FieldError> {
    let (a, b) = (&shared.hash, &own.hash);
    let hash = |kind: HashKind| format!("{kind:?}").to_lowercase();
    let differing: [(&'static str, &dyn Display, &dyn Display); 8] = [
        ("dim", &shared.dim, &own.dim),
        ("buckets", &a.buckets, &b.buckets),
        ("hashes", &a.hashes, &b.hashes),
        ("hash", &hash(a.kind), &hash(b.kind)),
        ("alternate-sign", &a.alternate_sign, &b.alternate_sign),
        ("separate", &shared.separate, &own.separate),
        ("init-mean", &shared.init_mean, &own.init_mean),
        ("init-scale", &shared.init_scale, &own.init_scale),
    ];
    for (option, expected, got) in differing {
        let (expected, got) = (expected.to_string(), got.to_string());
        if expected != got {
            let (field, other) = (field.name.clone(), other.to_owned());
            return Err(FieldError::Table { field, option, expected, other, table: own.name.clone(), got });
        }
    }
    Ok(())
}
