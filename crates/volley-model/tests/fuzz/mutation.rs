//! Changing the bytes of a file in the ways that break readers.

/// Numbers without a pattern, the same for the same seed (Marsaglia, "Xorshift RNGs", 2003).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// What numbers in a text are replaced by.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "99999999999999999999",
    "1e308",
    "1e999",
    "-0.0",
    "nan",
    "null",
];

/// `seed` with one to eight changes; some take bytes from `other`. Half of the files keep their length, as what is
/// wrong with the frame of a file hides what is wrong within it.
pub fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let kinds = if random.below(2) == 0 { KINDS_IN_PLACE } else { KINDS };
    for _ in 0..1 + random.below(8) * random.below(2) {
        change(random.below(kinds), &mut bytes, other, random);
    }
    bytes
}

/// Kinds of changes, and the first of them, which keep the length.
const KINDS: usize = 9;
const KINDS_IN_PLACE: usize = 3;

fn change(kind: usize, bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.below(256) as u8);
    }
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(64)).min(bytes.len());
    match kind {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        2 => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, again));
        }
        6 if !other.is_empty() => {
            let from = random.below(other.len());
            let to = (from + 1 + random.below(256)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        _ => change_number(bytes, at, random),
    }
}

/// Replaces the number that stands at or behind a place.
fn change_number(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS[random.below(NUMBERS.len())];
    drop(bytes.splice(start..start + length, number.bytes()));
}
