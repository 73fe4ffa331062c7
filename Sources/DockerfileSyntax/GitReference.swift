// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A git repository and what of it is wanted, as ADD and build contexts name it: `remote#ref:subdir` or
/// `remote?ref=...&subdir=...`.
public struct GitReference: Hashable, Sendable {
    /// The time that files get.
    public enum ModificationTime: String, Hashable, Sendable {
        case checkout
        case commit
    }

    /// What git takes, without fragment and query; user information stays.
    public var remote: String
    /// The directory that a clone would get: `bar` for `https://example.com/foo/bar.git`.
    public var shortName: String
    /// A branch, a tag, a full reference or a commit; nil is the repository's default branch.
    public var reference: String?
    /// The commit must begin with these digits.
    public var checksum: String?
    /// Relative, without `..`.
    public var subdirectory: String?
    /// `github.com/owner/name`: taken for a repository only where no local path can be meant.
    public var looksLikePath: Bool
    /// `git://` and `http://`.
    public var isUnencrypted: Bool
    /// Nil when the reference does not say.
    public var keepsGitDirectory: Bool?
    /// Nil when the reference does not say.
    public var fetchesSubmodules: Bool?
    /// Nil when the reference does not say.
    public var modificationTime: ModificationTime?
    /// The commit of `checksum` is fetched without asking what the reference stands for.
    public var fetchesByCommit: Bool

    /// Nil for text that is no git reference. Throws for one whose options are wrong.
    public init?(parsing text: String) throws(GitReferenceError) {
        guard let location = Location(text) else { return nil }
        remote = location.remote
        looksLikePath = location.looksLikePath
        isUnencrypted = ["http", "git"].contains(location.scheme) && !looksLikePath
        let last = location.remote.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).last
        let name = last.map { String(Substring($0)) } ?? ""
        shortName = name.hasSuffix(".git") ? String(name.dropLast(4)) : name
        reference = nil
        subdirectory = nil
        fetchesByCommit = false
        if let fragment = location.fragment, !fragment.isEmpty {
            let parts = fragment.utf8.split(
                separator: UInt8(ascii: ":"),
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            reference = parts.first.flatMap { $0.isEmpty ? nil : String(Substring($0)) }
            let path = parts.count > 1 ? Self.cleaned(parts[1]) : ""
            subdirectory = path.isEmpty ? nil : path
        }
        try apply(location.query)
    }

    /// Without `.`, `..` and surrounding slashes.
    private static func cleaned(_ path: Substring.UTF8View) -> String {
        var kept: [Substring] = []
        for component in path.split(separator: UInt8(ascii: "/")).map({ Substring($0) }) where component != "." {
            if component == ".." { _ = kept.popLast() } else { kept.append(component) }
        }
        return kept.joined(separator: "/")
    }
}

/// Why the options of a git reference cannot be taken.
public struct GitReferenceError: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String

    public init(_ message: String) { self.message = message }

    public var description: String { message }
}

// MARK: - Query

extension GitReference {
    private static let switches: Set<String> = ["submodules", "keep-git-dir", "fetch-by-commit"]

    private mutating func apply(_ query: [String: [String]]) throws(GitReferenceError) {
        var tag: String?
        var branch: String?
        for (key, values) in query.sorted(by: { $0.key < $1.key }) {
            guard values.count < 2 else { throw GitReferenceError("query \"\(key)\" has multiple values") }
            let value = values.first ?? ""
            guard !value.isEmpty || Self.switches.contains(key) else {
                throw GitReferenceError("query \"\(key)\" has no value")
            }
            switch key {
            case "ref": reference = try Self.agreed("ref", reference, value)
            case "subdir": subdirectory = try Self.agreed("subdir", subdirectory, value)
            case "tag": tag = value
            case "branch": branch = value
            case "checksum", "commit": checksum = value
            case "keep-git-dir": keepsGitDirectory = try Self.bool(key, value)
            case "submodules": fetchesSubmodules = try Self.bool(key, value)
            case "fetch-by-commit": fetchesByCommit = try Self.bool(key, value)
            case "mtime":
                guard let time = ModificationTime(rawValue: value) else {
                    throw GitReferenceError(
                        "invalid mtime value: \"\(value)\" (must be \"checkout\" or \"commit\")"
                    )
                }
                modificationTime = time
            default: throw GitReferenceError("unexpected query \"\(key)\"")
            }
        }
        if let tag { reference = try Self.agreed("ref", reference, Self.full(tag, "refs/tags/")) }
        if let branch {
            guard tag == nil else { throw GitReferenceError("branch conflicts with tag") }
            reference = try Self.agreed("ref", reference, Self.full(branch, "refs/heads/"))
        }
    }

    private static func agreed(_ what: String, _ known: String?, _ value: String) throws(GitReferenceError) -> String {
        guard let known, known != value else { return value }
        throw GitReferenceError("\(what) conflicts: \"\(known)\" vs \"\(value)\"")
    }

    private static func full(_ name: String, _ prefix: String) -> String {
        name.hasPrefix(prefix) ? name : prefix + name
    }

    private static func bool(_ key: String, _ value: String) throws(GitReferenceError) -> Bool {
        switch value {
        case "", "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        default: throw GitReferenceError("invalid \(key) value: \"\(value)\"")
        }
    }
}
