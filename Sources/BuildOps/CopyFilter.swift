// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import LinuxSystem

/// Which of what a copied directory holds is copied. Paths are relative to that directory; itself it is always copied.
struct CopyFilter: Sendable {
    enum Verdict {
        case copied
        /// Not copied, but something below it may be: then the directory comes with it.
        case passedThrough
        /// Not copied, and nothing below it. It is never opened.
        case leftOut
    }

    /// Ignores everything but what the pattern of `--parents` names.
    private let unwanted: IgnoreMatcher?
    private let excluded: IgnoreMatcher?

    /// Nil when nothing is left out.
    ///
    /// - Parameters:
    ///   - wanted: the one pattern of what is copied, with everything below what it matches; empty is everything.
    ///   - excluding: patterns of what is not, in the ignore file's syntax.
    init?(wanted: String = "", excluding patterns: [String]) throws {
        guard !wanted.isEmpty || !patterns.isEmpty else { return nil }
        do {
            unwanted = wanted.isEmpty ? nil : try IgnoreMatcher(["**", "!\(wanted)"])
        } catch {
            throw BuildOpsError(.invalidRequest, "\"\(wanted)\" is not a valid pattern: \(error)")
        }
        do {
            excluded = patterns.isEmpty ? nil : try IgnoreMatcher(patterns)
        } catch {
            throw BuildOpsError(
                .invalidRequest,
                "invalid excludepatterns: \(patterns): \(error)",
                nextStep: "--exclude takes patterns as .dockerignore does"
            )
        }
    }

    /// Whether `--exclude` names the path.
    func excludes(_ path: RawPath) -> Bool { excluded?.isIgnored(path.description) ?? false }

    /// What becomes of a path; one that is `passedThrough` matters only if it is a directory.
    func verdict(_ path: RawPath) -> Verdict {
        let text = path.description
        let isUnwanted = unwanted?.isIgnored(text) ?? false
        let isExcluded = excluded?.isIgnored(text) ?? false
        if !isUnwanted, !isExcluded { return .copied }
        if isUnwanted, unwanted?.canSkipDirectory(text) ?? false { return .leftOut }
        if isExcluded, excluded?.canSkipDirectory(text) ?? false { return .leftOut }
        return .passedThrough
    }
}
