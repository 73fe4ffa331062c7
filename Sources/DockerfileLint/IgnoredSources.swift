// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Tells which sources of COPY and ADD the context's ignore file leaves out.
struct IgnoredSources {
    private let relative: IgnoreMatcher?
    /// Only `**` matches a path that begins with a slash.
    private let absolute: IgnoreMatcher?
    private let leavesOutEverything: Bool

    /// With any `!` pattern nothing is said: a directory that is left out may hold files that are brought back.
    init(_ patterns: [String]) {
        guard !patterns.contains(where: { $0.hasPrefix("!") }) else {
            (relative, absolute, leavesOutEverything) = (nil, nil, false)
            return
        }
        relative = patterns.isEmpty ? nil : try? IgnoreMatcher(patterns)
        absolute = try? IgnoreMatcher(patterns.filter { $0.hasPrefix("**") })
        leavesOutEverything = patterns.contains { ["*", "**", "**/*"].contains($0) }
    }

    /// The cleaned path, when it is left out of the context.
    func ignoredPath(_ source: String) -> String? {
        let path = Self.cleaned(source)
        if path == "." || path == "/" { return leavesOutEverything ? path : nil }
        let matcher = path.hasPrefix("/") ? absolute : relative
        return matcher?.isIgnored(path) ?? false ? path : nil
    }

    /// Without empty, `.` and resolvable `..` components.
    private static func cleaned(_ path: String) -> String {
        let isAbsolute = path.hasPrefix("/")
        var kept: [Substring] = []
        for component in path.split(separator: "/") where component != "." {
            if component == "..", let last = kept.last, last != ".." {
                kept.removeLast()
            } else if component != ".." || !isAbsolute {
                kept.append(component)
            }
        }
        let joined = kept.joined(separator: "/")
        if isAbsolute { return "/" + joined }
        return joined.isEmpty ? "." : joined
    }
}
