//! The kernels' text, and its names. It is compiled by NVRTC where it runs.

use super::Kernel;

/// The text of all kernels, CUDA C++ without any header. Compiled with `-DVECTORS=n` it has one variant of each, else all.
pub const PROGRAM: &str = concat!(
    include_str!("common.cu"),
    include_str!("gather.cu"),
    include_str!("sort.cu"),
    include_str!("scatter.cu"),
    include_str!("rows.cu"),
    include_str!("lanes.cu"),
);

/// Options of the compiler: products and sums are rounded each, as on the processor. Division and root are exact by default, and
/// subnormal numbers are kept.
pub const PROGRAM_OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// The variants: times four floats that a thread owns.
pub const VARIANTS: [u32; 4] = [1, 2, 4, 8];

pub(super) const GATHER: &str = "gather";
pub(super) const GATHER_FTRL: &str = "gather_ftrl";
pub(super) const MOVE_ADD: &str = "move_add";
pub(super) const MOVE_SGD: &str = "move_sgd";
pub(super) const MOVE_ADAGRAD: &str = "move_adagrad";
pub(super) const MOVE_FTRL: &str = "move_ftrl";
pub(super) const REST_ADD: &str = "rest_add";
pub(super) const REST_SGD: &str = "rest_sgd";
pub(super) const REST_ADAGRAD: &str = "rest_adagrad";
pub(super) const REST_FTRL: &str = "rest_ftrl";
pub(super) const SUM_PARTS: &str = "sum_parts";

const VARYING: [&str; 11] = [
    GATHER,
    GATHER_FTRL,
    MOVE_ADD,
    MOVE_SGD,
    MOVE_ADAGRAD,
    MOVE_FTRL,
    REST_ADD,
    REST_SGD,
    REST_ADAGRAD,
    REST_FTRL,
    SUM_PARTS,
];

pub(super) const SORT_COUNT: &str = "sort_count";
pub(super) const SORT_SCAN: &str = "sort_scan";
pub(super) const SORT_MOVE: &str = "sort_move";
pub(super) const ORDER_USES: &str = "order_uses";
pub(super) const RECORDS_OF: &str = "records_of";
pub(super) const FILL_NORMAL: &str = "fill_normal";
pub(super) const TAKE_ROWS: &str = "take_rows";
pub(super) const PUT_ROWS: &str = "put_rows";
pub(super) const LANES_GATHER: &str = "lanes_gather";
pub(super) const LANES_MOVE: &str = "lanes_move";

const PLAIN: [&str; 10] = [
    SORT_COUNT,
    SORT_SCAN,
    SORT_MOVE,
    ORDER_USES,
    RECORDS_OF,
    FILL_NORMAL,
    TAKE_ROWS,
    PUT_ROWS,
    LANES_GATHER,
    LANES_MOVE,
];

impl Kernel {
    /// All kernels of a program of one variant.
    pub fn all(vectors: u32) -> impl Iterator<Item = Self> {
        let of = move |varies| move |name| Self { name, varies, vectors };
        VARYING.into_iter().map(of(true)).chain(PLAIN.into_iter().map(of(false)))
    }

    pub(super) fn varying(name: &'static str, vectors: u32) -> Self {
        Self { name, varies: true, vectors }
    }

    pub(super) fn plain(name: &'static str, vectors: u32) -> Self {
        Self { name, varies: false, vectors }
    }
}
