// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import LinuxSystem
import Snapshots

/// What to tell of two builds that differ.
struct ReproductionReport {
    let dockerfile: Dockerfile
    /// Those whose layers differ, in the order of the graph.
    let steps: [(BuildVertex, LayerComparison)]
    /// Times later than this were not told apart.
    let epoch: FileTime?

    private static let shown = 8
    private static let nameLength = 160

    var error: UserFacingError {
        guard let (step, _) = steps.first else {
            return UserFacingError(
                "not reproducible: the layers are the same, but the times in the image's config are not",
                nextStep: "set SOURCE_DATE_EPOCH, in the environment or with --build-arg"
            )
        }
        var lines = ["not reproducible: two builds without cache differ, first in the step"]
        for (step, comparison) in steps.prefix(Self.shown) {
            let name = step.metadata.name
            lines.append("  \(name.prefix(Self.nameLength))\(name.count > Self.nameLength ? "..." : "")")
            lines += Self.lines(comparison).map { "    \($0)" }
        }
        if steps.count > Self.shown { lines.append("  and \(steps.count - Self.shown) more steps") }
        return UserFacingError(lines.joined(separator: "\n"), nextStep: nextStep, excerpt: excerpt(step))
    }

    private static func lines(_ comparison: LayerComparison) -> [String] {
        guard let first = comparison.first else { return [] }
        var lines = [line(first)]
        if let other = comparison.firstBeyondTime, other != first { lines.append(line(other)) }
        let rest = comparison.count - lines.count
        let timeOnly = comparison.timeOnlyCount - (first.isOnlyTime ? 1 : 0)
        if rest > 0 {
            let times = timeOnly > 0 ? ", \(timeOnly == rest ? "all" : String(timeOnly)) in nothing but their time" : ""
            lines.append("and \(rest) more \(rest == 1 ? "file" : "files")\(times)")
        }
        return lines
    }

    private static func line(_ difference: FileDifference) -> String {
        "/\(difference.path): \(difference.aspects.joined(separator: "; "))"
    }

    private var nextStep: String {
        if epoch == nil, steps.allSatisfy({ $0.1.firstBeyondTime == nil }) {
            return "only times of files differ: set SOURCE_DATE_EPOCH, and add rewrite-timestamp=true to the output"
        }
        return "make the first of these steps write the same each time; what the later ones show may follow from it"
    }

    private func excerpt(_ step: BuildVertex) -> String? {
        guard let lines = step.metadata.lines,
            let instruction = dockerfile.instructions.first(where: { $0.range.lines.overlaps(lines) })
        else { return nil }
        return Diagnostic(.semantic, "", range: instruction.range).render(in: dockerfile)
    }
}
