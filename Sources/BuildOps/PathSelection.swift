// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import LinuxSystem

/// Which paths of a context the steps of a build read: everything at and below each of some patterns.
struct PathSelection {
    enum Match {
        case none
        /// A directory above something that is read.
        case above
        /// Read, with everything below it.
        case whole
    }

    /// Components of each pattern, wildcards included.
    private let patterns: [[GlobPattern]]
    let isEverything: Bool

    /// - Parameter patterns: relative paths; empty, or one that is empty or cannot be read as a pattern, is everything.
    init(_ patterns: [String]) {
        let split = patterns.map { $0.split(separator: "/").filter { $0 != "." }.map(String.init) }
        let compiled = split.map { components in components.compactMap { try? GlobPattern($0) } }
        self.patterns = compiled
        // A symlink may lead anywhere in the context, so a path through one cannot be narrowed; the scan sees to that.
        isEverything =
            patterns.isEmpty
            || zip(split, compiled).contains { $0.isEmpty || $0.contains("..") || $0.count != $1.count }
    }

    /// Whether a step reads the path itself, or through it: then, if it is a symlink, what it points to.
    func leadsThrough(_ path: RawPath) -> Bool {
        if isEverything { return false }
        let components = path.components.map(\.description)
        return patterns.contains { pattern in
            pattern.count >= components.count
                && components.indices.allSatisfy { pattern[$0].matches(components[$0]) }
        }
    }

    func match(_ path: RawPath) -> Match {
        if isEverything { return .whole }
        let components = path.components.map(\.description)
        var best = Match.none
        for pattern in patterns {
            let common = min(pattern.count, components.count)
            guard (0..<common).allSatisfy({ pattern[$0].matches(components[$0]) }) else { continue }
            if components.count >= pattern.count { return .whole }
            best = .above
        }
        return best
    }
}
