// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What an instruction is recognised by in another version of its stage.
public struct StepLabel: Hashable, Sendable {
    public var kind: StepFacts.Kind
    public var text: String

    public init(_ kind: StepFacts.Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }
}

/// Finds for each step of a stage the one that stood in its place before: instructions with the same text, in order, as
/// many as possible; between them the most similar of the same kind.
///
/// - Returns: positions in `former`; nil for a step that is new.
public func alignSteps(_ former: [StepLabel], with now: [StepLabel]) -> [Int?] {
    var result = [Int?](repeating: nil, count: now.count)
    var start = 0
    while start < min(former.count, now.count), former[start] == now[start] {
        result[start] = start
        start += 1
    }
    var (formerEnd, nowEnd) = (former.count, now.count)
    while formerEnd > start, nowEnd > start, former[formerEnd - 1] == now[nowEnd - 1] {
        formerEnd -= 1
        nowEnd -= 1
        result[nowEnd] = formerEnd
    }
    let anchors = commonSubsequence(former[start..<formerEnd], now[start..<nowEnd])
    for (old, new) in anchors { result[new] = old }
    var (old, new) = (start, start)
    for (nextOld, nextNew) in anchors + [(formerEnd, nowEnd)] {
        for (a, b) in similarSteps(former[old..<nextOld], now[new..<nextNew]) { result[b] = a }
        (old, new) = (nextOld + 1, nextNew + 1)
    }
    return result
}

/// Beyond so many comparisons, what differs is paired in order.
private let comparisonLimit = 1 << 20

/// Positions of a longest sequence of equal labels in both.
private func commonSubsequence(_ a: ArraySlice<StepLabel>, _ b: ArraySlice<StepLabel>) -> [(Int, Int)] {
    guard !a.isEmpty, !b.isEmpty, a.count * b.count <= comparisonLimit else { return [] }
    return bestPairs(a.indices, b.indices) { a[$0] == b[$1] ? 1 : 0 }
}

/// Positions of steps of the same kind that are worth comparing: as many as possible, the most similar ones.
private func similarSteps(_ a: ArraySlice<StepLabel>, _ b: ArraySlice<StepLabel>) -> [(Int, Int)] {
    guard !a.isEmpty, !b.isEmpty else { return [] }
    // A word's comparison costs more than a label's.
    guard a.count * b.count <= comparisonLimit / 64 else {
        return zip(a.indices, b.indices).filter { a[$0].kind == b[$1].kind }
    }
    let (wordsOfA, wordsOfB) = (a.map { words($0.text) }, b.map { words($0.text) })
    return bestPairs(a.indices, b.indices) { x, y in
        guard a[x].kind == b[y].kind else { return 0 }
        let (left, right) = (wordsOfA[x - a.startIndex], wordsOfB[y - b.startIndex])
        let common = left.intersection(right).count
        // Any pair is better than none.
        return 100 + UInt32(100 * common / max(1, left.count, right.count))
    }
}

private func words(_ text: String) -> Set<Substring> { Set(text.split(whereSeparator: \.isWhitespace)) }

/// The pairs, ascending in both, whose scores come to the most.
private func bestPairs(_ a: Range<Int>, _ b: Range<Int>, score: (Int, Int) -> UInt32) -> [(Int, Int)] {
    let width = b.count + 1
    // `best[x][y]`: for what begins at x and y.
    var best = [UInt32](repeating: 0, count: (a.count + 1) * width)
    var scores = [UInt32](repeating: 0, count: a.count * b.count)
    for x in (0..<a.count).reversed() {
        for y in (0..<b.count).reversed() {
            let own = score(a.lowerBound + x, b.lowerBound + y)
            scores[x * b.count + y] = own
            let skipped = max(best[(x + 1) * width + y], best[x * width + y + 1])
            best[x * width + y] = own == 0 ? skipped : max(skipped, own + best[(x + 1) * width + y + 1])
        }
    }
    var pairs: [(Int, Int)] = []
    var (x, y) = (0, 0)
    while x < a.count, y < b.count {
        let own = scores[x * b.count + y]
        if own > 0, best[x * width + y] == own + best[(x + 1) * width + y + 1] {
            pairs.append((a.lowerBound + x, b.lowerBound + y))
            (x, y) = (x + 1, y + 1)
        } else if best[(x + 1) * width + y] >= best[x * width + y + 1] {
            x += 1
        } else {
            y += 1
        }
    }
    return pairs
}
