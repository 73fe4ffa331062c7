// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Blanks inside a line, as the splitting of arguments knows them.
@inline(__always)
func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || (byte >= 0x09 && byte <= 0x0D)
}

/// The length of the white space character that begins at `index`, 0 when there is none. Unicode's spaces count.
func spaceLength<C: Collection<UInt8>>(_ bytes: C, at index: C.Index) -> Int {
    let byte = bytes[index]
    if byte < 0x80 { return isBlank(byte) ? 1 : 0 }
    guard byte == 0xC2 || byte == 0xE1 || byte == 0xE2 || byte == 0xE3 else { return 0 }
    let sequence = Array(bytes[index...].prefix(3))
    if sequence.starts(with: [0xC2, 0x85]) || sequence.starts(with: [0xC2, 0xA0]) { return 2 }
    guard sequence.count == 3 else { return 0 }
    switch (sequence[0], sequence[1], sequence[2]) {
    case (0xE1, 0x9A, 0x80), (0xE2, 0x80, 0x80...0x8A), (0xE2, 0x80, 0xA8...0xA9), (0xE2, 0x80, 0xAF),
        (0xE2, 0x81, 0x9F), (0xE3, 0x80, 0x80):
        return 3
    default: return 0
    }
}

/// `bytes` without white space at the start.
func trimmingSpaceAtStart(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var start = bytes.startIndex
    while start < bytes.endIndex {
        let length = spaceLength(bytes, at: start)
        if length == 0 { break }
        start += length
    }
    return bytes[start...]
}

/// `bytes` without white space at both ends.
func trimmingSpace<C: BidirectionalCollection<UInt8>>(_ bytes: C) -> C.SubSequence {
    var result = bytes[...]
    while !result.isEmpty {
        let length = spaceLength(result, at: result.startIndex)
        if length == 0 { break }
        result = result.dropFirst(length)
    }
    while let last = result.last {
        if isBlank(last) {
            result = result.dropLast()
            continue
        }
        guard last >= 0x80 else { break }
        var trimmed = false
        for length in 2...3 where result.count >= length {
            let start = result.index(result.endIndex, offsetBy: -length)
            if spaceLength(result, at: start) == length {
                result = result.dropLast(length)
                trimmed = true
                break
            }
        }
        if !trimmed { break }
    }
    return result
}
