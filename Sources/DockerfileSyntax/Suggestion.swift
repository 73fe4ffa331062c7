// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The candidate that `word` was most likely meant to be, or nil when none is near.
///
/// Near means at most two edits (insertion, deletion, substitution, swap of neighbours), one for up to four letters.
/// Among equals the first candidate wins.
public func suggest(_ word: String, among candidates: some Sequence<String>, caseSensitive: Bool = false) -> String? {
    let wanted = Array(caseSensitive ? word.utf8 : word.lowercased().utf8)
    guard !wanted.isEmpty, wanted.count <= 64 else { return nil }
    let limit = wanted.count <= 4 ? 1 : 2
    var best: (candidate: String, distance: Int)?
    for candidate in candidates {
        let other = Array(caseSensitive ? candidate.utf8 : candidate.lowercased().utf8)
        guard abs(other.count - wanted.count) <= limit else { continue }
        let distance = editDistance(wanted, other)
        guard distance <= limit, distance < wanted.count else { continue }
        if distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.candidate
}

/// Edits between two words, a swap of neighbours counted as one.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    for i in 0..<a.count {
        var current = [i + 1]
        for j in 0..<b.count {
            var cost = min(previous[j + 1] + 1, current[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforePrevious[j - 1] + 1) }
            current.append(cost)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[b.count]
}
