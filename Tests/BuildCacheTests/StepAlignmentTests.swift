// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Testing

struct StepAlignmentTests {
    /// `COPY` is a file step, everything else a command.
    private func labels(_ texts: [String]) -> [StepLabel] {
        texts.map { StepLabel($0.hasPrefix("COPY") ? .file : .exec, $0) }
    }

    @Test(
        arguments: [
            // Nothing changed, or nothing was there.
            (["a", "b"], ["a", "b"], [0, 1]),
            ([], ["a"], [nil]),
            (["a"], [], []),
            // Added, removed, moved.
            (["a", "c"], ["a", "b", "c"], [0, nil, 1]),
            (["a", "c"], ["b", "a", "c"], [nil, 0, 1]),
            (["a", "c"], ["a", "c", "b"], [0, 1, nil]),
            (["a", "b", "c"], ["a", "c"], [0, 2]),
            (["a", "b", "c"], ["c", "a", "b"], [nil, 0, 1]),
            // Changed: the one in the same place, or the most similar.
            (["a", "RUN make", "c"], ["a", "RUN make all", "c"], [0, 1, 2]),
            (["RUN go build"], ["RUN apk add git", "RUN go build -v"], [nil, 0]),
            (["RUN apk add git", "RUN go build"], ["RUN go build -v"], [1]),
            (["RUN a", "RUN b"], ["RUN a 1", "RUN b 1"], [0, 1]),
            // Steps of different kinds have nothing in common.
            (["RUN make", "COPY a /"], ["COPY b /", "RUN make"], [nil, 0]),
            (["RUN x"], ["COPY x"], [nil]),
            (["RUN x", "COPY a /"], ["COPY b /"], [1]),
            // Equal instructions.
            (["a", "a"], ["a", "a", "a"], [0, 1, nil]),
            (["a", "b", "a"], ["a", "a"], [0, 2]),
        ] as [([String], [String], [Int?])]
    )
    func findsTheSamePlaces(_ former: [String], _ now: [String], _ expected: [Int?]) {
        #expect(alignSteps(labels(former), with: labels(now)) == expected)
    }

    /// Beyond what can be compared one with another, steps are still found from both ends, and paired in order.
    @Test func aLargeStage() {
        let former = (0..<3000).map { "RUN \($0)" }
        #expect(alignSteps(labels(former), with: labels(former)) == Array(0..<3000))
        var changed = former
        changed.insert("RUN new", at: 1500)
        let expected = (0...3000).map { $0 < 1500 ? $0 : $0 == 1500 ? nil : $0 - 1 }
        #expect(alignSteps(labels(former), with: labels(changed)) == expected)
        let all = former.map { $0 + " x" }
        #expect(alignSteps(labels(former), with: labels(all)) == Array(0..<3000))
    }
}
