//! BLAKE2b (RFC 7693) for short ids: the block of the secret is hashed once, not once an id.
//!
//! That is why it is here: the crates that do it begin every hash with the secret. Tests compare with Python's.

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];
const BLOCK: usize = 128;

/// A hash with a secret and a purpose, of which nothing is hashed yet.
#[derive(Clone, Debug)]
pub struct Start {
    state: [u64; 8],
    hashed: usize,
}

impl Start {
    /// Digests of `bytes` bytes, at most 64, as of `secret`, at most 64 bytes, and `person`.
    pub fn new(bytes: usize, secret: &[u8], person: &[u8; 16]) -> Start {
        let mut state = IV;
        state[0] ^= 0x0101_0000 ^ (secret.len() as u64) << 8 ^ bytes as u64;
        for (word, bytes) in state[6..].iter_mut().zip(person.chunks_exact(8)) {
            *word ^= little(bytes);
        }
        let mut start = Start { state, hashed: 0 };
        if !secret.is_empty() {
            let mut block = [0; BLOCK];
            block[..secret.len()].copy_from_slice(secret);
            start.hashed = BLOCK;
            // Nobody hashes nothing: a block follows.
            start.state = compressed(start.state, &block, BLOCK as u64, false);
        }
        start
    }

    /// The first 16 bytes of the digest of `text`.
    #[inline]
    pub fn digest(&self, text: &[u8]) -> [u64; 2] {
        let mut state = self.state;
        let mut hashed = self.hashed as u64;
        let mut rest = text;
        let mut block = [0; BLOCK];
        while rest.len() > BLOCK {
            block.copy_from_slice(&rest[..BLOCK]);
            hashed += BLOCK as u64;
            state = compressed(state, &block, hashed, false);
            rest = &rest[BLOCK..];
        }
        block[..rest.len()].copy_from_slice(rest);
        block[rest.len()..].fill(0);
        let state = compressed(state, &block, hashed + rest.len() as u64, true);
        [state[0], state[1]]
    }
}

/// Hash of the ids of `model` under `secret`, as `stream.outcomes.join.id_keys` has it.
pub fn id_hash(model: &str, secret: &[u8]) -> Start {
    let [low, high] = Start::new(16, b"", &[0; 16]).digest(model.as_bytes());
    let mut person = [0; 16];
    person[..8].copy_from_slice(&low.to_le_bytes());
    person[8..].copy_from_slice(&high.to_le_bytes());
    Start::new(8, secret, &person)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

macro_rules! mix {
    ($v:ident, $a:literal, $b:literal, $c:literal, $d:literal, $x:expr, $y:expr) => {
        $v[$a] = $v[$a].wrapping_add($v[$b]).wrapping_add($x);
        $v[$d] = ($v[$d] ^ $v[$a]).rotate_right(32);
        $v[$c] = $v[$c].wrapping_add($v[$d]);
        $v[$b] = ($v[$b] ^ $v[$c]).rotate_right(24);
        $v[$a] = $v[$a].wrapping_add($v[$b]).wrapping_add($y);
        $v[$d] = ($v[$d] ^ $v[$a]).rotate_right(16);
        $v[$c] = $v[$c].wrapping_add($v[$d]);
        $v[$b] = ($v[$b] ^ $v[$c]).rotate_right(63);
    };
}

macro_rules! rounds {
    ($v:ident, $m:ident, $([$($s:literal),*])*) => {
        $(rounds!(@one $v, $m, $($s),*);)*
    };
    (@one $v:ident, $m:ident, $s0:literal, $s1:literal, $s2:literal, $s3:literal, $s4:literal, $s5:literal,
     $s6:literal, $s7:literal, $s8:literal, $s9:literal, $sa:literal, $sb:literal, $sc:literal, $sd:literal,
     $se:literal, $sf:literal) => {
        mix!($v, 0, 4, 8, 12, $m[$s0], $m[$s1]);
        mix!($v, 1, 5, 9, 13, $m[$s2], $m[$s3]);
        mix!($v, 2, 6, 10, 14, $m[$s4], $m[$s5]);
        mix!($v, 3, 7, 11, 15, $m[$s6], $m[$s7]);
        mix!($v, 0, 5, 10, 15, $m[$s8], $m[$s9]);
        mix!($v, 1, 6, 11, 12, $m[$sa], $m[$sb]);
        mix!($v, 2, 7, 8, 13, $m[$sc], $m[$sd]);
        mix!($v, 3, 4, 9, 14, $m[$se], $m[$sf]);
    };
}

fn compressed(state: [u64; 8], block: &[u8; BLOCK], hashed: u64, last: bool) -> [u64; 8] {
    let mut m = [0; 16];
    for (word, bytes) in m.iter_mut().zip(block.chunks_exact(8)) {
        *word = little(bytes);
    }
    let mut v = [0; 16];
    v[..8].copy_from_slice(&state);
    v[8..].copy_from_slice(&IV);
    v[12] ^= hashed;
    if last {
        v[14] = !v[14];
    }
    rounds! { v, m,
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3]
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4]
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8]
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13]
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9]
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11]
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10]
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5]
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0]
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3]
    }
    let mut out = state;
    for (number, word) in out.iter_mut().enumerate() {
        *word ^= v[number] ^ v[number + 8];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_python() {
        // hashlib.blake2b(text, digest_size=16).digest()
        let start = Start::new(16, b"", &[0; 16]);
        assert_eq!(start.digest(b"abc"), [0x2b8d_2bc6_91b7_4acf, 0x1678_2875_02c9_0921]);
        // stream.outcomes.join.id_keys("loan", [...])
        let hash = id_hash("loan", b"driftstream");
        assert_eq!(hash.digest(b"p-1")[0], 0x3e1c_c222_73ca_0a1e);
        assert_eq!(hash.digest(&[b'x'; 128])[0], 0x5548_86cb_6cb7_878a);
        assert_eq!(hash.digest("\u{e9}".repeat(100).as_bytes())[0], 0x4419_4cf9_0b31_6a92);
    }
}
