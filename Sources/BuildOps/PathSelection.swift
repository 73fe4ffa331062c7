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

    private enum Pattern {
        /// Wildcards included; `*` stays within its component.
        case components([GlobPattern])
        /// With `**`: what is matched at any depth, and the components before the first wildcard.
        case deep(IgnoreMatcher, literal: [String])
    }

    /// What paths without wildcards are to be matched as, and the directories above them.
    private let literals: [RawPath: Match]
    private let patterns: [Pattern]
    let isEverything: Bool

    /// - Parameter patterns: relative paths; empty, or one that is empty or cannot be read as a pattern, is everything.
    init(_ patterns: [String]) {
        var literals: [RawPath: Match] = [:]
        var others: [Pattern] = []
        var isEverything = patterns.isEmpty
        for text in patterns {
            let components = text.split(separator: "/").filter { $0 != "." }.map(String.init)
            // A symlink may lead anywhere in the context, so a path through one cannot be narrowed; the scan sees to that.
            if components.isEmpty || components.contains("..") {
                isEverything = true
            } else if !GlobPattern.hasWildcard(text) {
                Self.add(components, to: &literals)
            } else if let pattern = Self.compile(text, components) {
                others.append(pattern)
            } else {
                isEverything = true
            }
        }
        self.literals = literals
        self.patterns = others
        self.isEverything = isEverything
    }

    private static func add(_ components: [String], to literals: inout [RawPath: Match]) {
        var path = RawPath("")
        literals[path] = .above
        for component in components.dropLast() {
            path = path.appending(component)
            if literals[path] == nil { literals[path] = .above }
        }
        if let last = components.last { literals[path.appending(last)] = .whole }
    }

    /// Nil for what cannot be read.
    private static func compile(_ text: String, _ components: [String]) -> Pattern? {
        if text.contains("**") {
            guard let matcher = try? IgnoreMatcher(["**", "!" + components.joined(separator: "/")]) else { return nil }
            return .deep(matcher, literal: Array(components.prefix { !GlobPattern.hasWildcard($0) }))
        }
        let globs = components.compactMap { try? GlobPattern($0) }
        return globs.count == components.count ? .components(globs) : nil
    }

    /// Whether a step may read what the path points to, if it is a symlink: it names the path, or goes through it before
    /// the first wildcard. Behind that nothing follows symlinks.
    func leadsThrough(_ path: RawPath) -> Bool {
        if isEverything { return false }
        if literals[path] != nil { return true }
        if patterns.isEmpty { return false }
        let components = path.components.map(\.description)
        return patterns.contains { pattern in
            switch pattern {
            case .components(let globs):
                guard globs.count >= components.count else { return false }
                let isLiteral = !globs.prefix(components.count).contains { GlobPattern.hasWildcard($0.description) }
                return (isLiteral || globs.count == components.count)
                    && components.indices.allSatisfy { globs[$0].matches(components[$0]) }
            case .deep(let matcher, let literal):
                if literal.starts(with: components) { return true }
                let parent = parentPath(path)
                return !matcher.isIgnored(path.description)
                    && (parent.isEmpty || matcher.isIgnored(parent.description))
            }
        }
    }

    func match(_ path: RawPath) -> Match {
        if isEverything { return .whole }
        let literal = literalMatch(path)
        if literal == .whole || patterns.isEmpty { return literal }
        let components = path.components.map(\.description)
        var best = literal
        for pattern in patterns {
            switch pattern {
            case .components(let globs):
                let common = min(globs.count, components.count)
                guard (0..<common).allSatisfy({ globs[$0].matches(components[$0]) }) else { continue }
                if components.count >= globs.count { return .whole }
                best = .above
            case .deep(let matcher, _):
                if !matcher.isIgnored(path.description) { return .whole }
                if !matcher.canSkipDirectory(path.description) { best = .above }
            }
        }
        return best
    }

    /// One look-up for each directory on the way, however many patterns there are.
    private func literalMatch(_ path: RawPath) -> Match {
        if literals.isEmpty { return .none }
        for index in path.bytes.indices where path.bytes[index] == UInt8(ascii: "/") {
            if literals[RawPath(bytes: path.bytes[..<index])] == .whole { return .whole }
        }
        return literals[path] ?? .none
    }
}
