// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Changes to a file tree, made in order; together they are one layer.
///
/// Input 0, when `hasBase`, is the tree that is changed. Copies name their source by input number.
public struct FileOp: Hashable, Sendable {
    public var actions: [FileAction]
    public var hasBase: Bool

    public init(actions: [FileAction], hasBase: Bool) {
        self.actions = actions
        self.hasBase = hasBase
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("base", hasBase)
        encoder.append("actions", list: actions) { $1.encode(into: &$0) }
    }
}

public enum FileAction: Hashable, Sendable {
    case copy(FileCopy)
    case makeDirectory(FileMakeDirectory)
    case makeFile(FileMakeFile)

    func encode(into encoder: inout CanonicalEncoder) {
        switch self {
        case .copy(let copy):
            encoder.append("action", "copy")
            copy.encode(into: &encoder)
        case .makeDirectory(let make):
            encoder.append("action", "mkdir")
            make.encode(into: &encoder)
        case .makeFile(let make):
            encoder.append("action", "mkfile")
            make.encode(into: &encoder)
        }
    }
}

/// The owner of what is made: names are looked up in the destination's passwd and group files.
public struct FileOwner: Hashable, Sendable {
    /// As written: `user`, `user:group`, `uid:gid`, `:group`.
    public var text: String

    public init(_ text: String) { self.text = text }
}

public struct FileCopy: Hashable, Sendable {
    /// Which input is read.
    public var input: Int
    /// One source path of that input, absolute, `..` resolved; may hold wildcards when `allowsWildcards`.
    public var source: String
    public var allowsWildcards: Bool
    /// Absolute destination; a trailing slash means a directory.
    public var destination: String
    /// Nil keeps 0:0.
    public var owner: FileOwner?
    /// Nil keeps the source's.
    public var permissions: FilePermissions?
    /// Archives are unpacked into the destination (ADD); what is none is copied.
    public var unpacksArchives: Bool
    /// True when the destination ends in a slash or the instruction names several sources: it must be a directory. A
    /// wildcard alone does not ask for one, so `COPY target/*.jar app.jar` makes a file.
    public var destinationIsDirectory: Bool
    /// Set for `--parents`: the part of the source's path, absolute, whose directories are not made in the destination;
    /// what follows it is. A literal source below it must exist.
    public var parentsPivot: String?
    /// Patterns in the ignore file's syntax of what is left out (`--exclude`), relative to the source directory.
    public var excludePatterns: [String]

    public init(
        input: Int,
        source: String,
        allowsWildcards: Bool = true,
        destination: String,
        owner: FileOwner? = nil,
        permissions: FilePermissions? = nil,
        unpacksArchives: Bool = false,
        destinationIsDirectory: Bool = false,
        parentsPivot: String? = nil,
        excludePatterns: [String] = []
    ) {
        self.input = input
        self.source = source
        self.allowsWildcards = allowsWildcards
        self.destination = destination
        self.owner = owner
        self.permissions = permissions
        self.unpacksArchives = unpacksArchives
        self.destinationIsDirectory = destinationIsDirectory
        self.parentsPivot = parentsPivot
        self.excludePatterns = excludePatterns
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("input", input)
        encoder.append("source", source)
        encoder.append("wildcards", allowsWildcards)
        encoder.append("destination", destination)
        encoder.append("owner", owner?.text)
        encoder.append("permissions", permissions?.canonicalText)
        encoder.append("unpack", unpacksArchives)
        encoder.append("directory", destinationIsDirectory)
        encoder.append("parents", parentsPivot)
        encoder.append("exclude", excludePatterns)
    }
}

/// Makes a directory and its parents; nothing happens to one that exists.
public struct FileMakeDirectory: Hashable, Sendable {
    /// Absolute.
    public var path: String
    public var permissions: UInt32
    public var owner: FileOwner?

    public init(path: String, permissions: UInt32 = 0o755, owner: FileOwner? = nil) {
        self.path = path
        self.permissions = permissions
        self.owner = owner
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("path", path)
        encoder.append("permissions", String(permissions, radix: 8))
        encoder.append("owner", owner?.text)
    }
}

/// Makes a file with given bytes (the inline documents of COPY and ADD), or replaces one. Its directory must exist.
public struct FileMakeFile: Hashable, Sendable {
    /// Absolute.
    public var path: String
    public var permissions: UInt32
    public var content: [UInt8]

    public init(path: String, permissions: UInt32 = 0o644, content: [UInt8]) {
        self.path = path
        self.permissions = permissions
        self.content = content
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("path", path)
        encoder.append("permissions", String(permissions, radix: 8))
        encoder.append("content", bytes: content)
    }
}
