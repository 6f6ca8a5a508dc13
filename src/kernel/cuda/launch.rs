//! How many threads a kernel is started with: pure arithmetic.

use super::CudaError;

/// Threads of a block, in every kernel.
pub const BLOCK: u32 = 256;

/// Longest vector that the kernels take: eight times four floats for each thread of a warp.
pub const MAX_DIM: usize = 1024;

/// Keys that a block sorts at a time.
const TILE: u32 = 2048;

/// Uses of rows that are answered together; what is beyond is a row's rest.
const PART: u32 = 32;

/// Most blocks of a kernel that walks over its elements.
const MOST_BLOCKS: u64 = 1 << 16;

/// The threads that work on a vector together, and what each of them holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Threads of a group: a power of two up to 32.
    pub group: u32,
    /// Times four floats that a thread owns: 1, 2, 4 or 8.
    pub vectors: u32,
}

impl Groups {
    /// For vectors of `dim` floats.
    ///
    /// # Errors
    /// A dim of 0 or above [`MAX_DIM`].
    pub fn of(dim: usize) -> Result<Self, CudaError> {
        if dim == 0 || dim > MAX_DIM {
            return Err(CudaError::Dim { dim });
        }
        let fours = (dim as u32).div_ceil(4);
        let group = fours.next_power_of_two().min(32);
        Ok(Self { group, vectors: fours.div_ceil(group).next_power_of_two() })
    }

    /// Blocks for `count` groups, one for each.
    pub fn blocks(self, count: u32) -> u32 {
        count.div_ceil(BLOCK / self.group).max(1)
    }
}

/// Blocks for a kernel that walks over `elements`, each thread in steps of the whole grid.
pub(super) fn blocks_over(elements: u64) -> u32 {
    elements.div_ceil(u64::from(BLOCK)).clamp(1, MOST_BLOCKS) as u32
}

/// Tiles of `keys` that are sorted.
pub(super) fn tiles(keys: u32) -> u32 {
    keys.div_ceil(TILE).max(1)
}

/// Parts of `uses` of rows.
pub(super) fn parts(uses: u32) -> u32 {
    uses.div_ceil(PART).max(1)
}

/// The shifts of the passes that sort slots below `rows`, 8 bits each.
pub(super) fn passes(rows: u64) -> impl Iterator<Item = u32> {
    let bits = 64 - rows.saturating_sub(1).leading_zeros();
    (0..bits.div_ceil(8).max(1)).map(|pass| 8 * pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_every_float_of_its_vector_and_no_larger_one_is_taken() {
        for dim in 1..=MAX_DIM {
            let Groups { group, vectors } = Groups::of(dim).unwrap();
            assert!(group.is_power_of_two() && group <= 32 && BLOCK.is_multiple_of(group));
            assert!([1, 2, 4, 8].contains(&vectors));
            assert!((group * vectors * 4) as usize >= dim, "dim {dim}");
            assert!(vectors == 1 || ((group * vectors * 2) as usize) < dim, "no more than needed: dim {dim}");
        }
        assert_eq!(Groups::of(64).unwrap(), Groups { group: 16, vectors: 1 });
        assert_eq!(Groups::of(128).unwrap(), Groups { group: 32, vectors: 1 });
        assert_eq!(Groups::of(512).unwrap(), Groups { group: 32, vectors: 4 });
        for dim in [0, MAX_DIM + 1, usize::MAX] {
            assert_eq!(Groups::of(dim), Err(CudaError::Dim { dim }));
        }
    }

    #[test]
    fn there_is_a_group_for_each_of_any_number() {
        for dim in [1, 3, 64, 100, 128, 512, 1024] {
            let groups = Groups::of(dim).unwrap();
            for count in [0, 1, 2, 255, 256, 257, 1 << 20, u32::MAX] {
                let blocks = groups.blocks(count);
                let there = u64::from(blocks) * u64::from(BLOCK / groups.group);
                assert!(
                    there >= u64::from(count) && (1..=i32::MAX as u32).contains(&blocks),
                    "{count}, {dim}"
                );
                assert!(u64::from(count) + u64::from(BLOCK) >= there.min(u64::from(count) + 256));
            }
        }
    }

    #[test]
    fn elements_beyond_2_to_the_31_are_walked_over_by_a_bounded_grid() {
        assert_eq!(blocks_over(0), 1);
        assert_eq!(blocks_over(257), 2);
        assert_eq!(blocks_over((1 << 31) + 1), 1 << 16);
        assert_eq!(blocks_over(u64::MAX), 1 << 16);
    }

    #[test]
    fn parts_of_parts_are_one_part_after_seven_levels() {
        let levels =
            |uses| std::iter::successors(Some(uses), |&uses| (parts(uses) > 1).then(|| parts(uses))).count();
        assert_eq!(
            [0, 1, 32, 33, 1 << 10, (1 << 10) + 1, 1 << 20, u32::MAX].map(levels),
            [1, 1, 1, 2, 2, 3, 4, 7]
        );
    }

    #[test]
    fn passes_cover_every_bit_of_a_slot() {
        let shifts = |rows| passes(rows).collect::<Vec<_>>();
        assert_eq!(shifts(1), [0]);
        assert_eq!(shifts(256), [0]);
        assert_eq!(shifts(257), [0, 8]);
        assert_eq!(shifts(1 << 20), [0, 8, 16]);
        assert_eq!(shifts((1 << 31) + 1), [0, 8, 16, 24]);
        assert_eq!((tiles(0), tiles(1), tiles(2048), tiles(2049), tiles(u32::MAX)), (1, 1, 1, 2, 1 << 21));
    }
}
