// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts bytes at an offset to Write commands of 4 and 32 bytes.

use zeroize::Zeroizing;

/// Bytes of a block.
const BLOCK: usize = 32;
/// Bytes of a word.
const WORD: usize = 4;

/// One Write.
pub struct Piece {
    /// The block of the slot.
    pub block: u8,
    /// For 4 bytes: the word of the block. For 32: `None`.
    pub word: Option<u8>,
    /// The bytes, 4 or 32. A short last block is padded with zeros, which the chip does not store.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// A slot's new contents, and the part that must be written.
pub struct Plan {
    /// The writes, in order.
    pub pieces: Vec<Piece>,
    /// The slot's new bytes from the first to the last piece.
    pub wanted: Zeroizing<Vec<u8>>,
}

impl Plan {
    /// Plans to write `data` at `offset` of a slot with these contents: only differences are sent. `words`: whether the
    /// slot accepts 4 bytes at a time. `data` ends within the slot.
    pub fn over(now: &[u8], offset: usize, data: &[u8], words: bool) -> Self {
        let mut wanted = Zeroizing::new(now.to_vec());
        wanted[offset..offset + data.len()].copy_from_slice(data);
        let mut pieces = Vec::new();
        for (block, (now, wanted)) in now.chunks(BLOCK).zip(wanted.chunks(BLOCK)).enumerate() {
            let start = block * BLOCK;
            let is_whole = offset <= start && start + wanted.len() <= offset + data.len();
            if now == wanted {
            } else if is_whole || !words {
                pieces.push(Piece::new(block, None, wanted));
            } else {
                let differ =
                    now.chunks(WORD).zip(wanted.chunks(WORD)).enumerate().filter(|(_, (now, word))| now != word);
                pieces.extend(differ.map(|(number, (_, word))| Piece::new(block, Some(number), word)));
            }
        }
        Self { pieces, wanted }
    }

    /// Plans to write `data` at `offset` of a slot of `size` bytes that can't be read: always whole blocks.
    ///
    /// # Errors
    /// The remedy, if the data is not whole blocks.
    pub fn blind(size: usize, offset: usize, data: &[u8]) -> Result<Self, String> {
        let end = offset + data.len();
        if offset % BLOCK != 0 || (end % BLOCK != 0 && end != size) {
            return Err(format!(
                "it is written {BLOCK} bytes at a time and can't be read, so bytes beside the new ones would be lost: --offset and the \
                 number of bytes must be multiples of {BLOCK}, or the bytes go up to the slot's end ({size})"
            ));
        }
        let first = offset / BLOCK;
        let pieces = data.chunks(BLOCK).enumerate().map(|(number, block)| Piece::new(first + number, None, block));
        Ok(Self { pieces: pieces.collect(), wanted: Zeroizing::new(data.to_vec()) })
    }
}

impl Piece {
    fn new(block: usize, word: Option<usize>, bytes: &[u8]) -> Self {
        let mut padded = Zeroizing::new(vec![0; if word.is_some() { WORD } else { BLOCK }]);
        padded[..bytes.len()].copy_from_slice(bytes);
        Self { block: block as u8, word: word.map(|word| word as u8), bytes: padded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block, word and bytes of each piece.
    fn sent(plan: &Plan) -> Vec<(u8, Option<u8>, usize)> {
        plan.pieces.iter().map(|piece| (piece.block, piece.word, piece.bytes.len())).collect()
    }

    #[test]
    fn only_what_differs_is_sent_in_words_where_a_block_is_not_whole() {
        let now = [0; 72];
        assert_eq!(sent(&Plan::over(&now, 0, &[0; 72], true)), []);
        assert_eq!(sent(&Plan::over(&now, 0, &[1; 72], true)), [(0, None, 32), (1, None, 32), (2, None, 32)]);
        assert_eq!(sent(&Plan::over(&now, 30, &[1; 7], true)), [(0, Some(7), 4), (1, Some(0), 4), (1, Some(1), 4)]);
        assert_eq!(sent(&Plan::over(&now, 30, &[1; 7], false)), [(0, None, 32), (1, None, 32)]);
        assert_eq!(sent(&Plan::over(&now, 64, &[1; 8], true)), [(2, None, 32)], "the whole short block");
        let plan = Plan::over(&[7; 36], 33, &[9], true);
        assert_eq!((sent(&plan), plan.pieces[0].bytes.to_vec()), (vec![(1, Some(0), 4)], vec![7, 9, 7, 7]));
    }

    #[test]
    fn a_slot_that_can_not_be_read_takes_whole_blocks() {
        let plan = |size, offset, len| Plan::blind(size, offset, &vec![1; len]).map(|plan| sent(&plan)).ok();
        assert_eq!(plan(36, 0, 32), Some(vec![(0, None, 32)]));
        assert_eq!(plan(36, 0, 36), Some(vec![(0, None, 32), (1, None, 32)]));
        assert_eq!(plan(72, 32, 32), Some(vec![(1, None, 32)]));
        assert_eq!(plan(72, 64, 8), Some(vec![(2, None, 32)]));
        for (size, offset, len) in [(36, 0, 16), (72, 4, 32), (72, 32, 36), (416, 0, 100)] {
            assert_eq!(plan(size, offset, len), None, "{size} {offset} {len}");
        }
    }
}
