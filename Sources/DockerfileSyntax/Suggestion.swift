// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The candidate that `word` was most likely meant to be, or nil when none is near or one is the word itself.
///
/// As in BuildKit near means at most two insertions, deletions or substitutions. Among equals the first candidate wins.
public func suggest(_ word: String, among candidates: some Sequence<String>, caseSensitive: Bool = false) -> String? {
    let wanted = Array((caseSensitive ? word : word.lowercased()).unicodeScalars)
    guard wanted.count <= 64 else { return nil }
    let limit = 2
    var best: (candidate: String, distance: Int)?
    for candidate in candidates {
        let other = Array((caseSensitive ? candidate : candidate.lowercased()).unicodeScalars)
        if wanted == other { return nil }
        guard abs(other.count - wanted.count) <= limit else { continue }
        let distance = editDistance(wanted, other)
        if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.candidate
}

private func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var previous = Array(0...b.count)
    for i in 0..<a.count {
        var current = [i + 1]
        for j in 0..<b.count {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
